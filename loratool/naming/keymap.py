"""A model's names in every dialect, both ways.

Reading is many to one: native, diffusers and other spellings, several prefixes. Writing is one to one.
Names are looked up; a name that no table holds has no address.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from typing import NamedTuple

from ..errors import Unmapped
from . import index
from .address import DENOISER, Address, height
from .dialect import Dialect, is_encoder_prefix, separator_of, split_prefix
from .families import encoder_tree, of_model
from .family import Family, Module, Part, Tree


class Hit(NamedTuple):
    """What a spelled name means, in which spellings it is so, and the shape of its rows."""

    address: Address
    spellings: frozenset[str]
    shape: tuple[int, ...]


class KeyMap:
    """The lookup tables of one model: a family, in one of its variants."""

    def __init__(self, of: Family, tree: Tree, variants: Iterable[str]) -> None:
        self.family = of
        self.encoders = {name: encoder for name, encoder in of.encoders.items()
                         if not encoder.variants or set(encoder.variants) & set(variants)}
        self.trees: dict[str, Tree] = {DENOISER: tree}
        self.trees |= {name: encoder_tree(encoder.tree) for name, encoder in self.encoders.items()}
        self.modules = {component: tree.modules | tree.norms for component, tree in self.trees.items()}
        self._dotted: dict[str, dict[str, Hit]] = {component: {} for component in self.trees}
        self._prefixes: dict[str, list[str]] = {"lycoris_": list(self.trees)}
        self._add_denoiser()
        for component in self.encoders:
            self._add_encoder(component)
        self._flat = {component: _flattened(table) for component, table in self._dotted.items()}

    def _add_denoiser(self) -> None:
        for module in self.modules[DENOISER].values():
            for spelling, part in _spelled(module):
                self._add(DENOISER, part.name, Address(DENOISER, module.native, part.rows), spelling, module)
                if self.family.root == "unet" and spelling == "diffusers" and (old := old_name(part.name)):
                    self._add(DENOISER, old, Address(DENOISER, module.native, part.rows), "processor", module)

    def _add_encoder(self, component: str) -> None:
        encoder = self.encoders[component]
        for name, module in self.modules[component].items():
            for spelled in _outer_names(name):
                self._add(component, spelled, Address(component, name), "native", module)
            if old := old_name(name):
                self._add(component, old, Address(component, name), "processor", module)
        for prefix in (*encoder.kohya, encoder.diffusers, *encoder.comfyui, encoder.diffusers + "base_model.model."):
            outer, inner = split_prefix(prefix)
            if inner and not is_encoder_prefix(outer):
                # A network inside the denoiser's: its keys begin with the denoiser's prefix.
                self._dotted[DENOISER] |= {inner.rstrip("._") + "." + name: hit
                                           for name, hit in self._dotted[component].items()}
            self._prefixes.setdefault(prefix, []).append(component)

    def _add(self, component: str, name: str, address: Address, spelling: str, module: Module) -> None:
        before = self._dotted[component].get(name)
        spellings = before.spellings if before and before.address == address else frozenset()
        self._dotted[component][name] = Hit(address, spellings | {spelling}, _shape(module, address))

    def components(self, prefix: str) -> list[str]:
        """Which networks a prefix can name in this family."""
        found = self._prefixes.get(prefix)
        return found if found is not None else [] if is_encoder_prefix(prefix) else [DENOISER]

    def tables(self, prefix: str) -> list[Mapping[str, Hit]]:
        """Where a name that stands after ``prefix`` is looked up."""
        tables = self._flat if separator_of(prefix) == "_" else self._dotted
        return [tables[component] for component in self.components(prefix)]

    def read(self, prefix: str, name: str) -> Hit | None:
        """Look up a module's name as it stands after ``prefix``."""
        return next((hit for table in self.tables(prefix) if (hit := table.get(name)) is not None), None)

    def names(self, component: str) -> Iterable[tuple[str, Hit]]:
        """Every name that is read for a network, dotted."""
        return self._dotted[component].items()

    def module(self, address: Address) -> Module:
        return self.modules[address.component][address.module]

    def shape(self, address: Address) -> tuple[int, ...]:
        """The shape of the weight, or of the rows that the address names."""
        return _shape(self.module(address), address)

    @cached_property
    def kinds(self) -> dict[str, dict[str, str]]:
        """Component -> native name -> its pattern."""
        return {component: {name: index.pattern(name) for name in tree.modules}
                for component, tree in self.trees.items()}

    @cached_property
    def counts(self) -> dict[str, Counter[str]]:
        """Component -> how many modules of each pattern the model has."""
        return {component: Counter(kinds.values()) for component, kinds in self.kinds.items()}

    @cached_property
    def patterns(self) -> set[str]:
        """The patterns of all names of the denoiser."""
        return {index.pattern(name) for name in self._dotted[DENOISER]}

    def lookalikes(self, names: Iterable[str]) -> list[str]:
        """Diffusers modules of the denoiser that are not among ``names`` but end in one of them."""
        wanted = set(names)
        short = [name for name in wanted if "." not in name]
        return [part.name for module in self.trees[DENOISER].modules.values() for part in module.parts
                if part.name not in wanted and any(part.name.endswith("." + ending) for ending in short)]

    def targets(self, component: str, module: str, dialect: Dialect,
                spelling: str | None = None) -> list[tuple[str, Address]]:
        """The names under which ``dialect`` writes a native module, with the rows that each holds.

        ``spelling`` instead of the one that the dialect writes. Raises Unmapped when the family has no such
        module, or the dialect no name for it.
        """
        found = self.modules[component].get(module)
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
        found = [c for c in self.components(prefix) if module in self.modules[c]]
        if len(found) > 1:
            raise Unmapped(f"{' and '.join(found)} would have one name in {dialect.id}", key=module)
        return prefix + _separated(module, prefix)


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
