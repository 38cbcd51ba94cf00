"""A model's names in every dialect, both ways.

Reading is many to one: native, diffusers and other spellings, several prefixes. Writing is one to one.
Names are looked up; a name that no table holds has no address.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from typing import NamedTuple

from ..errors import Unmapped
from . import index
from .address import DENOISER, Address, endings_of, height
from .dialect import Dialect, is_encoder_prefix, separator_of, split_prefix
from .families import encoder_tree, of_model
from .family import Family, Module, Part, Tree


class Hit(NamedTuple):
    """What a spelled name means, in which spellings it is so, and the shape of its rows."""

    address: Address
    spellings: frozenset[str]
    shape: tuple[int, ...]


class KeyMap:
    """The lookup tables of one model: a family, in one of its variants. Tables are made when they are first needed."""

    def __init__(self, of: Family, tree: Tree, variants: Iterable[str]) -> None:
        self.family = of
        self.denoiser = tree
        self.encoders = {name: encoder for name, encoder in of.encoders.items()
                         if not encoder.variants or set(encoder.variants) & set(variants)}
        self._prefixes: dict[str, list[str]] = {"lycoris_": [DENOISER, *self.encoders]}
        self._inner: dict[str, str] = {}
        for component, encoder in self.encoders.items():
            for prefix in (*encoder.kohya, encoder.diffusers, *encoder.comfyui, encoder.diffusers + WRAPPER):
                outer, inner = split_prefix(prefix)
                if inner and not is_encoder_prefix(outer):
                    # A network inside the denoiser's: its keys begin with the denoiser's prefix.
                    self._inner[component] = inner.rstrip("._") + "."
                self._prefixes.setdefault(prefix, []).append(component)

    @cached_property
    def trees(self) -> dict[str, Tree]:
        """Component -> its network."""
        return {component: self.tree(component) for component in (DENOISER, *self.encoders)}

    def tree(self, component: str) -> Tree:
        return self.denoiser if component == DENOISER else encoder_tree(self.encoders[component].tree)

    @cached_property
    def _dotted(self) -> dict[str, Hit]:
        """The denoiser's names."""
        found: dict[str, Hit] = {}
        old = self.family.root == "unet"
        for module in _modules(self.denoiser).values():
            for spelling, part in _spelled(module):
                address = Address(DENOISER, module.native, part.rows)
                _add(found, part.name, address, spelling, module)
                if old and spelling == "diffusers" and (name := old_name(part.name)):
                    _add(found, name, address, "processor", module)
        for component, inner in self._inner.items():
            found |= {inner + name: hit for name, hit in _encoder_names(self.encoders[component].tree).items()}
        return found

    @cached_property
    def _flat(self) -> dict[str, Hit]:
        return _flattened(self._dotted)

    def _table(self, component: str, flat: bool) -> Mapping[str, Hit]:
        if component == DENOISER:
            return self._flat if flat else self._dotted
        tree_id = self.encoders[component].tree
        return _encoder_flat(tree_id) if flat else _encoder_names(tree_id)

    def components(self, prefix: str) -> list[str]:
        """Which networks a prefix can name in this family."""
        found = self._prefixes.get(prefix)
        return found if found is not None else [] if is_encoder_prefix(prefix) else [DENOISER]

    def tables(self, prefix: str) -> list[Mapping[str, Hit]]:
        """Where a name that stands after ``prefix`` is looked up."""
        flat = separator_of(prefix) == "_"
        return [self._table(component, flat) for component in self.components(prefix)]

    def read(self, prefix: str, name: str) -> Hit | None:
        """Look up a module's name as it stands after ``prefix``."""
        return next((hit for table in self.tables(prefix) if (hit := table.get(name)) is not None), None)

    def names(self, component: str) -> Iterable[tuple[str, Hit]]:
        """Every name that is read for a network, dotted."""
        return self._table(component, flat=False).items()

    def module(self, address: Address) -> Module:
        return _modules(self.tree(address.component))[address.module]

    def interleaved(self, address: Address) -> Address:
        """``address`` as a file with parts interleaved head by head holds it; itself where there is no such form."""
        module = self.module(address)
        return address._replace(rows=module.interleaved) if module.heads and address.rows is None else address

    def shape(self, address: Address) -> tuple[int, ...]:
        """The shape of the weight, or of the rows that the address names."""
        return _shape(self.module(address), address)

    def kinds(self, component: str) -> dict[str, str]:
        """Native name -> its pattern."""
        return self.denoiser_kinds if component == DENOISER else _encoder_kinds(self.encoders[component].tree)

    @cached_property
    def denoiser_kinds(self) -> dict[str, str]:
        return _kinds(self.denoiser)

    @cached_property
    def patterns(self) -> set[str]:
        """The patterns of all names of the denoiser."""
        return {index.pattern(name) for name in self._dotted}

    def lookalikes(self, names: Iterable[str]) -> list[str]:
        """Diffusers modules of the denoiser that are not among ``names`` but end in one of them."""
        wanted = set(names)
        return [part.name for module in self.denoiser.modules.values() for part in module.parts
                if part.name not in wanted and not wanted.isdisjoint(endings_of(part.name))]

    def targets(self, component: str, module: str, dialect: Dialect,
                spelling: str | None = None) -> list[tuple[str, Address]]:
        """The names under which ``dialect`` writes a native module, with the rows that each holds.

        ``spelling`` instead of the one that the dialect writes. Raises Unmapped when the family has no such
        module, or the dialect no name for it.
        """
        found = _modules(self.tree(component)).get(module)
        if found is None:
            raise Unmapped(f"{self.family.title} has no module of this name", key=module)
        if component != DENOISER:
            return [(self._encoder_name(component, module, dialect), Address(component, module))]
        prefix = dialect.denoiser_prefix(self.family)
        parts = found.spelled(spelling or dialect.spells(self.family))
        if not parts:
            raise Unmapped(f"the dialect {dialect.id} has no name for it", key=module)
        return [(prefix + _separated(part.name, prefix), Address(component, module, part.rows)) for part in parts]

    def _encoder_name(self, component: str, module: str, dialect: Dialect) -> str:
        prefix = dialect.encoder_prefix(self.encoders[component])
        if prefix is None:
            raise Unmapped(f"the dialect {dialect.id} has no names for text encoders", key=module)
        if dialect.folder:
            prefix += dialect.prefix
        found = [c for c in self.components(prefix) if module in _modules(self.tree(c))]
        if len(found) > 1:
            raise Unmapped(f"{' and '.join(found)} would have one name in {dialect.id}", key=module)
        return prefix + _separated(module, prefix)


