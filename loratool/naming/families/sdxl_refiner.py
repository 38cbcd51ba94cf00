"""Stable Diffusion XL, refiner. Its only encoder, CLIP-G, is ``lora_te_`` in kohya names."""

from ..family import Family, encoders
from .unet import Shape, unet

FAMILY = Family(
    id="sdxl-refiner", title="Stable Diffusion XL refiner", root="unet", kohya_spelling="native",
    trees={"": unet("sdxl-refiner", Shape(widths=(384, 768, 1536, 1536), depths=(0, 4, 4, 0), middle_depth=4,
                                    cross=1280, projection="linear", adm=2560))},
    encoders=encoders("""
clip-g  text_encoder_2  clip_g  lora_te_
"""),
)
