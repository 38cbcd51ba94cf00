"""Dialects: how programs spell an adapter's keys. A row each; no code per program.

A key is ``prefix + module + suffix``. The row says which prefix, how the module is spelled and
separated, which suffixes the factors have and where alpha lives.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .family import Encoder, Family


class Dialect(NamedTuple):
    """One spelling of keys.

    ``prefix`` is the denoiser's (``{root}``: unet or transformer, as the family says);
    ``spelling`` native, diffusers, or main (what the family's main trainer writes);
    ``encoder`` names the column of Encoder that holds the text encoders' prefixes;
    ``alpha`` is ``tensor`` (a key per module) or ``folded`` (none: a scale of 1).
    """

    id: str
    title: str
    prefix: str
    separator: str
    spelling: str
    style: str
    encoder: str
    alpha: str
    written: bool = False
    folder: bool = False
    """Written as a folder, one file a component, as PEFT loads it."""

    def denoiser_prefix(self, family: Family) -> str:
        return self.prefix.replace("{root}", family.root)

    def encoder_prefix(self, encoder: Encoder) -> str:
        if self.encoder == "kohya":
            return encoder.kohya[0]
        return encoder.comfyui[0] if self.encoder == "comfyui" else encoder.diffusers

    def spells(self, family: Family) -> str:
        """``native`` or ``diffusers``."""
        return family.kohya_spelling if self.spelling == "main" else self.spelling


DIALECTS: dict[str, Dialect] = {d.id: d for d in (
    Dialect("kohya", "Kohya sd-scripts, musubi-tuner, LyCORIS", "lora_unet_", "_", "main",
            "kohya", "kohya", "tensor", written=True),
    Dialect("kohya-diffusers", "Kohya keys on diffusers names (ai-toolkit)", "lora_unet_", "_",
            "diffusers", "kohya", "kohya", "tensor", written=True),
    Dialect("onetrainer", "older OneTrainer", "lora_transformer_", "_", "diffusers", "kohya",
            "kohya", "tensor"),
    Dialect("diffusers", "diffusers", "{root}.", ".", "diffusers", "peft", "diffusers", "folded",
            written=True),
    Dialect("diffusers-kohya", "diffusers names with Kohya factors", "{root}.", ".", "diffusers",
            "kohya", "diffusers", "tensor"),
    Dialect("diffusion-pipe", "diffusion-pipe", "transformer.", ".", "native", "peft", "diffusers",
            "folded"),
    Dialect("comfyui", "ComfyUI and official releases", "diffusion_model.", ".", "native", "",
            "comfyui", "tensor", written=True),
    Dialect("peft", "PEFT", "base_model.model.", ".", "diffusers", "peft", "diffusers", "folded",
            written=True, folder=True),
    Dialect("native", "bare native names", "", ".", "native", "", "comfyui", "tensor"),
)}

TARGETS = tuple(d.id for d in DIALECTS.values() if d.written)
ALIASES = {"a1111": "kohya"}

_PREFIX = re.compile(
    r"(?P<flat>lora_unet_|lora_te[1-4]?_|lora_transformer_)"
    r"|(?P<peft>(?:(?:unet|transformer|text_encoder(?:_[234])?)\.)?base_model\.model\.)"
    r"|(?P<dotted>unet\.|transformer\.|text_encoder(?:_[234])?\.|diffusion_model\."
    r"|text_encoders\.[a-z0-9_]+\.(?:transformer\.)?)")


def split_prefix(key: str) -> tuple[str, str]:
    """``key`` as (prefix, rest); an unknown prefix is the empty one."""
    found = _PREFIX.match(key)
    return (found[0], key[found.end():]) if found else ("", key)


def separator_of(prefix: str) -> str:
    return "_" if prefix.endswith("_") else "."


def is_encoder_prefix(prefix: str) -> bool:
    return prefix.startswith(("lora_te", "text_encoder"))


def dialect_of(prefix: str, spelling: str, style: str, family: Family | None) -> str:
    """The id of the dialect that a denoiser key is written in, or ``unknown``.

    ``spelling`` is native, diffusers or both (the two names are equal); ``style`` the suffixes'.
    """
    if prefix.endswith("base_model.model."):
        return "peft"
    for dialect in DIALECTS.values():
        if family is not None:
            if dialect.denoiser_prefix(family) != prefix:
                continue
            if spelling not in ("both", dialect.spells(family)):
                continue
        elif prefix not in (dialect.prefix, *_rooted(dialect)):
            continue
        if dialect.style in ("", style) or (dialect.style == "kohya" and style in ("dotted", "")):
            return dialect.id
    return "unknown"


def _rooted(dialect: Dialect) -> tuple[str, ...]:
    return tuple(dialect.prefix.replace("{root}", root) for root in ("unet", "transformer"))


def encoder_dialect_of(prefix: str) -> str:
    """As ``dialect_of``, for a text encoder's key (kohya stands for all that share its names)."""
    if prefix.endswith("base_model.model."):
        return "peft"
    if prefix.startswith("lora_te"):
        return "kohya"
    return "comfyui" if prefix.startswith("text_encoders.") else "diffusers"
