"""InvokeAI. Source: ``invokeai/backend/patches/`` (lora_conversions, layers)."""

from .program import Program, names

PROGRAM = Program(
    id="invokeai", title="InvokeAI", version="6.14.0",
    families=("sd1", "sd2", "sdxl", "flux1", "flux2", "z-image", "qwen-image", "krea2", "anima", "wan"),
    names=names(r"""
lora_unet_           diffusers    sd1 sd2 sdxl
lora_unet_           native       sdxl
lora_unet_           native       flux1 only=^(double_blocks|single_blocks|final_layer)
lora_transformer_    diffusers    flux1
transformer.         diffusers    flux1 flux2 z-image qwen-image krea2 anima wan
base_model.model.    diffusers    flux1 flux2 z-image
(none)               xlabs        flux1
diffusion_model.     native       flux1 flux2 krea2 anima wan
(none)               native       flux1 qwen-image
diffusion_model.     diffusers    z-image
lora_unet__          diffusers    z-image only=^(layers|context_refiner|noise_refiner)
lora_unet_           native       qwen-image krea2 anima wan only=blocks
lora_unet_           diffusers    wan only=^blocks
"""),
    encoders=("lora_te",),
    algorithms={"lora": "", "tucker": "", "loha": "", "lokr": "", "full": "", "norm": "", "ia3": "",
                "dora": "computes DoRA per output with another norm"},
    prefers=("kohya", "diffusers", "comfyui"),
    refuses={"glora": "it refuses GLoRA", "oft": "it refuses OFT", "boft": "it refuses BOFT"},
)
