"""Stable Diffusion 1.x."""

from ..family import Encoder, Family
from .unet import Shape, unet

FAMILY = Family(
    id="sd1", title="Stable Diffusion 1.x", root="unet", kohya_spelling="diffusers",
    tree=unet("sd1", Shape(widths=(320, 640, 1280, 1280), depths=(1, 1, 1, 0), middle_depth=1,
                           cross=768, projection="conv")),
    encoders={"clip-l": Encoder("clip-l", kohya=("lora_te_",), diffusers="text_encoder.",
                                comfyui=("text_encoders.clip_l.transformer.", "text_encoders.clip_l."))},
)
