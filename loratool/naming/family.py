"""A model family as data: its modules, their shapes, and how two spellings name the same rows.

A family file holds a table of text, one native module a line::

    native name    diffusers name(s)    shape    [rows=a+b+c | swap] [bias] [N=0-18]

``N`` stands for a block number, the same on both sides. Several diffusers modules are written
``attn.{to_q,to_k,to_v}``; they take the native rows in that order, in equal parts unless ``rows``
says otherwise. ``swap``: the diffusers weight has the native second half first. ``=`` as diffusers
name: the same as the native one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .address import Rows


class Part(NamedTuple):
    """One diffusers module, and which native rows it holds (None: all, in order)."""

    name: str
    rows: Rows | None = None


class Module(NamedTuple):
    """A Linear or Conv of the model, under its native name; ``shape`` is the weight's."""

    native: str
    parts: tuple[Part, ...]
    shape: tuple[int, ...]
    bias: bool = False


class Tree(NamedTuple):
    """The modules of one network."""

    id: str
    modules: dict[str, Module]


class Encoder(NamedTuple):
    """A text encoder as a family names it; the first prefix of each kind is the one written."""

    tree: str
    kohya: tuple[str, ...]
    diffusers: str
    comfyui: tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """A base model: its denoiser, its text encoders, its variants."""

    id: str
    title: str
    tree: Tree
    root: str
    """The denoiser's name in a diffusers pipeline: ``unet`` or ``transformer``."""
    kohya_spelling: str
    """Which spelling the family's main trainer writes: ``native`` or ``diffusers``."""
    encoders: dict[str, Encoder] = field(default_factory=dict)
    telling: tuple[str, ...] = ()
    """Ends of native names that no relative of the family has: without one of them a perfect fit is
    no proof. Empty where there is no such relative."""
    variants: dict[str, Mapping[str, tuple[int, ...] | None]] = field(default_factory=dict)
    """Variant -> native module -> its shape there, None where the variant lacks it."""

    def shapes(self, module: str) -> dict[tuple[int, ...] | None, list[str]]:
        """The weight's shape -> the variants that have it (None: lack it)."""
        usual = self.tree.modules[module].shape
        found: dict[tuple[int, ...] | None, list[str]] = {}
        for variant, changed in (self.variants or {"": {}}).items():
            found.setdefault(changed.get(module, usual), []).append(variant)
        return found


def tree(tree_id: str, table: str, sizes: Mapping[str, int] | None = None) -> Tree:
    """A Tree from a table; a word in a shape (``cxwide``) is a name of ``sizes``."""
    return Tree(tree_id, {m.native: m for m in modules(table, sizes or {})})


def modules(table: str, sizes: Mapping[str, int], prefixes: tuple[str, str] = ("", "")) -> list[Module]:
    """The modules of a table, under (native, diffusers) prefixes: a leaf table serves many blocks."""
    found: list[Module] = []
    for line in table.strip().splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        native, diffusers, shape_text, *flags = words
        shape = tuple(sizes[s] if s in sizes else int(s) for s in shape_text.split("x"))
        rule = _Rule(prefixes[0] + native, prefixes[1] + (native if diffusers == "=" else diffusers), shape, flags)
        found.extend(rule.expand())
    return found


_NUMBER = re.compile(r"\bN\b")


class _Rule(NamedTuple):
    native: str
    diffusers: str
    shape: tuple[int, ...]
    flags: list[str]

    def expand(self) -> Iterable[Module]:
        """One Module, or one for each number that ``N=`` allows."""
        names, rows = _alternatives(self.diffusers), self._rows()
        parts = tuple(map(Part, names, rows))
        bias = "bias" in self.flags
        for number in self._numbers():
            if number is None:
                yield Module(self.native, parts, self.shape, bias)
            else:
                yield Module(_NUMBER.sub(number, self.native),
                             tuple(Part(_NUMBER.sub(number, p.name), p.rows) for p in parts),
                             self.shape, bias)

    def _numbers(self) -> list[str] | list[None]:
        for flag in self.flags:
            if flag.startswith("N="):
                first, _, last = flag[2:].partition("-")
                return [str(n) for n in range(int(first), int(last or first) + 1)]
        return [None]

    def _rows(self) -> list[Rows | None]:
        count, out = len(_alternatives(self.diffusers)), self.shape[0]
        if "swap" in self.flags:
            return [((out // 2, out), (0, out // 2))]
        if count == 1:
            return [None]
        sizes = [out // count] * count
        for flag in self.flags:
            if flag.startswith("rows="):
                sizes = [int(size) for size in flag[5:].split("+")]
        result: list[Rows | None] = []
        begin = 0
        for size in sizes:
            result.append(((begin, begin + size),))
            begin += size
        if begin != out:
            raise AssertionError(f"{self.native}: rows {sizes} of {out}")
        return result


def _alternatives(text: str) -> list[str]:
    head, brace, tail = text.partition("{")
    if not brace:
        return [text]
    inside, _, rest = tail.partition("}")
    return [head + choice + rest for choice in inside.split(",")]