WRAPPER = "base_model.model."


def _modules(tree: Tree) -> Mapping[str, Module]:
    return ChainMap(tree.modules, tree.norms)


def _add(table: dict[str, Hit], name: str, address: Address, spelling: str, module: Module) -> None:
    before = table.get(name)
    spellings = before.spellings if before and before.address == address else frozenset()
    table[name] = Hit(address, spellings | {spelling}, _shape(module, address))


@cache
def _encoder_names(tree_id: str) -> dict[str, Hit]:
    """An encoder's names; its component is the tree's id in every family."""
    found: dict[str, Hit] = {}
    for name, module in _modules(encoder_tree(tree_id)).items():
        for spelled in _outer_names(name):
            _add(found, spelled, Address(tree_id, name), "native", module)
        if old := old_name(name):
            _add(found, old, Address(tree_id, name), "processor", module)
    return found


@cache
def _encoder_flat(tree_id: str) -> dict[str, Hit]:
    return _flattened(_encoder_names(tree_id))


def _kinds(tree: Tree) -> dict[str, str]:
    return {name: index.pattern(name) for name in tree.modules}


@cache
def _encoder_kinds(tree_id: str) -> dict[str, str]:
    return _kinds(encoder_tree(tree_id))


def _flattened(table: Mapping[str, Hit]) -> dict[str, Hit]:
    """The names with ``_`` for every dot; one that two spellings share is right in both."""
    found: dict[str, Hit] = {}
    for name, hit in table.items():
        flat = name.replace(".", "_")
        before = found.get(flat)
        same = before is not None and before.address == hit.address
        found[flat] = hit._replace(spellings=hit.spellings | before.spellings) if before and same else hit
    return found


def _shape(module: Module, address: Address) -> tuple[int, ...]:
    return module.shape if address.rows is None else (height(address.rows), *module.shape[1:])


def _spelled(module: Module) -> Iterator[tuple[str, Part]]:
    yield "native", Part(module.native)
    for part in module.parts:
        yield "diffusers", part
    for spelling in ("comfyui", "xlabs", "also"):
        if spelling != "xlabs" or module.spelled(spelling):
            for part in module.spelled(spelling):
                yield "native" if spelling == "also" else spelling, part


_ATTENTION = re.compile(r"(.*\.)(attn\d?|self_attn)\.(?:(to_[qkv]|to_out|add_[kv]_proj)(?:\.0)?|([qkv]|out)_proj)")


def old_name(name: str) -> str | None:
    """The name that diffusers before 0.22 gave a projection's LoRA; None for modules that it could not train."""
    found = _ATTENTION.fullmatch(name)
    if found is None:
        return None
    if found[4]:
        return f"{found[1]}{found[2]}.to_{found[4]}_lora"
    return f"{found[1]}{found[2]}.processor.{found[3]}_lora"


_OUTER = ("model.", "language_model.", "model.language_model.")


def _outer_names(name: str) -> Iterator[str]:
    """An encoder's module with and without the names of the modules around it: trainers and libraries differ."""
    yield name
    if name.startswith("text_model."):
        yield name.removeprefix("text_model.")
    if name.startswith("layers."):
        yield from (outer + name for outer in _OUTER)


def _separated(name: str, prefix: str) -> str:
    return name.replace(".", "_") if separator_of(prefix) == "_" else name


@cache
def keymap(model: str) -> KeyMap:
    """The names of a model: ``family/variant``, or ``family`` for the first of its variants."""
    of = of_model(model)
    for name, tree, variants in of.models():
        if model in (name, of.id) or model.partition("/")[2] in variants:
            return KeyMap(of, tree, variants)
    raise KeyError(model)
