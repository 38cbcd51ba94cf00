"""A model family as data: its modules, their shapes, and how several spellings name the same rows.

A family file holds a table of text, one native module a line::

    native name    diffusers name(s)    shape    [rows=a+b+c | swap] [heads=128] [bias] [N=0-18]

``N`` stands for a block number, ``M`` for a second one, the same in all names. Several diffusers
modules are written ``attn.{to_q,to_k,to_v}``; they take the native rows in that order, in equal parts
unless ``rows`` says otherwise. ``swap``: the diffusers weight has the native second half first.
``heads``: some files hold the parts interleaved, this many rows of each in turn. ``=`` as
diffusers name: the same as the native one. A shape of ``norm``: a normalisation. A number may be a
name of ``sizes``, or a multiple (``4h``), so that one table serves models of several widths and depths.

A third spelling, where there is one, is a table of its own (``respelled``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from .address import Rows

Sizes = Mapping[str, int]


class Part(NamedTuple):
    """One spelled module, and which native rows it holds (None: all, in order)."""

    name: str
    rows: Rows | None = None


class Module(NamedTuple):
    """A Linear or Conv of the model, under its native name; ``shape`` is the weight's."""

    native: str
    parts: tuple[Part, ...]
    """The diffusers modules."""
    shape: tuple[int, ...]
    bias: bool = False
    others: Mapping[str, tuple[Part, ...]] = MappingProxyType({})
    """Spelling -> modules, where it is neither the native nor the diffusers one."""
    heads: int = 0
    """The rows of a head, where some files hold the parts interleaved head by head; else 0."""

    @property
    def interleaved(self) -> Rows:
        """The rows of such a file in its own order."""
        height = self.shape[0] // len(self.parts)
        return tuple((start, start + self.heads) for head in range(0, height, self.heads)
                     for start in range(head, self.shape[0], height))

    def spelled(self, spelling: str) -> tuple[Part, ...]:
        """The modules that hold this one's rows in a spelling; none where it has no names for them."""
        if spelling == "diffusers":
            return self.parts
        if spelling in ("xlabs", "processor"):
            return self.others.get(spelling, ())
        return self.others.get(spelling, (Part(self.native),))


class Tree(NamedTuple):
    """The modules of one network."""

    id: str
    modules: dict[str, Module]
    """Every Linear and Conv."""
    norms: dict[str, Module] = {}  # noqa: RUF012
    """Normalisations: adapters can hold a difference of them, of no shape that tells models apart."""


class Encoder(NamedTuple):
    """A network beside the denoiser as a family names it; the first prefix of each kind is the one written."""

    tree: str
    kohya: tuple[str, ...]
    diffusers: str
    comfyui: tuple[str, ...]
    variants: tuple[str, ...] = ()
    """The variants that have it; empty: all."""


def encoders(table: str) -> dict[str, Encoder]:
    """The text encoders of a family, one a line::

        tree   name in a diffusers pipeline   ComfyUI's word   kohya prefixes   [only=variant]
    """
    found: dict[str, Encoder] = {}
    for line in table.strip().splitlines():
        tree_id, diffusers, word, *rest = line.split()
        kohya = tuple(prefix for prefix in rest if not prefix.startswith("only="))
        variants = tuple(flag.removeprefix("only=") for flag in rest if flag.startswith("only="))
        comfyui = (f"text_encoders.{word}.transformer.", f"text_encoders.{word}.")
        found[tree_id] = Encoder(tree_id, kohya, diffusers + ".", comfyui, variants)
    return found


@dataclass(frozen=True)
class Family:
    """A base model: its denoiser, in one variant or several, and its text encoders."""

    id: str
    title: str
    trees: Mapping[str, Tree]
    """Variant -> denoiser; "" where there are no variants. Variants of equal tensors share a tree."""
    root: str = "transformer"
    """The denoiser's name in a diffusers pipeline: ``unet`` or ``transformer``."""
    kohya_spelling: str = "native"
    """Which spelling the family's main trainer writes: ``native``, ``diffusers`` or ``comfyui``."""
    encoders: Mapping[str, Encoder] = field(default_factory=dict)

    @property
    def variants(self) -> list[str]:
        return [variant for variant in self.trees if variant]

    def models(self) -> Iterator[tuple[str, Tree, list[str]]]:
        """Each denoiser once: its id (``family`` or ``family/variant``), its tree, its variants."""
        shared: dict[int, list[str]] = {}
        for variant, network in self.trees.items():
            shared.setdefault(id(network), []).append(variant)
        for variants in shared.values():
            first = variants[0]
            yield f"{self.id}/{first}" if first else self.id, self.trees[first], [v for v in variants if v]


def tree(tree_id: str, table: str, sizes: Sizes | None = None) -> Tree:
    """A Tree from a table; a word in a shape (``cxwide``) is a name of ``sizes``."""
    return grown(tree_id, modules(table, sizes or {}))


