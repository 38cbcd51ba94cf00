"""Stable Diffusion 2.x."""

from ..family import Family, encoders
from .unet import Shape, unet

FAMILY = Family(
    id="sd2", title="Stable Diffusion 2.x", root="unet", kohya_spelling="diffusers",
    trees={"": unet("sd2", Shape(widths=(320, 640, 1280, 1280), depths=(1, 1, 1, 0), middle_depth=1,
                           cross=1024, projection="linear"))},
    encoders=encoders("""
openclip-h  text_encoder  clip_h  lora_te_
"""),
)
