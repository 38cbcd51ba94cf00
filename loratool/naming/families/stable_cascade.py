"""Stable Cascade: stage C (the prior) and stage B.

Blocks come in turns of ResBlock, TimestepBlock and, in wide levels, AttnBlock. The attention of the
checkpoints is torch's MultiheadAttention with q, k and v in one weight; ComfyUI splits it in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..family import Family, Module, Part, Tree, encoders, modules

RES = """
depthwise       =    hx1x3x3    bias
channelwise.0   =    4hxin      bias
channelwise.4   =    hx4h       bias
"""
TIME = "mapper = 2hx64 bias\nmapper_sca = 2hx64 bias"
CRP = "mapper_crp = 2hx64 bias"
OUTSIDE_C = """
clip_txt_pooled_mapper        =    8192x1280       bias
clip_txt_mapper               =    2048x1280       bias
clip_img_mapper               =    8192x768        bias
embedding.1                   =    2048x16x1x1     bias
down_downscalers.1.1.blocks.0 =    2048x2048x1x1   bias
up_upscalers.0.1.blocks.1     =    2048x2048x1x1   bias
clf.1                         =    16x2048x1x1     bias
"""
OUTSIDE_B = """
effnet_mapper.0         =                         1280x16x1x1      bias
effnet_mapper.2         =                         320x1280x1x1     bias
pixels_mapper.0         =                         1280x3x1x1       bias
pixels_mapper.2         =                         320x1280x1x1     bias
clip_mapper             clip_txt_pooled_mapper    5120x1280        bias
embedding.1             =                         320x16x1x1       bias
down_downscalers.1.1    =                         640x320x2x2      bias
down_downscalers.2.1    =                         1280x640x2x2     bias
down_downscalers.3.1    =                         1280x1280x2x2    bias
up_upscalers.0.1        =                         1280x1280x2x2    bias
up_upscalers.1.1        =                         1280x640x2x2     bias
up_upscalers.2.1        =                         640x320x2x2      bias
up_repeat_mappers.0.N   =                         1280x1280x1x1    bias N=0-1
up_repeat_mappers.1.N   =                         1280x1280x1x1    bias N=0-1
up_repeat_mappers.2.0   =                         640x640x1x1      bias
up_repeat_mappers.3.0   =                         320x320x1x1      bias
clf.1                   =                         16x320x1x1       bias
"""


class Level(NamedTuple):
    """One resolution of one way: ``skip`` for the level whose first block also reads the way down."""

    name: str
    width: int
    turns: int
    attention: bool = True
    skip: bool = False


STAGE_C = (Level("down_blocks.0", 2048, 8), Level("down_blocks.1", 2048, 24), Level("up_blocks.0", 2048, 24),
           Level("up_blocks.1", 2048, 8, skip=True))
STAGE_B = (Level("down_blocks.0", 320, 2, False), Level("down_blocks.1", 640, 6, False),
           Level("down_blocks.2", 1280, 28), Level("down_blocks.3", 1280, 6), Level("up_blocks.0", 1280, 6),
           Level("up_blocks.1", 1280, 28, skip=True), Level("up_blocks.2", 640, 6, False, skip=True),
           Level("up_blocks.3", 320, 2, False, skip=True))


def _level(level: Level, crp: bool) -> Iterator[Module]:
    kinds = 3 if level.attention else 2
    for turn in range(level.turns):
        first = f"{level.name}.{turn * kinds}."
        reads = 2 * level.width if level.skip and turn == 0 else level.width
        yield from modules(RES, {"h": level.width, "in": reads}, (first, first))
        time = f"{level.name}.{turn * kinds + 1}."
        yield from modules(TIME + ("\n" + CRP if crp else ""), {"h": level.width}, (time, time))
        if level.attention:
            yield from _attention(f"{level.name}.{turn * kinds + 2}.", level.width)


def _attention(place: str, width: int) -> Iterator[Module]:
    thirds = [((n * width, (n + 1) * width),) for n in range(3)]
    split = tuple(Part(f"{place}attention.{name}", rows) for name, rows in zip(("to_q", "to_k", "to_v"), thirds,
                                                                             strict=True))
    inside = tuple(Part(part.name.replace("attention.", "attention.attn."), part.rows) for part in split)
    yield Module(f"{place}attention.attn.in_proj", split, (3 * width, width), True, {"comfyui": inside})
    yield from modules("attention.attn.out_proj attention.to_out.0 hxh bias\nkv_mapper.1 = hxh bias", {"h": width},
                       (place, place))


def _stage(tree_id: str, levels: tuple[Level, ...], outside: str, crp: bool) -> Tree:
    found = [*modules(outside, {}), *(module for level in levels for module in _level(level, crp))]
    return Tree(tree_id, {module.native: module for module in found})


FAMILY = Family(
    id="stable-cascade", title="Stable Cascade", root="unet", kohya_spelling="comfyui",
    trees={"c": _stage("stable-cascade-c", STAGE_C, OUTSIDE_C, crp=True),
           "b": _stage("stable-cascade-b", STAGE_B, OUTSIDE_B, crp=False)},
    encoders=encoders("clip-g  text_encoder  clip_g  lora_te_ lora_prior_te_"),
)
