"""A family's names in every dialect, both ways.

Reading is many to one: native and diffusers spellings, several prefixes. Writing is one to one.
Names are looked up; a name that no table holds has no address.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from ..errors import Unmapped
from .address import DENOISER, Address
from .dialect import Dialect, separator_of
from .families import encoder_tree, family
from .family import Family, Module, Tree


class Hit(NamedTuple):
    """What a spelled name means; ``spelling`` is native, diffusers or both."""

    address: Address
    spelling: str


class KeyMap:
    """The lookup tables of one family."""

    def __init__(self, of: Family) -> None:
        self.family = of
        self.trees: dict[str, Tree] = {DENOISER: of.tree}
        self._flat: dict[str, dict[str, Hit]] = {DENOISER: {}}
        self._dotted: dict[str, dict[str, Hit]] = {DENOISER: {}}
        self._prefixes: dict[str, str] = {}
        for module in of.tree.modules.values():
            self._add(DENOISER, module.native, Address(DENOISER, module.native), _spelling(module))
            for part in module.parts:
                if part.name != module.native:
                    self._add(DENOISER, part.name, Address(DENOISER, module.native, part.rows), "diffusers")
        for component, encoder in of.encoders.items():
            self.trees[component] = encoder_tree(encoder.tree)
            self._flat[component], self._dotted[component] = {}, {}
            for name in self.trees[component].modules:
                # transformers 5 and some trainers leave out the outer module's name.
                for spelled in {name, name.removeprefix("text_model.")}:
                    self._add(component, spelled, Address(component, name), "both")
            for prefix in (*encoder.kohya, encoder.diffusers, *encoder.comfyui,
                           encoder.diffusers + "base_model.model."):
                self._prefixes[prefix] = component

    def _add(self, component: str, name: str, address: Address, spelling: str) -> None:
        hit = Hit(address, spelling)
        self._dotted[component][name] = hit
        self._flat[component][name.replace(".", "_")] = hit

    def component(self, prefix: str) -> str | None:
        """Which component a prefix names in this family; None when it names none of them."""
        if prefix in self._prefixes:
            return self._prefixes[prefix]
        is_encoder = prefix.startswith(("lora_te", "text_encoder"))
        return None if is_encoder else DENOISER

    def read(self, prefix: str, name: str) -> Hit | None:
        """Look up a module's name as it stands after ``prefix``."""
        component = self.component(prefix)
        if component is None:
            return None
        tables = self._flat if separator_of(prefix) == "_" else self._dotted
        return tables[component].get(name)

    def module(self, address: Address) -> Module:
        return self.trees[address.component].modules[address.module]

    def shape(self, address: Address) -> tuple[int, ...]:
        """The shape of the weight, or of the rows that the address names."""
        shape = self.module(address).shape
        if address.rows is None:
            return shape
        return (sum(end - begin for begin, end in address.rows), *shape[1:])

    def lookalikes(self, names: Iterable[str]) -> list[str]:
        """Diffusers modules of the denoiser that are not among ``names`` but end in one of them."""
        wanted = set(names)
        short = [name for name in wanted if "." not in name]
        return [name for name in _part_names(self.family.tree) if name not in wanted
                and any(name.endswith("." + ending) for ending in short)]

    def targets(self, component: str, module: str, dialect: Dialect) -> list[tuple[str, Address]]:
        """The names under which ``dialect`` writes a native module, with the rows that each holds.

        Raises Unmapped when the family has no such module.
        """
        found = self.trees[component].modules.get(module)
        if found is None:
            raise Unmapped(f"{self.family.title} has no module of this name", key=module)
        if component != DENOISER:
            prefix = dialect.encoder_prefix(self.family.encoders[component])
            if dialect.folder:
                prefix += dialect.prefix
            return [(prefix + _separated(module, prefix), Address(component, module))]
        prefix = dialect.denoiser_prefix(self.family)
        if dialect.spells(self.family) == "native":
            return [(prefix + _separated(module, prefix), Address(component, module))]
        return [(prefix + _separated(part.name, prefix), Address(component, module, part.rows))
                for part in found.parts]


def _part_names(tree: Tree) -> list[str]:
    return [part.name for module in tree.modules.values() for part in module.parts]


def _separated(name: str, prefix: str) -> str:
    return name.replace(".", "_") if separator_of(prefix) == "_" else name


def _spelling(module: Module) -> str:
    return "both" if module.parts[0].name == module.native else "native"


@cache
def keymap(family_id: str) -> KeyMap:
    return KeyMap(family(family_id))
