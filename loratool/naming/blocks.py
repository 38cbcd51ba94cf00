"""The block of a module, in the short words that block-weight tools use."""

from __future__ import annotations

import re

from .address import DENOISER, Address

_RULES = (
    (re.compile(r"input_blocks\.(\d+)\."), "IN{:02d}"),
    (re.compile(r"middle_block\."), "MID"),
    (re.compile(r"output_blocks\.(\d+)\."), "OUT{:02d}"),
    (re.compile(r"double_blocks\.(\d+)\."), "D{:02d}"),
    (re.compile(r"single_blocks\.(\d+)\."), "S{:02d}"),
)


def order(name: str) -> tuple[int, str]:
    """For sorting: encoders first, then a UNet or DiT from its input to its output."""
    starts = ("IN", "MID", "OUT", "D", "S", "outside", "other")
    return next((n for n, start in enumerate(starts, 1) if name.startswith(start)), 0), name


def block(address: Address | None) -> str:
    """IN08, MID, OUT00 of a UNet, D03, S17 of FLUX.1, else the component; ``other`` without address."""
    if address is None:
        return "other"
    if address.component != DENOISER:
        return address.component
    for rule, form in _RULES:
        found = rule.match(address.module)
        if found:
            return form.format(*map(int, found.groups()))
    return "outside"
