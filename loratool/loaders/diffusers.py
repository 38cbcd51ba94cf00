"""diffusers. Tried: ``lora_state_dict`` of every pipeline's mixin, on every module of every model."""

from .program import Program, names

_BLOCKS = r"^(?!.*\.\d+\.)"

PROGRAM = Program(
    id="diffusers", title="diffusers", version="0.42.1",
    families=("sd1", "sd2", "sdxl", "sdxl-refiner", "sd3", "flux1", "chroma", "flux2", "flux3", "lumina2",
              "z-image", "sana", "auraflow", "hunyuan-video", "framepack", "wan", "qwen-image", "hidream", "ltx-video",
              "ltx2", "cosmos-predict2", "anima", "krea2", "ideogram4", "minimax-h3", "mochi", "kandinsky5",
              "cogvideox", "cogview4", "ernie-image", "ace-step"),
    names=names(rf"""
transformer.         diffusers    *
unet.                diffusers    *
unet.                processor    sd1 sd2 sdxl sdxl-refiner
lora_unet_           diffusers    sd1 sd2 sdxl z-image qwen-image
lora_unet_           native       sdxl
lora_unet_           native       flux1 but=^(img_in|txt_in|time_in|vector_in|guidance_in|final_layer)
lora_unet_           native       chroma breaks=^(distilled|img_in|txt_in)
lora_transformer_    diffusers    flux1 only=attn|linear1|final_layer|_in breaks=^$
(none)               xlabs        flux1
base_model.model.    native       flux1 breaks=_in(\.|$)|final_layer\.adaLN needs=blocks|final_layer\.linear
lora_unet_           native       flux2 but=^guidance_in|stream_modulation|final_layer\.adaLN
diffusion_model.     native       flux2 but=final_layer\.adaLN
diffusion_model.     native       flux3 but={_BLOCKS}
diffusion_model.     native       lumina2 breaks={_BLOCKS}
diffusion_model.     native       z-image only=adaLN_modulation\.0|feed_forward|t_embedder|cap_embedder
diffusion_model.     diffusers    z-image
diffusion_model.     native       wan breaks=^(patch_embedding|vace_)
lora_unet_           native       wan breaks=^(?!blocks)
diffusion_model.     native       qwen-image hidream ltx2 anima krea2 minimax-h3 ernie-image
diffusion_model.     native       ltx-video but=^(patchify|adaln)
diffusion_model.     native       ideogram4 breaks={_BLOCKS}
transformer.         native       hunyuan-video breaks=^(?!double_blocks|single_blocks)
(none)               native       hunyuan-video breaks=^(?!double_blocks|single_blocks)
lora_unet_           native       minimax-h3
(none)               native       minimax-h3
(none)               native       ace-step but=^proj_
"""),
    encoders=("lora_te", "text_encoder", "text_conditioner."),
    algorithms={"lora": "", "dora": "drops the magnitude: loads as plain LoRA"},
    prefers=("diffusers",),
    alphas=("tensor", "metadata"),
    refuses={"tucker": "it refuses lora_mid", "loha": "it refuses LoHa", "lokr": "it refuses LoKr"},
)
