"""Stable Diffusion XL, base."""

from ..family import Family, encoders
from .unet import Shape, unet

FAMILY = Family(
    id="sdxl", title="Stable Diffusion XL", root="unet", kohya_spelling="native",
    trees={"": unet("sdxl", Shape(widths=(320, 640, 1280), depths=(0, 2, 10), middle_depth=10,
                            cross=2048, projection="linear", adm=2816))},
    encoders=encoders("""
clip-l  text_encoder  clip_l  lora_te1_
clip-g  text_encoder_2  clip_g  lora_te2_
"""),
)
