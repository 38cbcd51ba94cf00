"""AUTOMATIC1111's web UI: what ``extensions-builtin/Lora`` (networks.py, network_*.py) is known to do.

Unlike the other profiles it was neither read beside the source of this version nor tried with it.
"""

from .program import Program, names

PROGRAM = Program(
    id="a1111", title="A1111", version="1.10.1",
    families=("sd1", "sd2", "sdxl"),
    names=names("""
lora_unet_    diffusers    *
lora_unet_    native       *
oft_unet_     native       *
"""),
    encoders=("lora_te",),
    algorithms={"lora": "", "tucker": "", "loha": "", "lokr": "", "full": "", "norm": "", "dora": "", "ia3": "",
                "oft": "", "glora": "reads only the old layout of GLoRA"},
    prefers=("kohya",),
)