def grown(tree_id: str, found: Iterable[Module]) -> Tree:
    """A Tree of modules; those without a shape are norms."""
    every = {module.native: module for module in found}
    return Tree(tree_id, {name: m for name, m in every.items() if m.shape},
                {name: m for name, m in every.items() if not m.shape})


def changed(base: Tree, shapes: Mapping[str, tuple[int, ...] | None]) -> Tree:
    """``base`` with other shapes of some modules; None takes a module out."""
    kept = {name: module for name, module in base.modules.items() if shapes.get(name, ()) is not None}
    new = {name: kept[name]._replace(shape=shape) for name, shape in shapes.items() if shape}
    return base._replace(modules=kept | new)


def respelled(base: Tree, spelling: str, table: str) -> Tree:
    """``base`` with the names of a spelling that is neither native nor diffusers.

    A line is the end of a native name and what stands there instead; ``name[0:9216]`` holds these rows of the
    weight and no others. ``N`` stands for any number.
    """
    found = dict(base.modules)
    for line in table.strip().splitlines():
        ending, other = line.split()
        rule = re.compile(r"((?:.*\.)?)" + re.escape(ending).replace("N", r"(\d+)"))
        name, _, span = other.rstrip("]").partition("[")
        begin, _, end = span.partition(":")
        rows = ((int(begin), int(end)),) if span else None
        for native, module in base.modules.items():
            if native.endswith(ending.rpartition("N")[2]) and (match := rule.fullmatch(native)):
                part = Part(match[1] + _numbered(name, *match.groups()[1:]), rows)
                found[native] = found[native]._replace(others={**module.others, spelling: (part,)})
    return base._replace(modules=found)


def modules(table: str, sizes: Sizes, prefixes: tuple[str, str] = ("", "")) -> list[Module]:
    """The modules of a table, under (native, diffusers) prefixes: a leaf table serves many blocks."""
    found: list[Module] = []
    for line in table.strip().splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        native, diffusers, shape_text, *flags = words
        shape = () if shape_text == "norm" else tuple(_size(s, sizes) for s in shape_text.split("x"))
        rule = _Rule(prefixes[0] + native, prefixes[1] + (native if diffusers == "=" else diffusers), shape,
                     dict((flag + "=").split("=")[:2] for flag in flags), sizes)
        found.extend(rule.expand())
    return found


_MULTIPLE = re.compile(r"(\d*)([a-z]\w*)")


def _size(text: str, sizes: Sizes) -> int:
    found = _MULTIPLE.fullmatch(text)
    return int(found[1] or 1) * sizes[found[2]] if found else int(text)


class _Rule(NamedTuple):
    native: str
    diffusers: str
    shape: tuple[int, ...]
    flags: Mapping[str, str]
    sizes: Sizes

    def expand(self) -> Iterable[Module]:
        """One Module, or one for each number that ``N=`` and ``M=`` allow."""
        parts = self._parts(self.diffusers, self.flags.get("rows", ""), "swap" in self.flags)
        for n in self._numbers("N"):
            for m in self._numbers("M"):
                yield Module(_numbered(self.native, n, m),
                             tuple(Part(_numbered(part.name, n, m), part.rows) for part in parts),
                             self.shape, "bias" in self.flags, heads=int(self.flags.get("heads", 0)))

    def _numbers(self, letter: str) -> list[str]:
        if letter not in self.flags:
            return [letter]
        first, _, last = self.flags[letter].partition("-")
        return [str(n) for n in range(_size(first, self.sizes), _size(last or first, self.sizes) + 1)]

    def _parts(self, text: str, sizes: str = "", swap: bool = False) -> tuple[Part, ...]:
        names = _alternatives(text)
        if len(names) == 1 and not swap:
            return (Part(names[0]),)
        out = self.shape[0]
        if swap:
            return (Part(names[0], ((out // 2, out), (0, out // 2))),)
        heights = [_size(s, self.sizes) for s in sizes.split("+")] if sizes else [out // len(names)] * len(names)
        if sum(heights) != out or len(heights) != len(names):
            raise AssertionError(f"{self.native}: rows {heights} of {out}")
        ends = [sum(heights[:n + 1]) for n in range(len(heights))]
        return tuple(Part(name, ((end - height, end),)) for name, height, end in zip(names, heights, ends, strict=True))


_N, _M = re.compile(r"\bN\b"), re.compile(r"\bM\b")


def _numbered(name: str, n: str = "N", m: str = "M") -> str:
    return _M.sub(m, _N.sub(n, name)) if n != "N" else name


def _alternatives(text: str) -> list[str]:
    head, brace, tail = text.partition("{")
    if not brace:
        return [text]
    inside, _, rest = tail.partition("}")
    return [head + choice + rest for choice in inside.split(",")]
