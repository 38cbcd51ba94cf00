"""sd-scripts. Source: ``networks/lora*.py`` and ``networks/oft*.py``: ``lora_unet_`` and the model's own names."""

from .program import Program, names

PROGRAM = Program(
    id="sd-scripts", title="sd-scripts", version="48d368fa",
    families=("sd1", "sd2", "sdxl", "sd3", "flux1", "chroma", "lumina2", "hunyuan-image", "anima"),
    names=names("""
lora_unet_    diffusers    sd1 sd2
lora_unet_    native       sdxl sd3 flux1 chroma lumina2 hunyuan-image anima
oft_unet_     native       sdxl flux1
"""),
    encoders=("lora_te",),
    algorithms={"lora": "", "oft": ""},
    prefers=("kohya",),
)
