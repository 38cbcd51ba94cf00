"""The published models as classes of diffusers and transformers, for the meta device."""

from __future__ import annotations

import diffusers
from diffusers.models.condition_embedders.condition_embedder_anima import AnimaTextConditioner
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    Gemma3TextConfig,
    Gemma3TextModel,
    GlmConfig,
    GlmModel,
    LlamaConfig,
    LlamaModel,
    MistralConfig,
    MistralModel,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    Qwen3Config,
    Qwen3Model,
    Qwen3VLTextConfig,
    Qwen3VLTextModel,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

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

RES, TIME, ATTENTION = "SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"
CASCADE_B = {
    "in_channels": 4, "out_channels": 4, "patch_size": 2, "conditioning_dim": 1280,
    "block_out_channels": (320, 640, 1280, 1280), "num_attention_heads": (-1, -1, 20, 20),
    "down_num_layers_per_block": (2, 6, 28, 6), "up_num_layers_per_block": (6, 28, 6, 2),
    "down_blocks_repeat_mappers": (1, 1, 1, 1), "up_blocks_repeat_mappers": (3, 3, 2, 2),
    "block_types_per_layer": ((RES, TIME), (RES, TIME), (RES, TIME, ATTENTION), (RES, TIME, ATTENTION)),
    "effnet_in_channels": 16, "pixel_mapper_in_channels": 3, "timestep_conditioning_type": ("sca",),
    "dropout": (0, 0, 0.1, 0.1)}
