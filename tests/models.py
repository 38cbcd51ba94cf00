"""The published models as classes of diffusers and transformers, for the meta device."""

from __future__ import annotations

from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

XL = {"use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256}
UNETS = {
    "sd1": {"cross_attention_dim": 768, "attention_head_dim": 8},
    "sd2": {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True},
    "sdxl": XL | {
        "block_out_channels": (320, 640, 1280), "transformer_layers_per_block": (1, 2, 10),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20),
        "projection_class_embeddings_input_dim": 2816},
    "sdxl-refiner": XL | {
        "block_out_channels": (384, 768, 1536, 1536), "transformer_layers_per_block": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 1280, "attention_head_dim": (6, 12, 24, 24),
        "projection_class_embeddings_input_dim": 2560},
}
"""The configurations of the published pipelines, as keyword arguments of UNet2DConditionModel."""


def clip(width: int, layers: int, **more) -> CLIPTextConfig:
    return CLIPTextConfig(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, **more)


ENCODERS = {
    "clip-l": lambda: CLIPTextModel(clip(768, 12)),
    "clip-g": lambda: CLIPTextModelWithProjection(clip(1280, 32, projection_dim=1280)),
    "openclip-h": lambda: CLIPTextModel(clip(1024, 23)),
    "t5-xxl": lambda: T5EncoderModel(T5Config(d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
                                              feed_forward_proj="gated-gelu")),
}
