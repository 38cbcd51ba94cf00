"""Stable Diffusion XL, refiner. Its only encoder, CLIP-G, is ``lora_te_`` in kohya names."""

from ..family import Encoder, Family
from .unet import Shape, unet

FAMILY = Family(
    id="sdxl-refiner", title="Stable Diffusion XL refiner", root="unet", kohya_spelling="native",
    tree=unet("sdxl-refiner", Shape(widths=(384, 768, 1536, 1536), depths=(0, 4, 4, 0), middle_depth=4,
                                    cross=1280, projection="linear", adm=2560)),
    encoders={"clip-g": Encoder("clip-g", kohya=("lora_te_",), diffusers="text_encoder_2.",
                                comfyui=("text_encoders.clip_g.transformer.", "text_encoders.clip_g."))},
)
