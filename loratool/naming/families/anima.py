"""Anima: the denoiser of Cosmos-Predict 2 with an adapter that reads the text encoder."""

from ..family import Encoder, Family, encoders
from .cosmos import cosmos

FAMILY = Family(
    id="anima", title="Anima", trees={"": cosmos("anima", 2048, 28)},
    encoders=encoders("qwen3-0.6b  text_encoder  qwen3_06b  lora_te_") | {
        "llm-adapter": Encoder("llm-adapter", kohya=("lora_unet_llm_adapter_",), diffusers="text_conditioner.",
                               comfyui=("diffusion_model.llm_adapter.",)),
    },
)
