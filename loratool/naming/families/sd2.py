"""Stable Diffusion 2.x."""

from ..family import Encoder, Family
from .unet import Shape, unet

FAMILY = Family(
    id="sd2", title="Stable Diffusion 2.x", root="unet", kohya_spelling="diffusers",
    tree=unet("sd2", Shape(widths=(320, 640, 1280, 1280), depths=(1, 1, 1, 0), middle_depth=1,
                           cross=1024, projection="linear")),
    encoders={"openclip-h": Encoder("openclip-h", kohya=("lora_te_",),
                                    diffusers="text_encoder.",
                                    comfyui=("text_encoders.clip_h.transformer.", "text_encoders.clip_h."))},
)
