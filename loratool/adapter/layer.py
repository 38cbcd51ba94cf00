"""What every layer of an adapter can say of itself, without numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..metadata import peft
from ..naming.address import Address, share_rows
from ..naming.dialect import split_prefix
from ..naming.suffix import split_suffix
from ..tensors.header import TensorInfo
from ..tensors.reader import TensorFile

TITLES = {"lora": "LoRA", "locon": "LoCon", "loha": "LoHa", "lokr": "LoKr", "glora": "GLoRA", "oft": "OFT",
          "boft": "BOFT", "ia3": "(IA)³", "full": "full difference", "norm": "norms", "mixed": "several algorithms"}
"""An algorithm's id -> how people write it."""


@dataclass
class Group:
    """The keys of one module, as they stand in the file.

    ``roles`` maps a factor's role (up, down, alpha...) to its key; ``style`` is the suffixes'.
    """

    stem: str
    prefix: str
    name: str
    roles: dict[str, str] = field(default_factory=dict)
    algorithms: set[str] = field(default_factory=set)
    style: str = ""
    suffixes: dict[str, str] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    """Keys whose role another key of the module has already."""

    @property
    def component(self) -> str:
        """The component as PEFT's configuration names it; "" where the keys begin with the module."""
        return self.prefix.removesuffix(peft.WRAPPER).rstrip(".")

    @property
    def algorithm(self) -> str:
        """The algorithm, or ``mixed`` where suffixes of several meet; DoRA decorates, it is none."""
        named = self.algorithms - {"", "dora"}
        if len(named) > 1:
            named -= {"norm", "full"}
        return named.pop() if len(named) == 1 else "mixed" if named else "unknown"

    @property
    def adapter_name(self) -> str:
        """The name that PEFT gave the adapter, where the suffixes hold it (``lora_A.default.weight``)."""
        words = self.suffixes.get("down", "").split(".")
        return words[1] if words[0] == "lora_A" and len(words) == 3 else ""

    @property
    def dora(self) -> bool:
        return "dora" in self.algorithms


def group_keys(file: TensorFile, qualifier: str = "") -> tuple[dict[str, Group], list[str]]:
    """The file's keys by module, in the order of their bytes, and the keys whose suffix nobody knows.

    ``qualifier`` is put before each key: the component that a PEFT folder names outside the file.
    """
    groups: dict[str, Group] = {}
    loose: list[str] = []
    for info in file.header.in_file_order():
        stem, suffix, factor = split_suffix(qualifier + info.name)
        if factor is None:
            loose.append(info.name)
            continue
        group = groups.get(stem)
        if group is None:
            prefix, name = split_prefix(stem)
            group = groups[stem] = Group(stem, prefix, name)
        if factor.role in group.roles:
            group.twice.append(info.name)
            continue
        group.roles[factor.role] = info.name
        group.suffixes[factor.role] = suffix
        group.algorithms.add(factor.algorithm)
        group.style = group.style or factor.style
    return groups, loose


class Alpha(NamedTuple):
    """A layer's alpha: ``source`` is tensor, adapter_config, metadata or default (alpha = rank)."""

    value: float
    source: str


@dataclass(frozen=True)
class Layer:
    """One module's update. ``address`` is None where no table holds the name."""

    stem: str
    algorithm: str
    file: TensorFile
    group: Group
    address: Address | None

    def info(self, role: str) -> TensorInfo | None:
        key = self.group.roles.get(role)
        return self.file.tensors[key] if key is not None else None

    @property
    def title(self) -> str:
        """The algorithm as people write it."""
        return "DoRA" if self.group.dora else TITLES.get(self.algorithm, self.algorithm)

    @property
    def keys(self) -> list[str]:
        return [*self.group.roles.values(), *self.group.twice]


def twins(layers: Sequence[Layer]) -> Iterator[tuple[Layer, Layer]]:
    """Each layer of a module that holds rows of an earlier one, with that one."""
    for number, layer in enumerate(layers):
        for other in layers[:number]:
            if layer.address and other.address and share_rows(layer.address.rows, other.address.rows):
                yield layer, other
                break


@dataclass(frozen=True)
class CarriedLayer(Layer):
    """A layer without algebra here: named, counted, and carried along unchanged."""

    @property
    def why(self) -> str:
        plain = self.algorithm == "lora" and not self.group.dora
        return "LoRA with a part that is missing or odd" if plain else self.title
