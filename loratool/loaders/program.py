"""A program as data: which keys it maps onto modules, which algorithms it computes, where it looks for alpha.

The keys are a table of text, a rule a line; the first rule that fits a layer counts::

    prefix    spelling of the module    families    [only=regex] [but=regex] [breaks=regex] [needs=regex]

``(none)`` is the empty prefix, ``*`` stands for all families of the program. ``only`` and ``but`` are
searched in the module's native name: what they leave out is ignored by the program. ``breaks``: modules
that make it refuse the whole file. ``needs``: modules of the model without which it does not read the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..naming.address import DENOISER
from ..naming.dialect import split_prefix
from ..naming.keymap import KeyMap


class Names(NamedTuple):
    """Keys that a program knows."""

    prefix: str
    spelling: str
    families: tuple[str, ...]
    only: str = ""
    but: str = ""
    breaks: str = ""
    needs: str = ""

    def takes(self, module: str) -> bool:
        """Whether a module, by its native name, is loaded."""
        return not (self.only and not re.search(self.only, module)) and not (self.but and re.search(self.but, module))

    def lacks(self, model: Iterable[str], there: Collection[str]) -> bool:
        """Whether a file with the modules ``there`` has not all that are needed of the model's."""
        return bool(self.needs) and any(re.search(self.needs, name) and name not in there for name in model)

    def stops(self, module: str) -> bool:
        """Whether this module makes the program refuse the file."""
        return bool(self.breaks and re.search(self.breaks, module))


def names(table: str) -> tuple[Names, ...]:
    found = []
    for line in table.strip().splitlines():
        words = line.split()
        options = {word.split("=", 1)[0]: word.split("=", 1)[1] for word in words if word.startswith(_OPTIONS)}
        prefix, spelling, *families = [word for word in words if not word.startswith(_OPTIONS)]
        found.append(Names("" if prefix == "(none)" else prefix, spelling,
                           () if families == ["*"] else tuple(families), **options))
    return tuple(found)


_OPTIONS = ("only=", "but=", "breaks=", "needs=")


NAMED = "named"
"""A kind of layer: a LoRA whose suffixes hold an adapter name other than PEFT's ``default``."""


@dataclass(frozen=True)
class Program:
    """``algorithms``: kind of layer -> "" where it computes the definition, else how it departs from it; kinds that
    are not there are ignored. ``alphas``: the sources of alpha that it looks at."""

    id: str
    title: str
    version: str
    """The version that the rules were read from or tried with."""
    families: tuple[str, ...]
    names: tuple[Names, ...]
    encoders: tuple[str, ...]
    """Prefixes of text encoders that it knows; empty: none."""
    algorithms: Mapping[str, str]
    prefers: tuple[str, ...]
    """The dialects to write for it, best first."""
    alphas: tuple[str, ...] = ("tensor",)
    named: bool = True
    """Whether it takes suffixes with an adapter name other than PEFT's ``default``."""
    refuses: Mapping[str, str] = field(default_factory=dict)
    """Kind of layer -> why a file with such a layer is refused as a whole."""

    def computes(self, kind: str) -> bool:
        """Whether a layer of this kind is loaded at all."""
        return self.named if kind == NAMED else kind in self.algorithms

    def rule(self, keys: KeyMap, component: str, stem: str) -> Names | None:
        """The rule for a module's whole name in a model; None where it is not loaded."""
        prefix, name = split_prefix(stem)
        hit = keys.read(prefix, name)
        return self.place(prefix, hit.spellings, component, keys.family.id) if hit else None

    def place(self, prefix: str, spellings: Collection[str], component: str, family: str) -> Names | None:
        """The rule under which names of this kind are loaded; None where they are not."""
        if component != DENOISER:
            return Names(prefix, "", ()) if component and self.encoders and prefix.startswith(self.encoders) else None
        return next((rule for rule in self.names if rule.prefix == prefix and rule.spelling in spellings
                     and (not rule.families or family in rule.families)), None)
