"""ComfyUI. Source: ``comfy/lora.py`` (model_lora_keys_unet, model_lora_keys_clip) and ``comfy/weight_adapter/``."""

from .program import Program, names

PROGRAM = Program(
    id="comfyui", title="ComfyUI", version="0.3.64",
    families=("sd1", "sd2", "sdxl", "sdxl-refiner", "stable-cascade", "sd3", "flux1", "chroma", "lumina2",
              "pixart-sigma", "auraflow", "hunyuan-video", "hunyuan-image", "wan", "qwen-image", "hidream", "ltx-video",
              "cosmos-predict2", "mochi", "ace-step", "omnigen2"),
    names=names(r"""
lora_unet_                comfyui      *
diffusion_model.          comfyui      *
lora_unet__               comfyui      wan needs=^blocks\.0\.cross_attn\.k$
lora_unet_                diffusers    sd1 sd2 sdxl sdxl-refiner
lycoris_                  diffusers    sd1 sd2 sdxl sdxl-refiner sd3 flux1 hidream qwen-image
unet.                     processor    sd1 sd2 sdxl sdxl-refiner
unet.                     diffusers    sd1 sd2 sdxl sdxl-refiner but=attn\d\.to_
(none)                    processor    sd1 sd2 sdxl sdxl-refiner
transformer.              diffusers    sd3 auraflow pixart-sigma flux1 hidream qwen-image
base_model.model.         diffusers    sd3 pixart-sigma
unet.base_model.model.    diffusers    pixart-sigma
lora_transformer_         diffusers    sd3 flux1
lora_prior_unet_          comfyui      stable-cascade
(none)                    comfyui      mochi ace-step omnigen2 qwen-image
transformer.              native       hunyuan-video but=^(time_in|guidance_in)|[tc]_embedder
diffusion_model.          native       hunyuan-video but=^(time_in|guidance_in)|[tc]_embedder
"""),
    encoders=("lora_te", "lora_prior_te_", "text_encoder.", "text_encoder_2.", "text_encoders."),
    algorithms={"lora": "", "tucker": "", "loha": "", "lokr": "", "glora": "", "full": "", "norm": "",
                "dora": "computes DoRA with another norm",
                "oft": "computes OFT right only without constraint and rescale, at strength 1", "boft": ""},
    prefers=("kohya", "comfyui"),
    named=False,
)
