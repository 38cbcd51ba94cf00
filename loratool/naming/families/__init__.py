"""The table of families, in the order in which people meet them; a file each."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from ..family import Family, Tree

FAMILIES = {
    "sd1": "sd1",
    "sd2": "sd2",
    "sdxl": "sdxl",
    "sdxl-refiner": "sdxl_refiner",
    "stable-cascade": "stable_cascade",
    "sd3": "sd3",
    "flux1": "flux1",
    "chroma": "chroma",
    "flux2": "flux2",
    "flux3": "flux3",
    "lumina2": "lumina2",
    "z-image": "z_image",
    "pixart-sigma": "pixart_sigma",
    "sana": "sana",
    "auraflow": "auraflow",
    "hunyuan-video": "hunyuan_video",
    "hunyuan-video-1.5": "hunyuan_video_15",
    "hunyuan-image": "hunyuan_image",
    "framepack": "framepack",
    "wan": "wan",
    "qwen-image": "qwen_image",
    "hidream": "hidream",
    "ltx-video": "ltx_video",
    "ltx2": "ltx2",
    "cosmos-predict2": "cosmos_predict2",
    "anima": "anima",
    "krea2": "krea2",
    "ideogram4": "ideogram4",
    "minimax-h3": "minimax_h3",
    "mochi": "mochi",
    "kandinsky5": "kandinsky5",
    "cogvideox": "cogvideox",
    "cogview4": "cogview4",
    "ernie-image": "ernie_image",
    "ace-step": "ace_step",
    "omnigen2": "omnigen2",
    "prx": "prx",
}


@cache
def family(family_id: str) -> Family:
    loaded: Family = import_module(f"{__name__}.{FAMILIES[family_id]}").FAMILY
    return loaded


def of_model(model: str) -> Family:
    """The family of a model's id, ``family`` or ``family/variant``."""
    return family(model.partition("/")[0])


@cache
def encoder_tree(tree_id: str) -> Tree:
    from .text_encoders import NETWORKS

    return NETWORKS[tree_id](tree_id)
