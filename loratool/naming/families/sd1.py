"""Stable Diffusion 1.x."""

from ..family import Family, encoders
from .unet import Shape, unet

FAMILY = Family(
    id="sd1", title="Stable Diffusion 1.x", root="unet", kohya_spelling="diffusers",
    trees={"": unet("sd1", Shape(widths=(320, 640, 1280, 1280), depths=(1, 1, 1, 0), middle_depth=1,
                           cross=768, projection="conv"))},
    encoders=encoders("""
clip-l  text_encoder  clip_l  lora_te_
"""),
)
