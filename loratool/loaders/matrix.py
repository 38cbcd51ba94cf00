"""Which programs read which dialects: from the programs' rules and the families' tables alone."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import Unmapped
from ..naming.address import DENOISER
from ..naming.dialect import DIALECTS, Dialect
from ..naming.families import family
from ..naming.keymap import KeyMap, keymap
from . import PROGRAMS, program
from .program import Program


class Reading(NamedTuple):
    """How a family looks in a dialect, and who loads it: every module, or some."""

    dialect: str
    example: str
    """A module's name; "" where the dialect cannot express the family."""
    loads_all: tuple[str, ...]
    loads_part: tuple[str, ...]


def readers(dialect: Dialect) -> list[str]:
    """The programs that have a rule for the dialect's names, in any family."""
    prefixes = {dialect.prefix.replace("{root}", root) for root in ("unet", "transformer")}
    spellings = {dialect.spelling} if dialect.spelling != "main" else {"native", "diffusers", "comfyui"}
    spellings |= {"native"} if dialect.spelling == "comfyui" else set()
    return [name for name in PROGRAMS
            if any(rule.prefix in prefixes and rule.spelling in spellings for rule in program(name).names)]


def readings(family_id: str) -> list[Reading]:
    """A family in each dialect that is written; of several variants the first."""
    model = next(family(family_id).models())[0]
    return [_reading(keymap(model), family_id, dialect) for dialect in DIALECTS.values() if dialect.written]


def _reading(keys: KeyMap, family_id: str, dialect: Dialect) -> Reading:
    stems: list[tuple[str, str]] = []
    for module in keys.denoiser.modules:
        try:
            stems += [(stem, module) for stem, _ in keys.targets(DENOISER, module, dialect)]
        except Unmapped:
            continue
    counts = {name: _loaded(keys, program(name), family_id, stems) for name in PROGRAMS}
    return Reading(dialect.id, stems[len(stems) // 2][0] if stems else "",
                   tuple(name for name, count in counts.items() if stems and count == len(stems)),
                   tuple(name for name, count in counts.items() if 0 < count < len(stems)))


def _loaded(keys: KeyMap, of: Program, family_id: str, stems: list[tuple[str, str]]) -> int:
    if family_id not in of.families:
        return 0
    rules = ((of.rule(keys, DENOISER, stem), module) for stem, module in stems)
    # A module that stops the program is one that the files which it loads do not have.
    return sum(rule is not None and rule.takes(module) and not rule.stops(module) for rule, module in rules)
