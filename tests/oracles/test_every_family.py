"""The loader of each pipeline in diffusers on a file converted from kohya names: every key used, the update the original's.

Every kind of module is in the file: what stands outside the blocks, the first block and the last of each kind, in which
some models differ. The model has its full architecture and no weights.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.loaders import lora_pipeline

from loratool.naming.address import DENOISER
from loratool.naming.dialect import DIALECTS
from loratool.naming.keymap import keymap
from tests.loaders.test_diffusers import MIXINS
from tests.models import denoiser

from .loading import assert_same, converted, loaded, meant, parameters, weightless, write_kohya

NOT_FOR_PEFT = r"depth_conv|ff_i\.gate$|^proj_out\.1$"
"""A grouped convolution, a gate that is no Linear, a transposed convolution: PEFT has no LoRA for them."""
UNETS = ("sd1", "sd2", "sdxl", "sdxl-refiner")
EXACT = 1e-12


def chosen(model: str) -> list[str]:
    """Native names: those of no block, and of each row of blocks the first and the last."""
    names = [name for name in keymap(model).trees[DENOISER].modules if not re.search(NOT_FOR_PEFT, name)]
    numbers: dict[str, set[int]] = {}
    for name in names:
        for found in re.finditer(r"(.*?)\.(\d+)\.", name):
            numbers.setdefault(found[1], set()).add(int(found[2]))
    ends = {root: {min(ns), max(ns)} for root, ns in numbers.items() if len(ns) > 4}
    return [name for name in names if all(int(found[2]) in ends.get(found[1], {int(found[2])})
                                          for found in re.finditer(r"(.*?)\.(\d+)\.", name))]


def kohya(model: str, path: Path) -> Path:
    keys = keymap(model)
    shapes = {stem: keys.shape(address) for name in chosen(model)
              for stem, address in keys.targets(DENOISER, name, DIALECTS["kohya"])}
    return write_kohya(path, shapes, 2, 1.0, dtype=np.float32)


def load(path: Path, model: str) -> torch.nn.Module:
    mixin = getattr(lora_pipeline, f"{MIXINS[model]}LoraLoaderMixin")
    with torch.device("meta"):
        network = weightless(denoiser(model))
    state, config = mixin.lora_state_dict(str(path), return_lora_metadata=True)[:2]
    alphas = {"network_alphas": None} if MIXINS[model] == "Flux" else {}
    mixin.load_lora_into_transformer(state, transformer=network, metadata=config, low_cpu_mem_usage=True, **alphas)
    return network


@pytest.mark.parametrize("model", [m for m in MIXINS if m not in UNETS and not m.startswith("flux1")])
def test_the_pipelines_loader_takes_every_key_with_the_effect_of_the_original(model, tmp_path):
    """alpha / rank = 1 / 2: folded exactly."""
    source = kohya(model, tmp_path / "a.safetensors")
    result = converted(source, "diffusers", tmp_path / "b.safetensors", model)
    assert result.exact
    network = load(tmp_path / "b.safetensors", model)
    expected = {name: value for (_, name), value in meant(source, model).items()}
    assert {f"transformer.{name}.lora_{c}.weight" for name in expected for c in "AB"} == {
        f"transformer.{name}" for name in parameters(network)}
    assert_same(loaded(network), expected, EXACT)


@pytest.mark.parametrize("model", ["sd3/3.5-medium", "lumina2", "z-image", "hunyuan-video", "auraflow", "mochi",
                                   "minimax-h3", "flux2/klein-4b"])
@pytest.mark.parametrize("to", ["comfyui", "native", "onetrainer", "lycoris", "peft"])
def test_the_way_over_another_dialect_ends_at_the_same_update(model, to, tmp_path):
    source = kohya(model, tmp_path / "a.safetensors")
    there = tmp_path / ("there" if to == "peft" else "there.safetensors")
    converted(source, to, there, model)
    converted(there, "diffusers", tmp_path / "b.safetensors", model)
    back = converted(there, "kohya", tmp_path / "c.safetensors", model)
    assert back.identical is True
    network = load(tmp_path / "b.safetensors", model)
    assert_same(loaded(network), {name: value for (_, name), value in meant(source, model).items()}, EXACT)
