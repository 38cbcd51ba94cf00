"""The block of a module, in the short words that block-weight tools use."""

from __future__ import annotations

import re

from .address import DENOISER, Address

_UNET = (
    (re.compile(r"input_blocks\.(\d+)\."), "IN{:02d}"),
    (re.compile(r"middle_block\."), "MID"),
    (re.compile(r"output_blocks\.(\d+)\."), "OUT{:02d}"),
)
_NUMBERED = re.compile(r"([A-Za-z_.]+?)\.(\d+)\.")


def order(name: str) -> tuple[int, str]:
    """For sorting: encoders first, then a model from its input to its output, then what is in no block."""
    starts = ("IN", "MID", "OUT")
    if name in ("outside", "other"):
        return len(starts) + 2, name
    if not re.fullmatch(r"[A-Z]+\d*", name):
        return 0, name
    return next((n for n, start in enumerate(starts, 1) if name.startswith(start)), len(starts) + 1), name


def block(address: Address | None) -> str:
    """IN08, MID, OUT00 of a UNet; D03, S17 of FLUX.1, L05 of ``layers``: initials and number of the row of blocks.

    The component for a text encoder; ``outside`` for what is in no block; ``other`` without address.
    """
    if address is None:
        return "other"
    if address.component != DENOISER:
        return address.component
    for rule, form in _UNET:
        if found := rule.match(address.module):
            return form.format(*map(int, found.groups()))
    if found := _NUMBERED.match(address.module):
        words = [word for word in re.split(r"[._]", found[1]) if word and word not in ("blocks", "block")]
        return ("".join(word[0] for word in words).upper() or "B") + f"{int(found[2]):02d}"
    return "outside"
