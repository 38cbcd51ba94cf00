"""Stable Diffusion XL, base."""

from ..family import Encoder, Family
from .unet import Shape, unet

FAMILY = Family(
    id="sdxl", title="Stable Diffusion XL", root="unet", kohya_spelling="native",
    tree=unet("sdxl", Shape(widths=(320, 640, 1280), depths=(0, 2, 10), middle_depth=10,
                            cross=2048, projection="linear", adm=2816)),
    encoders={
        "clip-l": Encoder("clip-l", kohya=("lora_te1_",), diffusers="text_encoder.",
                          comfyui=("text_encoders.clip_l.transformer.", "text_encoders.clip_l.")),
        "clip-g": Encoder("clip-g", kohya=("lora_te2_",), diffusers="text_encoder_2.",
                          comfyui=("text_encoders.clip_g.transformer.", "text_encoders.clip_g.")),
    },
)
