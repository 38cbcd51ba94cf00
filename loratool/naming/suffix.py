"""The end of a key: which algorithm, and which of its factors.

This table only recognises. What an algorithm means stands in ``adapter/``.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Factor(NamedTuple):
    """One tensor of a layer. ``style`` groups suffixes that one program writes together."""

    algorithm: str
    role: str
    style: str = ""


SUFFIXES: dict[str, Factor] = {
    "lora_up.weight": Factor("lora", "up", "kohya"),
    "lora_down.weight": Factor("lora", "down", "kohya"),
    "lora_mid.weight": Factor("lora", "mid", "kohya"),
    "lora_B.weight": Factor("lora", "up", "peft"),
    "lora_A.weight": Factor("lora", "down", "peft"),
    "lora.up.weight": Factor("lora", "up", "dotted"),
    "lora.down.weight": Factor("lora", "down", "dotted"),
    "lora_linear_layer.up.weight": Factor("lora", "up", "linear-layer"),
    "lora_linear_layer.down.weight": Factor("lora", "down", "linear-layer"),
    "lora_B.bias": Factor("lora", "bias", "peft"),
    "lora_up.bias": Factor("lora", "bias", "kohya"),
    "alpha": Factor("", "alpha"),
    "dora_scale": Factor("dora", "magnitude"),
    "lora_magnitude_vector": Factor("dora", "magnitude"),
    "lora_magnitude_vector.weight": Factor("dora", "magnitude"),
    "magnitude": Factor("dora", "magnitude"),
    "hada_w1_a": Factor("loha", "w1_a"), "hada_w1_b": Factor("loha", "w1_b"),
    "hada_w2_a": Factor("loha", "w2_a"), "hada_w2_b": Factor("loha", "w2_b"),
    "hada_t1": Factor("loha", "t1"), "hada_t2": Factor("loha", "t2"),
    "lokr_w1": Factor("lokr", "w1"), "lokr_w1_a": Factor("lokr", "w1_a"),
    "lokr_w1_b": Factor("lokr", "w1_b"), "lokr_w2": Factor("lokr", "w2"),
    "lokr_w2_a": Factor("lokr", "w2_a"), "lokr_w2_b": Factor("lokr", "w2_b"),
    "lokr_t2": Factor("lokr", "t2"),
    "a1.weight": Factor("glora", "a1"), "a2.weight": Factor("glora", "a2"),
    "b1.weight": Factor("glora", "b1"), "b2.weight": Factor("glora", "b2"),
    "diff": Factor("full", "diff"), "diff_b": Factor("full", "diff_b"),
    "w_norm": Factor("norm", "w_norm"), "b_norm": Factor("norm", "b_norm"),
    "set_weight": Factor("norm", "set_weight"),
    "oft_blocks": Factor("oft", "blocks"), "oft_diag": Factor("oft", "diag"),
    "oft_R.weight": Factor("oft", "r"), "oft_R.scaled_oft": Factor("oft", "scaled"),
    "rescale": Factor("oft", "rescale"),
    "boft_R": Factor("boft", "r"), "boft_s": Factor("boft", "s"),
    "on_input": Factor("ia3", "on_input"), "ia3_l": Factor("ia3", "l"),
    "scale": Factor("", "scale"),
}


_BARE = re.compile(r"(.*_lora\d?)\.((?:up|down)\.weight)", re.DOTALL)
"""XLabs and diffusers before 0.22: ``lora`` is the end of the module's name."""
_RANGE = re.compile(r"(.*)\.(oft_blocks\.(\d+))", re.DOTALL)
"""sd-scripts' OFT for fused projections: a tensor per range of rows."""


def split_suffix(name: str) -> tuple[str, str, Factor | None]:
    """``name`` without its suffix, the suffix, and what it means (None: nobody knows).

    PEFT puts the adapter's name before the last word: ``lora_A.default.weight``.
    """
    one = name.rfind(".")
    if one < 0:
        return name, "", None
    two = name.rfind(".", 0, one)
    suffix = name[two + 1:]
    found = SUFFIXES.get(suffix)
    if found and two >= 0:
        return name[:two], suffix, found
    three = name.rfind(".", 0, two) if two >= 0 else -1
    if three >= 0:
        found = SUFFIXES.get(name[three + 1:])
        if found:
            return name[:three], name[three + 1:], found
        found = SUFFIXES.get(name[three + 1:two] + name[one:])
        if found and found.style == "peft":
            return name[:three], name[three + 1:], found
    suffix = name[one + 1:]
    found = SUFFIXES.get(suffix)
    if found is None:
        if bare := _BARE.fullmatch(name):
            return bare[1], bare[2], Factor("lora", bare[2].partition(".")[0], "bare")
        if part := _RANGE.fullmatch(name):
            return part[1], part[2], Factor("oft", f"blocks.{part[3]}")
    return name[:one], suffix, found
