"""The precompiled index: leaf patterns to networks and shapes.

It is built from families/ by ``python -m loratool.naming.index`` and committed; a test checks that
it is current. Identifying a file loads this one table and then only the families that fit.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from math import prod
from typing import Any

PATH = os.path.join(os.path.dirname(__file__), "index.json")
_NUMBER = re.compile(r"(?<![^_])\d+(?![^_])")


@cache
def pattern(name: str) -> str:
    """A module's name with separators unified and numbers folded: ``blocks_#_attn_qkv``; ``linear1`` stays."""
    return _NUMBER.sub("#", name.replace(".", "_"))


def flat(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A weight as a matrix, ``(out, in * kh * kw)``: how factors see it; ``(out,)`` where only its rows are known."""
    return shape if len(shape) < 3 else (shape[0], prod(shape[1:]))


@cache
def load() -> dict[str, Any]:
    """``{"models": {id: {"variants": [...], "networks": [...]}}, "patterns": {pattern: {network: [shape, ...]}}}``.

    A network is a model's denoiser, by the model's id, or an encoder.
    """
    with open(PATH, encoding="utf-8") as file:
        loaded: dict[str, Any] = json.load(file)
    return loaded


@cache
def models_with(network: str) -> list[str]:
    return [model for model, entry in load()["models"].items() if network in entry["networks"]]


def build() -> dict[str, Any]:
    from .address import DENOISER
    from .families import FAMILIES, family
    from .keymap import keymap

    patterns: dict[str, dict[str, set[tuple[int, ...]]]] = {}
    models: dict[str, dict[str, list[str]]] = {}
    for family_id in FAMILIES:
        for model, _, variants in family(family_id).models():
            keys = keymap(model)
            models[model] = {"variants": variants, "networks": [model, *keys.encoders]}
            for component in keys.trees:
                for name, hit in keys.names(component):
                    network = model if component == DENOISER else component
                    patterns.setdefault(pattern(name), {}).setdefault(network, set()).add(flat(hit.shape))
    return {"models": models,
            "patterns": {p: {n: sorted(map(list, s)) for n, s in sorted(by.items())}
                         for p, by in sorted(patterns.items())}}


def text() -> str:
    return json.dumps(build(), separators=(",", ":"), sort_keys=True).replace('},"', '},\n"') + "\n"


if __name__ == "__main__":
    with open(PATH, "w", encoding="utf-8") as output:
        output.write(text())
