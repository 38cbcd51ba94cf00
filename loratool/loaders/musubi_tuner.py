"""musubi-tuner. Source: ``networks/`` and ``convert_lora.py`` (what it converts before it loads)."""

from .program import Program, names

PROGRAM = Program(
    id="musubi-tuner", title="musubi-tuner", version="30c658c4",
    families=("hunyuan-video", "framepack", "wan", "flux1", "flux2", "qwen-image", "z-image", "kandinsky5",
              "hunyuan-video-1.5", "ideogram4", "krea2"),
    names=names("""
lora_unet_          diffusers    z-image
lora_unet_          native       hunyuan-video framepack wan flux1 flux2 qwen-image kandinsky5 hunyuan-video-1.5
lora_unet_          native       ideogram4 krea2
diffusion_model.    native       hunyuan-video framepack wan qwen-image kandinsky5 hunyuan-video-1.5 ideogram4 krea2
"""),
    encoders=(),
    algorithms={"lora": "", "loha": "", "lokr": ""},
    prefers=("kohya",),
)
