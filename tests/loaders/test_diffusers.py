"""The profile of diffusers against diffusers itself: every module of every model, in every dialect that it may read."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
import torch
from diffusers.loaders import lora_pipeline
from safetensors.torch import load_file

from loratool.adapter.adapter import Adapter
from loratool.errors import Unmapped
from loratool.loaders import program
from loratool.loaders.judge import judge
from loratool.naming.address import DENOISER
from loratool.naming.dialect import DIALECTS
from loratool.naming.keymap import keymap
from tests.models import denoiser
from tests.naming.test_detect import header_only

MIXINS = {
    "sd1": "StableDiffusion", "sd2": "StableDiffusion", "sdxl": "StableDiffusionXL", "sdxl-refiner": "StableDiffusionXL",
    "sd3/3.5-medium": "SD3", "flux1/dev": "Flux", "chroma": "Flux", "flux2/klein-4b": "Flux2", "flux3": "Flux3",
    "lumina2": "Lumina2", "z-image": "ZImage", "sana": "Sana", "auraflow": "AuraFlow", "hunyuan-video": "HunyuanVideo",
    "framepack": "HunyuanVideo", "wan/2.1-t2v-1.3b": "Wan", "wan/2.1-i2v-14b": "Wan", "qwen-image": "QwenImage",
    "hidream": "HiDreamImage", "ltx-video/2b": "LTXVideo", "ltx2/2.0": "LTX2", "cosmos-predict2/2b": "Cosmos",
    "anima": "Anima", "krea2": "Krea2", "ideogram4": "Ideogram4", "minimax-h3": "MiniMaxH3", "mochi": "Mochi1",
    "kandinsky5/lite": "Kandinsky", "cogvideox/5b": "CogVideoX", "cogview4": "CogView4", "ernie-image": "ErnieImage",
    "ace-step/1.5": "AceStep",
}
"""Model -> the loader of its pipeline in diffusers."""
READ = ("diffusers", "kohya", "comfyui", "native", "xlabs")
STYLES = {"kohya": ("lora_up.weight", "lora_down.weight"), "bare": ("up.weight", "down.weight")}


def whole(model: str, dialect: str, keep=lambda module: True) -> dict[str, tuple[int, ...]]:
    """Key -> shape of an adapter of rank 1 on every module of the denoiser that the dialect can name."""
    keys, to = keymap(model), DIALECTS[dialect]
    found: dict[str, tuple[int, ...]] = {}
    for module in keys.trees[DENOISER].modules:
        with suppress(Unmapped):
            for stem, address in keys.targets(DENOISER, module, to) if keep(module) else ():
                out, *inner = keys.shape(address)
                up, down = STYLES.get(to.style, ("lora_B.weight", "lora_A.weight"))
                found[f"{stem}.{up}"] = (out, 1, *(1 for _ in inner[1:]))
                found[f"{stem}.{down}"] = (1, *inner)
                if to.alpha == "tensor" and to.style == "kohya":
                    found[f"{stem}.alpha"] = ()
    return found


def taken(model: str, tensors: dict[str, torch.Tensor]) -> set[str]:
    """The diffusers modules that the pipeline's loader finds; empty where it raises."""
    mixin = getattr(lora_pipeline, f"{MIXINS[model]}LoraLoaderMixin")
    more = {}
    if model.startswith("sdxl"):
        with torch.device("meta"):
            more["unet_config"] = denoiser(model).config
    try:
        found = mixin.lora_state_dict(tensors, **more)
    except (ValueError, KeyError, IndexError, NotImplementedError):
        return set()
    keys = found[0] if isinstance(found, tuple) else found
    stems = {re.sub(r"\.(lora_[AB]|(lora\.)?(up|down))\.weight$", "", key) for key in keys}
    return {re.sub(r"\.processor\.(\w+?)(_lora)?$", r".\1", stem) for stem in stems}


def expected(model: str, adapter: Adapter) -> dict[str, set[str]]:
    """Stem -> the diffusers modules that it changes."""
    keys = keymap(model)
    return {layer.stem: {f"{keys.family.root}.{part.name}" for part in keys.module(layer.address).parts
                         if layer.address.rows is None or part.rows is None
                         or any(a < d and c < b for a, b in part.rows for c, d in layer.address.rows)}
            for layer in adapter.layers.values()}


def compare(tmp_path, model: str, dialect: str, keep=lambda module: True) -> None:
    keys = whole(model, dialect, keep)
    if not keys:
        return
    path = str(header_only(tmp_path / "a.safetensors", keys))
    found = {name.replace(".to_out.0", ".to_out") for name in taken(model, load_file(path))}
    with Adapter.open(path, model) as adapter:
        assert adapter.family == model.partition("/")[0]
        judged = judge(adapter, program("diffusers"))
        wanted = expected(model, adapter)
    loaded = {stem for stem, names in wanted.items() if {n.replace(".to_out.0", ".to_out") for n in names} <= found}
    said = set(wanted) - set(judged.left_out) if judged.loads in ("all", "part") else set()
    assert said == loaded - UNSWAPPED.get((model, dialect), set())


UNSWAPPED = {("flux2/klein-4b", "comfyui"): {"diffusion_model.final_layer.adaLN_modulation.1"}}
"""Taken by name, but with its halves in the native order: the profile counts it as not loaded."""


@pytest.mark.parametrize("model", MIXINS)
@pytest.mark.parametrize("dialect", READ)
def test_diffusers_loads_what_the_profile_says(tmp_path, model, dialect):
    compare(tmp_path, model, dialect)


@pytest.mark.parametrize("model", MIXINS)
def test_diffusers_takes_every_module_under_its_own_names(tmp_path, model):
    path = str(header_only(tmp_path / "a.safetensors", whole(model, "diffusers")))
    with Adapter.open(path, model) as adapter:
        assert judge(adapter, program("diffusers")).loads == "all"


BLOCKS = [("wan/2.1-t2v-1.3b", "comfyui"), ("wan/2.1-t2v-1.3b", "kohya"), ("lumina2", "comfyui"), ("ideogram4", "comfyui"),
          ("hunyuan-video", "diffusion-pipe"), ("flux1/dev", "kohya"), ("chroma", "kohya")]


@pytest.mark.parametrize(("model", "dialect"), BLOCKS)
def test_a_file_of_blocks_alone_is_loaded_where_the_whole_one_is_refused(tmp_path, model, dialect):
    compare(tmp_path, model, dialect, lambda module: re.match(
        r"(blocks|layers|noise_refiner|context_refiner|double_blocks|single_blocks)\.", module))
