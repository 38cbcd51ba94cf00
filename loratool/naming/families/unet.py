"""The latent-diffusion UNet that SD 1, SD 2, SDXL and its refiner share.

Native names are those of the checkpoint (``input_blocks.4.1...``), the second column those of
diffusers' UNet2DConditionModel. Nothing is fused or reordered. Source: the shape of both classes;
ComfyUI's ``unet_to_diffusers`` gives the same relation.
"""

from __future__ import annotations

from typing import NamedTuple

from ..family import Module, Tree, grown, modules

RESNET = """
in_layers.0      norm1            norm
out_layers.0     norm2            norm
in_layers.2      conv1            outxinx3x3     bias
emb_layers.1     time_emb_proj    outxemb        bias
out_layers.3     conv2            outxoutx3x3    bias
"""
SHORTCUT = "skip_connection conv_shortcut outxinx1x1 bias"
PROJECTIONS = {
    "linear": "norm = norm\nproj_in = cxc bias\nproj_out = cxc bias",
    "conv": "norm = norm\nproj_in = cxcx1x1 bias\nproj_out = cxcx1x1 bias",
}
TRANSFORMER = """
norm1            =    norm
norm2            =    norm
norm3            =    norm
attn1.to_q       =    cxc
attn1.to_k       =    cxc
attn1.to_v       =    cxc
attn1.to_out.0   =    cxc        bias
ff.net.0.proj    =    wide8xc    bias
ff.net.2         =    cxwide4    bias
attn2.to_q       =    cxc
attn2.to_k       =    cxcross
attn2.to_v       =    cxcross
attn2.to_out.0   =    cxc        bias
"""
OUTSIDE = """
time_embed.0          time_embedding.linear_1    embxwidth          bias
time_embed.2          time_embedding.linear_2    embxemb            bias
out.0                 conv_norm_out                norm
input_blocks.0.0      conv_in                    widthx4x3x3        bias
out.2                 conv_out                   4xwidthx3x3        bias
"""
LABEL = """
label_emb.0.0         add_embedding.linear_1     embxadm            bias
label_emb.0.2         add_embedding.linear_2     embxemb            bias
"""


class Shape(NamedTuple):
    """What tells one UNet from another: widths per level, transformer layers per level, and so on."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    middle_depth: int
    cross: int
    projection: str
    adm: int = 0
    """Width of the added conditioning; 0 where there is none."""


def unet(tree_id: str, shape: Shape) -> Tree:
    found = _outside(shape) + _down(shape) + _middle(shape) + _up(shape)
    return grown(tree_id, found)


def _outside(s: Shape) -> list[Module]:
    width = s.widths[0]
    sizes = {"width": width, "emb": 4 * width, "adm": s.adm}
    return modules(OUTSIDE, sizes) + (modules(LABEL, sizes) if s.adm else [])


def _resnet(native: str, diffusers: str, s: Shape, source: int, target: int) -> list[Module]:
    table = RESNET + (SHORTCUT if source != target else "")
    return modules(table, {"in": source, "out": target, "emb": 4 * s.widths[0]}, (native, diffusers))


def _attention(native: str, diffusers: str, s: Shape, width: int, depth: int) -> list[Module]:
    sizes = {"c": width, "cross": s.cross, "wide4": 4 * width, "wide8": 8 * width}
    found = modules(PROJECTIONS[s.projection], sizes, (native, diffusers))
    for layer in range(depth):
        block = f"transformer_blocks.{layer}."
        found += modules(TRANSFORMER, sizes, (native + block, diffusers + block))
    return found


def _down(s: Shape) -> list[Module]:
    found: list[Module] = []
    number, before = 1, s.widths[0]
    for level, (width, depth) in enumerate(zip(s.widths, s.depths, strict=True)):
        for layer in range(2):
            block, name = f"input_blocks.{number}.", f"down_blocks.{level}."
            found += _resnet(f"{block}0.", f"{name}resnets.{layer}.", s, before, width)
            if depth:
                found += _attention(f"{block}1.", f"{name}attentions.{layer}.", s, width, depth)
            number, before = number + 1, width
        if level < len(s.widths) - 1:
            found += modules("op conv cxcx3x3 bias", {"c": width},
                             (f"input_blocks.{number}.0.", f"down_blocks.{level}.downsamplers.0."))
            number += 1
    return found


def _middle(s: Shape) -> list[Module]:
    width = s.widths[-1]
    return (_resnet("middle_block.0.", "mid_block.resnets.0.", s, width, width)
            + _attention("middle_block.1.", "mid_block.attentions.0.", s, width, s.middle_depth)
            + _resnet("middle_block.2.", "mid_block.resnets.1.", s, width, width))


def _up(s: Shape) -> list[Module]:
    found: list[Module] = []
    number, before = 0, s.widths[-1]
    skips = _skips(s)
    for level, (width, depth) in enumerate(zip(s.widths[::-1], s.depths[::-1], strict=True)):
        for layer in range(3):
            block, name = f"output_blocks.{number}.", f"up_blocks.{level}."
            found += _resnet(f"{block}0.", f"{name}resnets.{layer}.", s, before + skips.pop(), width)
            if depth:
                found += _attention(f"{block}1.", f"{name}attentions.{layer}.", s, width, depth)
            if layer == 2 and level < len(s.widths) - 1:
                found += modules("conv = cxcx3x3 bias", {"c": width},
                                 (f"{block}{2 if depth else 1}.", f"up_blocks.{level}.upsamplers.0."))
            number, before = number + 1, width
    return found


def _skips(s: Shape) -> list[int]:
    """Widths of the skip connections, in the order in which the way down makes them."""
    made = [s.widths[0]]
    for level, width in enumerate(s.widths):
        made += [width, width]
        if level < len(s.widths) - 1:
            made.append(width)
    return made
