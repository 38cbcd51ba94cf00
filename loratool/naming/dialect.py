"""Dialects: how programs spell an adapter's keys. A row each; no code per program.

A key is ``prefix + module + suffix``. The row says which prefix, how the module is spelled and
separated, which suffixes the factors have and where alpha lives.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from .family import Encoder, Family


class Dialect(NamedTuple):
    """One spelling of keys.

    ``prefix`` is the denoiser's (``{root}``: unet or transformer, as the family says); ``spelling`` native,
    diffusers, comfyui, xlabs, processor (diffusers before 0.22) or main (what the family's main trainer writes);
    ``style`` the suffixes that it writes, "" for those that were there;
    ``encoder`` says how the text encoders' prefixes are made;
    ``alpha`` is ``tensor`` (a key per module) or ``folded`` (none: a scale of 1).
    """

    id: str
    title: str
    prefix: str
    spelling: str
    style: str
    encoder: str
    alpha: str
    written: bool = False
    folder: bool = False
    """Written as a folder, one file a component, as PEFT loads it."""
    reads: tuple[str, ...] = ()
    """Spellings that files have under this prefix, besides the one that is written."""

    def denoiser_prefix(self, family: Family) -> str:
        return self.prefix.replace("{root}", family.root)

    def encoder_prefix(self, encoder: Encoder) -> str | None:
        """What stands before an encoder's modules; None where the dialect has no names for encoders."""
        if self.encoder == "kohya":
            return encoder.kohya[0]
        if self.encoder == "cascade":
            return next((prefix for prefix in encoder.kohya if "prior" in prefix), encoder.kohya[0])
        named = {"comfyui": encoder.comfyui[0], "diffusers": encoder.diffusers, "lycoris": self.prefix}
        return named.get(self.encoder)

    def spells(self, family: Family) -> str:
        """The spelling that is written in ``family``: never ``main``."""
        return family.kohya_spelling if self.spelling == "main" else self.spelling


NATIVE = ("native", "comfyui", "diffusers")

DIALECTS: dict[str, Dialect] = {d.id: d for d in (
    Dialect("kohya", "sd-scripts, musubi-tuner, LyCORIS, OneTrainer", "lora_unet_", "main",
            "kohya", "kohya", "tensor", written=True, reads=("native", "comfyui")),
    Dialect("kohya-diffusers", "ai-toolkit and older OneTrainer for SDXL", "lora_unet_",
            "diffusers", "kohya", "kohya", "tensor", written=True),
    Dialect("kohya-double", "VideoX-Fun, Z-Image-Fun", "lora_unet__", "main", "kohya", "kohya", "tensor",
            reads=NATIVE),
    Dialect("onetrainer", "older OneTrainer", "lora_transformer_", "diffusers", "kohya",
            "kohya", "tensor", written=True),
    Dialect("cascade", "trainers of Stable Cascade", "lora_prior_unet_", "main", "kohya", "cascade", "tensor",
            reads=NATIVE),
    Dialect("lycoris", "SimpleTuner, LyCORIS as a wrapper", "lycoris_", "diffusers", "kohya", "lycoris", "tensor",
            written=True, reads=NATIVE),
    Dialect("diffusers", "diffusers, OneTrainer, ai-toolkit", "{root}.", "diffusers", "peft", "diffusers", "folded",
            written=True),
    Dialect("old-diffusers", "diffusers before 0.22", "{root}.", "processor", "bare", "diffusers", "folded"),
    Dialect("diffusers-kohya", "mixed tools", "{root}.", "diffusers", "kohya", "diffusers", "tensor"),
    Dialect("diffusion-pipe", "diffusion-pipe", "transformer.", "native", "peft", "diffusers", "folded",
            reads=("comfyui",)),
    Dialect("comfyui", "ComfyUI, OneTrainer, ai-toolkit, official releases", "diffusion_model.", "comfyui", "",
            "comfyui", "tensor", written=True, reads=NATIVE),
    Dialect("peft", "PEFT, DiffSynth", "base_model.model.", "diffusers", "peft", "diffusers", "folded",
            written=True, folder=True, reads=NATIVE),
    Dialect("xlabs", "XLabs, USO", "", "xlabs", "bare", "", "folded", written=True),
    Dialect("native", "official releases, OneTrainer (denoiser only)", "", "native", "", "comfyui", "tensor",
            written=True, reads=NATIVE),
)}

TARGETS = tuple(d.id for d in DIALECTS.values() if d.written)
ALIASES = {"a1111": "kohya"}

_PREFIX = re.compile(
    r"(?P<flat>lora_unet__?|oft_unet_|lora_te[1-4]?_|lora_transformer_|lora_prior_(?:unet|te)_|lycoris_)"
    r"|(?P<peft>(?:(?:unet|transformer|text_encoder(?:_[234])?|text_conditioner)\.)?base_model\.model\.)"
    r"|(?P<dotted>unet\.|transformer\.|text_encoder(?:_[234])?\.|text_conditioner\.|diffusion_model\."
    r"|text_encoders\.[a-z0-9_]+\.(?:transformer\.)?)")


def split_prefix(key: str) -> tuple[str, str]:
    """``key`` as (prefix, rest); an unknown prefix is the empty one."""
    found = _PREFIX.match(key)
    return (found[0], key[found.end():]) if found else ("", key)


def separator_of(prefix: str) -> str:
    return "_" if prefix.endswith("_") else "."


def is_encoder_prefix(prefix: str) -> bool:
    return prefix.startswith(("lora_te", "text_encoder", "text_conditioner", "lora_prior_te"))


def dialects_of(prefix: str, spellings: Collection[str], style: str,
                families: Collection[Family]) -> list[str]:
    """The ids of the dialects that a denoiser key can be written in, the likeliest first.

    ``spellings`` are those that the module's name is right in; ``style`` the suffixes'. Several answers mean that
    this key does not tell: its names in two spellings are equal. ``families``: those that the file can be for.
    """
    if prefix.endswith("base_model.model."):
        return ["peft"]
    prefix = "lora_unet_" if prefix == "oft_unet_" else prefix
    found = []
    for dialect in DIALECTS.values():
        if families:
            if not any(dialect.denoiser_prefix(family) == prefix
                       and {dialect.spells(family), *dialect.reads} & {*spellings} for family in families):
                continue
        elif prefix not in (dialect.prefix, *_rooted(dialect)):
            continue
        # Suffixes of other algorithms have no style: every program writes them alike.
        if dialect.style in ("", style) or not style or (dialect.style == "kohya" and style == "dotted"):
            found.append(dialect.id)
    return found


def _rooted(dialect: Dialect) -> tuple[str, ...]:
    return tuple(dialect.prefix.replace("{root}", root) for root in ("unet", "transformer"))


def encoder_dialect_of(prefix: str) -> str:
    """As ``dialects_of``, for a text encoder's key (kohya stands for all that share its names)."""
    if prefix.endswith("base_model.model."):
        return "peft"
    for start, name in (("lora_te", "kohya"), ("lora_prior_te", "cascade"), ("lycoris_", "lycoris"),
                        ("text_encoders.", "comfyui")):
        if prefix.startswith(start):
            return name
    return "diffusers"
