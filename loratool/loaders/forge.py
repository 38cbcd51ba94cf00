"""Forge. Source: ``packages_3rdparty/comfyui_lora_collection/lora.py`` and ``backend/patcher/lora.py``."""

from .program import Program, names

PROGRAM = Program(
    id="forge", title="Forge", version="dfdcbab6",
    families=("sd1", "sd2", "sdxl", "sdxl-refiner", "sd3", "flux1", "chroma"),
    names=names(r"""
lora_unet_           comfyui      *
diffusion_model.     comfyui      *
lora_unet_           diffusers    sd1 sd2 sdxl sdxl-refiner
lycoris_             diffusers    sd1 sd2 sdxl sdxl-refiner flux1
unet.                processor    sd1 sd2 sdxl sdxl-refiner
unet.                diffusers    sd1 sd2 sdxl sdxl-refiner but=attn\d\.to_
transformer.         diffusers    flux1
lora_transformer_    diffusers    flux1
"""),
    encoders=("lora_te", "text_encoder.", "text_encoder_2."),
    algorithms={"lora": "", "tucker": "", "loha": "", "lokr": "", "glora": "", "full": "", "norm": "",
                "dora": "computes DoRA with another norm"},
    prefers=("kohya",),
)
