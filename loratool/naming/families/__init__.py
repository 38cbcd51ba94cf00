"""One data file per model family; shared parts (CLIP-L, T5-XXL, the LDM UNet) once.

``FAMILIES`` and ``TREES`` are the tables of contents: id -> module of this package. A file is
imported only when its family is asked for.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from ..family import Family, Tree

FAMILIES = {
    "sd1": "sd1",
    "sd2": "sd2",
    "sdxl": "sdxl",
    "sdxl-refiner": "sdxl_refiner",
    "flux1": "flux1",
}

TREES = {
    "clip-l": "clip_l",
    "clip-g": "clip_g",
    "openclip-h": "openclip_h",
    "t5-xxl": "t5_xxl",
}
"""Text encoders, each a network of its own that several families share."""


@cache
def family(family_id: str) -> Family:
    loaded: Family = import_module(f"{__name__}.{FAMILIES[family_id]}").FAMILY
    return loaded


@cache
def encoder_tree(tree_id: str) -> Tree:
    loaded: Tree = import_module(f"{__name__}.{TREES[tree_id]}").TREE
    return loaded