WAN = {"in_channels": 16, "out_channels": 16, "num_layers": 40, "num_attention_heads": 40, "ffn_dim": 13824}
WAN_SMALL = WAN | {"num_layers": 30, "num_attention_heads": 12, "ffn_dim": 8960}
WAN_IMAGE = WAN | {"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120}
KANDINSKY = {"in_visual_dim": 16, "out_visual_dim": 16, "visual_cond": True, "model_dim": 1792, "ff_dim": 7168}
LTX_23 = {"gated_attn": True, "cross_attn_mod": True, "audio_gated_attn": True, "audio_cross_attn_mod": True,
          "use_prompt_embeddings": False}

MODELS = {model: ("UNet2DConditionModel", options) for model, options in UNETS.items()} | {
    "stable-cascade/c": ("StableCascadeUNet", {
        "clip_text_in_channels": 1280, "clip_text_pooled_in_channels": 1280, "clip_image_in_channels": 768,
        "switch_level": (False,)}),
    "stable-cascade/b": ("StableCascadeUNet", CASCADE_B),
    "sd3/medium": ("SD3Transformer2DModel", {
        "num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536}),
    "sd3/3.5-medium": ("SD3Transformer2DModel", {
        "num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536, "qk_norm": "rms_norm",
        "dual_attention_layers": tuple(range(13))}),
    "sd3/3.5-large": ("SD3Transformer2DModel", {
        "num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432, "qk_norm": "rms_norm"}),
    "flux1/dev": ("FluxTransformer2DModel", {"guidance_embeds": True}),
    "flux1/schnell": ("FluxTransformer2DModel", {}),
    "flux1/fill": ("FluxTransformer2DModel", {"guidance_embeds": True, "in_channels": 384, "out_channels": 64}),
    "flux1/canny": ("FluxTransformer2DModel", {"guidance_embeds": True, "in_channels": 128, "out_channels": 64}),
    "chroma": ("ChromaTransformer2DModel", {}),
    "flux2/dev": ("Flux2Transformer2DModel", {}),
    "flux2/klein-4b": ("Flux2Transformer2DModel", {
        "num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24, "joint_attention_dim": 7680,
        "guidance_embeds": False}),
    "flux2/klein-9b": ("Flux2Transformer2DModel", {
        "num_layers": 8, "num_single_layers": 24, "num_attention_heads": 32, "joint_attention_dim": 12288,
        "guidance_embeds": False}),
    "flux3": ("Flux3Transformer2DModel", {"flow_map": True}),
    "lumina2": ("Lumina2Transformer2DModel", {
        "num_attention_heads": 24, "num_kv_heads": 8, "axes_dim_rope": (32, 32, 32), "cap_feat_dim": 2304}),
    "z-image": ("ZImageTransformer2DModel", {}),
    "pixart-sigma": ("PixArtTransformer2DModel", {"use_additional_conditions": True, "caption_channels": 4096}),
    "sana": ("SanaTransformer2DModel", {}),
    "auraflow": ("AuraFlowTransformer2DModel", {}),
    "hunyuan-video": ("HunyuanVideoTransformer3DModel", {}),
    "hunyuan-video-1.5": ("HunyuanVideo15Transformer3DModel", {"use_meanflow": True}),
    "hunyuan-image": ("HunyuanImageTransformer2DModel", {
        "guidance_embeds": True, "use_meanflow": True, "text_embed_2_dim": 1472}),
    "framepack": ("HunyuanVideoFramepackTransformer3DModel", {"has_image_proj": True, "has_clean_x_embedder": True}),
    "wan/2.1-t2v-1.3b": ("WanTransformer3DModel", WAN_SMALL),
    "wan/2.1-t2v-14b": ("WanTransformer3DModel", WAN),
    "wan/2.1-i2v-14b": ("WanTransformer3DModel", WAN_IMAGE),
    "wan/2.1-vace-1.3b": ("WanVACETransformer3DModel", WAN_SMALL | {"vace_layers": list(range(0, 30, 2))}),
    "wan/2.1-vace-14b": ("WanVACETransformer3DModel", WAN | {"vace_layers": list(range(0, 40, 5))}),
    "wan/2.2-i2v-a14b": ("WanTransformer3DModel", WAN | {"in_channels": 36}),
    "wan/2.2-ti2v-5b": ("WanTransformer3DModel", {
        "in_channels": 48, "out_channels": 48, "num_layers": 30, "num_attention_heads": 24, "ffn_dim": 14336}),
    "qwen-image": ("QwenImageTransformer2DModel", {}),
    "hidream": ("HiDreamImageTransformer2DModel", {
        "in_channels": 16, "patch_size": 2, "caption_channels": [4096, 4096], "text_emb_dim": 2048,
        "llama_layers": list(range(48)), "num_attention_heads": 20, "attention_head_dim": 128, "num_layers": 16,
        "num_single_layers": 32, "num_routed_experts": 4, "num_activated_experts": 2, "axes_dims_rope": (64, 32, 32),
        "max_resolution": (128, 128)}),
    "ltx-video/2b": ("LTXVideoTransformer3DModel", {}),
    "ltx-video/13b": ("LTXVideoTransformer3DModel", {
        "num_layers": 48, "attention_head_dim": 128, "cross_attention_dim": 4096}),
    "ltx2/2.0": ("LTX2VideoTransformer3DModel", {}),
    "ltx2/2.3": ("LTX2VideoTransformer3DModel", LTX_23),
    "cosmos-predict2/2b": ("CosmosTransformer3DModel", {"num_attention_heads": 16}),
    "cosmos-predict2/14b": ("CosmosTransformer3DModel", {"num_attention_heads": 40, "num_layers": 36}),
    "anima": ("CosmosTransformer3DModel", {"num_attention_heads": 16}),
    "krea2": ("Krea2Transformer2DModel", {}),
    "ideogram4": ("Ideogram4Transformer2DModel", {}),
    "minimax-h3": ("MiniMaxH3Transformer3DModel", {}),
    "mochi": ("MochiTransformer3DModel", {}),
    "kandinsky5/lite": ("Kandinsky5Transformer3DModel", KANDINSKY),
    "kandinsky5/lite-image": ("Kandinsky5Transformer3DModel", KANDINSKY | {
        "visual_cond": False, "model_dim": 2560, "ff_dim": 10240, "num_visual_blocks": 50}),
    "kandinsky5/pro": ("Kandinsky5Transformer3DModel", KANDINSKY | {
        "model_dim": 4096, "ff_dim": 16384, "num_text_blocks": 4, "num_visual_blocks": 60, "time_dim": 1024}),
    "cogvideox/2b": ("CogVideoXTransformer3DModel", {}),
    "cogvideox/5b": ("CogVideoXTransformer3DModel", {"num_attention_heads": 48, "num_layers": 42}),
    "cogview4": ("CogView4Transformer2DModel", {}),
    "ernie-image": ("ErnieImageTransformer2DModel", {}),
    "ace-step/1.5": ("AceStepTransformer1DModel", {}),
    "prx": ("PRXTransformer2DModel", {}),
}
"""Model -> class and configuration of the published pipeline; options that add modules are on."""

WITHOUT_CLASS = {"omnigen2": "diffusers has no class of it", "ace-step/1": "diffusers has version 1.5 only"}


def denoiser(model: str):
    name, options = MODELS[model]
    return getattr(diffusers, name)(**options)


def clip(width: int, layers: int, **more) -> CLIPTextConfig:
    return CLIPTextConfig(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, **more)


def t5(config, width: int, heads: int, head: int, inner: int, layers: int, gated: bool = True):
    return config(d_model=width, num_heads=heads, d_kv=head, d_ff=inner, num_layers=layers,
                  feed_forward_proj="gated-gelu" if gated else "relu")


def decoder(config, width: int, heads: int, keys: int, head: int, inner: int, layers: int):
    return config(hidden_size=width, num_attention_heads=heads, num_key_value_heads=keys, head_dim=head,
                  intermediate_size=inner, num_hidden_layers=layers)


ENCODERS = {
    "clip-l": lambda: CLIPTextModel(clip(768, 12)),
    "clip-g": lambda: CLIPTextModelWithProjection(clip(1280, 32, projection_dim=1280)),
    "openclip-h": lambda: CLIPTextModel(clip(1024, 23)),
    "t5-xxl": lambda: T5EncoderModel(t5(T5Config, 4096, 64, 64, 10240, 24)),
    "t5-11b": lambda: T5EncoderModel(t5(T5Config, 1024, 128, 128, 65536, 24, gated=False)),
    "pile-t5-xl": lambda: UMT5EncoderModel(t5(UMT5Config, 2048, 32, 64, 5120, 24)),
    "umt5-xxl": lambda: UMT5EncoderModel(t5(UMT5Config, 4096, 64, 64, 10240, 24)),
    "byt5-small": lambda: T5EncoderModel(t5(T5Config, 1472, 6, 64, 3584, 12)),
    "gemma2-2b": lambda: Gemma2Model(decoder(Gemma2Config, 2304, 8, 4, 256, 9216, 26)),
    "gemma3-12b": lambda: Gemma3TextModel(decoder(Gemma3TextConfig, 3840, 16, 8, 256, 15360, 48)),
    "llama-3-8b": lambda: LlamaModel(decoder(LlamaConfig, 4096, 32, 8, 128, 14336, 32)),
    "mistral-3": lambda: MistralModel(decoder(MistralConfig, 5120, 32, 8, 128, 32768, 40)),
    "qwen2.5-vl-3b": lambda: Qwen2_5_VLTextModel(decoder(Qwen2_5_VLTextConfig, 2048, 16, 2, 128, 11008, 36)),
    "qwen2.5-vl-7b": lambda: Qwen2_5_VLTextModel(decoder(Qwen2_5_VLTextConfig, 3584, 28, 4, 128, 18944, 28)),
    "qwen3-0.6b": lambda: Qwen3Model(decoder(Qwen3Config, 1024, 16, 8, 128, 3072, 28)),
    "qwen3-4b": lambda: Qwen3Model(decoder(Qwen3Config, 2560, 32, 8, 128, 9728, 36)),
    "qwen3-8b": lambda: Qwen3Model(decoder(Qwen3Config, 4096, 32, 8, 128, 12288, 36)),
    "qwen3-vl-4b": lambda: Qwen3VLTextModel(decoder(Qwen3VLTextConfig, 2560, 32, 8, 128, 9728, 36)),
    "qwen3-vl-8b": lambda: Qwen3VLTextModel(decoder(Qwen3VLTextConfig, 4096, 32, 8, 128, 12288, 36)),
    "qwen3-vl-32b": lambda: Qwen3VLTextModel(decoder(Qwen3VLTextConfig, 5120, 64, 8, 128, 25600, 64)),
    "glm-4-9b": lambda: GlmModel(decoder(GlmConfig, 4096, 32, 2, 128, 13696, 40)),
    "llm-adapter": AnimaTextConditioner,
}
