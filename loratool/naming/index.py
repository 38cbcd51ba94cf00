"""The precompiled index: leaf patterns to networks and shapes.

It is built from families/ by ``python -m loratool.naming.index`` and committed; a test checks that
it is current. Identifying a file loads this one table and then only the families that fit.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from typing import Any

PATH = os.path.join(os.path.dirname(__file__), "index.json")
_DIGITS = re.compile(r"\d+")


def pattern(name: str) -> str:
    """A module's name with separators unified and numbers folded: ``blocks_#_attn_qkv``."""
    return _DIGITS.sub("#", name.replace(".", "_"))


def plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without trailing 1x1: a 1x1 convolution is a linear layer."""
    end = len(shape)
    while end > 2 and shape[end - 1] == 1:
        end -= 1
    return shape[:end]


@cache
def load() -> dict[str, Any]:
    """``{"families": {id: [network, ...]}, "patterns": {pattern: {network: [shape, ...]}}}``."""
    with open(PATH, encoding="utf-8") as file:
        loaded: dict[str, Any] = json.load(file)
    return loaded


def build() -> dict[str, Any]:
    from .families import FAMILIES, TREES, encoder_tree, family

    patterns: dict[str, dict[str, set[tuple[int, ...]]]] = {}
    families: dict[str, list[str]] = {}

    def add(name: str, network: str, shape: tuple[int, ...]) -> None:
        patterns.setdefault(pattern(name), {}).setdefault(network, set()).add(plain(shape))

    for family_id in FAMILIES:
        made = family(family_id)
        families[family_id] = [made.tree.id, *(e.tree for e in made.encoders.values())]
        for module in made.tree.modules.values():
            for shape in made.shapes(module.native):
                if shape is not None:
                    add(module.native, made.tree.id, shape)
                    for part in module.parts:
                        rows = shape[0] if part.rows is None else sum(b - a for a, b in part.rows)
                        add(part.name, made.tree.id, (rows, *shape[1:]))
    for tree_id in TREES:
        for module in encoder_tree(tree_id).modules.values():
            for name in {module.native, module.native.removeprefix("text_model.")}:
                add(name, tree_id, module.shape)
    return {"families": families,
            "patterns": {p: {n: sorted(map(list, s)) for n, s in sorted(by.items())}
                         for p, by in sorted(patterns.items())}}


def text() -> str:
    return json.dumps(build(), separators=(",", ":"), sort_keys=True).replace('},"', '},\n"') + "\n"


if __name__ == "__main__":
    with open(PATH, "w", encoding="utf-8") as output:
        output.write(text())
