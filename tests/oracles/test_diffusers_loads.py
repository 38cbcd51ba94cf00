"""diffusers' own loaders on converted files: every key is used, and the update is the original's.

The models have their full architecture (names, shapes) and no weights. The other side is numpy in
float64 on the file that was converted.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch

from tests.keysets import write
from tests.models import ENCODERS, UNETS

from .loading import (
    assert_same,
    converted,
    effect,
    loaded,
    meant,
    metadata,
    of_state_dict,
    parameters,
    weightless,
    write_kohya,
)

PIPELINES = {"sd1": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline, "flux1": FluxPipeline}
COMPONENTS = {"sd1": {"text_encoder": "clip-l"}, "sdxl": {"text_encoder": "clip-l", "text_encoder_2": "clip-g"},
              "flux1": {"text_encoder": "clip-l"}}
"""Family -> the encoders that its pipeline loads adapters for (FLUX: none for T5)."""

EXACT = 1e-12
HALF = 2.0 ** -11
"""One rounding in float16."""


def denoiser(family: str) -> torch.nn.Module:
    with torch.device("meta"):
        model = FluxTransformer2DModel(guidance_embeds=True) if family == "flux1" else UNet2DConditionModel(
            **UNETS[family])
    return weightless(model)


def encoder(tree_id: str) -> torch.nn.Module:
    with torch.device("meta"):
        return weightless(ENCODERS[tree_id]())


@cache
def layers_per_block(family: str):
    """What diffusers wants to know to read LDM block names."""
    with torch.device("meta"):
        return UNet2DConditionModel(**UNETS[family]).config


def load(path: Path, family: str):
    """The file through the pipeline's loaders: component -> the model with the adapter in it."""
    pipeline = PIPELINES[family]
    options = {} if family == "flux1" else {"unet_config": layers_per_block(family)}
    state, alphas, config = pipeline.lora_state_dict(str(path), return_alphas=True, return_lora_metadata=True,
                                                     **options)
    model = denoiser(family)
    into = pipeline.load_lora_into_transformer if family == "flux1" else pipeline.load_lora_into_unet
    into(state, alphas, model, metadata=config, low_cpu_mem_usage=True)
    models = {"denoiser": model}
    for prefix, tree_id in COMPONENTS[family].items():
        if any(key.startswith(prefix + ".") for key in state):
            models[prefix] = encoder(tree_id)
            pipeline.load_lora_into_text_encoder(state, alphas, models[prefix], prefix=prefix, metadata=config,
                                                 low_cpu_mem_usage=True)
    return models


def full(prefix: str, name: str) -> str:
    """transformers 5 leaves out ``text_model.`` in CLIPTextModel."""
    return name if prefix == "denoiser" or name.startswith("text_") else "text_model." + name


def effects(models, family: str) -> dict[tuple[str, str], np.ndarray]:
    return {(COMPONENTS[family].get(prefix, "denoiser"), full(prefix, name)): value
            for prefix, model in models.items() for name, value in loaded(model).items()}


def root(family: str) -> str:
    return "transformer" if family == "flux1" else "unet"


def keys_loaded(models, family: str) -> set[str]:
    return {f"{root(family) if prefix == 'denoiser' else prefix}.{full(prefix, name)}"
            for prefix, model in models.items() for name in parameters(model)}


UNET_SETS = ["sd15_kohya_lora", "sd15_kohya_locon", "sd15_lycoris_locon", "sdxl_kohya_lora_unetonly",
             "sdxl_kohya_locon", "sdxl_aitoolkit_locon"]
FLUX_SETS = ["flux1dev_kohya_lora", "flux1schnell_kohya_lora", "flux1-dev_comfy_generic_lora"]
FAMILY = {"sd15": "sd1", "sdxl": "sdxl", "flux": "flux1"}


def family_of(name: str) -> str:
    return next(family for start, family in FAMILY.items() if name.startswith(start))


def is_denoiser(key: str) -> bool:
    return not key.startswith("lora_te")


@pytest.mark.parametrize("name", [*UNET_SETS, *FLUX_SETS])
def test_diffusers_loads_every_key_of_a_whole_denoiser_with_the_effect_of_the_original(name, tmp_path):
    """alpha / rank = 8 / 2 is a power of two: nothing is rounded, so the effect is equal to the last bit."""
    family = family_of(name)
    write(tmp_path / "a.safetensors", name, rank=2, keep=is_denoiser)
    result = converted(tmp_path / "a.safetensors", "diffusers", tmp_path / "b.safetensors")
    models = load(tmp_path / "b.safetensors", family)
    assert keys_loaded(models, family) == set(load_file(tmp_path / "b.safetensors"))
    assert result.exact
    assert_same(effects(models, family), meant(tmp_path / "a.safetensors", family), EXACT)


@pytest.mark.parametrize("name", ["sd15_kohya_lora", "sdxl_kohya_lora", "flux1dev_kohya_lora"])
def test_diffusers_loads_the_text_encoders_with_the_effect_of_the_original(name, tmp_path):
    family = family_of(name)

    def keep(key: str) -> bool:
        return key.startswith("lora_te") or "_1_attn1_to_q." in key or "_3_img_attn_qkv." in key or (
            family == "sd1" and "mid_block_attentions_0_proj_in." in key)

    write(tmp_path / "a.safetensors", name, rank=2, keep=keep)
    converted(tmp_path / "a.safetensors", "diffusers", tmp_path / "b.safetensors")
    models = load(tmp_path / "b.safetensors", family)
    assert set(models) == {"denoiser", *COMPONENTS[family]}
    assert keys_loaded(models, family) == set(load_file(tmp_path / "b.safetensors"))
    assert_same(effects(models, family), meant(tmp_path / "a.safetensors", family), EXACT)


def test_mixed_ranks_in_a_text_encoder_keep_their_scale(tmp_path):
    """Patterns must fit the module under both names, with ``text_model.`` and without."""
    layer = "lora_te1_text_model_encoder_layers_{}_self_attn_q_proj"
    shapes = {layer.format(n): (768, 768) for n in (1, 2, 10, 11)}
    shapes["lora_unet_double_blocks_0_img_attn_proj"] = (3072, 3072)
    ranks = dict(zip(shapes, (4, 8, 2, 4, 4), strict=True))
    alphas = dict(zip(shapes, (4.0, 2.0, 8.0, 1.0, 4.0), strict=True))
    write_kohya(tmp_path / "a.safetensors", shapes, ranks, alphas, dtype=np.float32)
    converted(tmp_path / "a.safetensors", "diffusers", tmp_path / "b.safetensors")
    assert_same(effects(load(tmp_path / "b.safetensors", "flux1"), "flux1"),
                meant(tmp_path / "a.safetensors", "flux1"), EXACT)


FLUX = {
    "lora_unet_double_blocks_0_img_attn_qkv": (9216, 3072), "lora_unet_double_blocks_10_img_attn_qkv": (9216, 3072),
    "lora_unet_double_blocks_1_txt_attn_qkv": (9216, 3072), "lora_unet_double_blocks_1_img_mlp_0": (12288, 3072),
    "lora_unet_single_blocks_0_linear1": (21504, 3072), "lora_unet_single_blocks_0_linear2": (3072, 15360),
    "lora_unet_single_blocks_37_linear2": (3072, 15360), "lora_unet_final_layer_linear": (64, 3072),
    "lora_unet_final_layer_adaLN_modulation_1": (6144, 3072), "lora_unet_img_in": (3072, 64),
}
RANKS = dict(zip(FLUX, (4, 2, 8, 4, 4, 2, 4, 16, 4, 1), strict=True))
ALPHAS = dict(zip(FLUX, (4.0, 4.0, 1.0, 16.0, 2.0, 4.0, 2.0, 1.0, 8.0, 1.0), strict=True))


def test_mixed_ranks_and_alphas_of_flux_keep_their_scale(tmp_path):
    """proj_out at the top and proj_out in the single blocks end alike and have different ranks."""
    write_kohya(tmp_path / "a.safetensors", FLUX, RANKS, ALPHAS, dtype=np.float32)
    converted(tmp_path / "a.safetensors", "diffusers", tmp_path / "b.safetensors")
    models = load(tmp_path / "b.safetensors", "flux1")
    assert keys_loaded(models, "flux1") == set(load_file(tmp_path / "b.safetensors"))
    assert_same(effects(models, "flux1"), meant(tmp_path / "a.safetensors", "flux1"), EXACT)


@pytest.mark.parametrize("stems", [("final_layer_linear",), ("final_layer_linear", "single_blocks_3_linear2"),
                                   ("single_blocks_3_linear2",), ("single_blocks_3_linear2", "img_in")],
                         ids=" ".join)
def test_the_metadata_targets_the_modules_of_the_file_and_no_others(stems, tmp_path):
    """PEFT takes a name for every module that ends in it: ``proj_out`` alone would take 38 more."""
    shapes = {stem: shape for stem, shape in FLUX.items() if stem.removeprefix("lora_unet_") in stems}
    shapes |= {"lora_unet_single_blocks_3_linear2": (3072, 15360)} if "single_blocks_3_linear2" in stems else {}
    write_kohya(tmp_path / "a.safetensors", shapes, 4, 4.0)
    converted(tmp_path / "a.safetensors", "diffusers", tmp_path / "b.safetensors")
    text = json.loads(metadata(tmp_path / "b.safetensors")["lora_adapter_metadata"])
    config = LoraConfig(**{key.removeprefix("transformer."): value for key, value in text.items()})
    with torch.device("meta"):
        names = [n for n, m in FluxTransformer2DModel().named_modules() if isinstance(m, torch.nn.Linear)]
    hit = {name for name in names if bool(check_target_module_exists(config, name))}
    assert hit == {key.split(".", 1)[1].removesuffix(".lora_A.weight") for key in load_file(tmp_path / "b.safetensors")
                   if key.endswith("lora_A.weight")}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, HALF), (np.float32, 2.0 ** -24)])
@pytest.mark.parametrize("alpha", [3.0, 0.1, 0.0, -2.0])
def test_a_scale_that_is_no_power_of_two_costs_one_rounding(alpha, dtype, tolerance, tmp_path):
    write_kohya(tmp_path / "a.safetensors", FLUX, 4, alpha, dtype=dtype)
    result = converted(tmp_path / "a.safetensors", "diffusers", tmp_path / "b.safetensors")
    expected = meant(tmp_path / "a.safetensors", "flux1")
    found = effects(load(tmp_path / "b.safetensors", "flux1"), "flux1")
    if alpha == 0.0:
        assert found.keys() == expected.keys()
        assert not any(np.any(value) for value in found.values())
    else:
        assert_same(found, expected, tolerance)
        assert result.error <= tolerance


def test_a_file_without_alpha_has_the_scale_one(tmp_path):
    write_kohya(tmp_path / "a.safetensors", FLUX, RANKS, None)
    converted(tmp_path / "a.safetensors", "diffusers", tmp_path / "b.safetensors")
    assert_same(effects(load(tmp_path / "b.safetensors", "flux1"), "flux1"),
                meant(tmp_path / "a.safetensors", "flux1"), EXACT)


@pytest.mark.parametrize("kernel", [(), (1, 1)], ids=["linear", "1x1 conv"])
def test_a_1x1_convolution_is_loaded_however_its_factors_are_written(kernel, tmp_path):
    """proj_in of SD 1 is a Conv2d; tools write its factors with two axes or with four."""
    shapes = {"lora_unet_down_blocks_0_attentions_0_proj_in": (320, 320, *kernel),
              "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (320, 768),
              "lora_unet_down_blocks_0_resnets_0_conv1": (320, 320, 3, 3)}
    write_kohya(tmp_path / "a.safetensors", shapes, 4, 2.0, dtype=np.float32)
    converted(tmp_path / "a.safetensors", "diffusers", tmp_path / "b.safetensors")
    found = effects(load(tmp_path / "b.safetensors", "sd1"), "sd1")
    assert_same(found, meant(tmp_path / "a.safetensors", "sd1"), EXACT)


@pytest.mark.parametrize("mid", [False, True], ids=["3x3 down", "CP mid"])
def test_the_weight_change_of_a_convolution_is_the_definition(mid, tmp_path):
    """Not by probes: PEFT's get_delta_weight of a 3x3 Conv2d, every number."""
    stem = "lora_unet_down_blocks_0_resnets_0_conv1"
    shapes = {stem: (320, 320, 3, 3), "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k": (1280, 768)}
    write_kohya(tmp_path / "a.safetensors", shapes, 4, 2.0, dtype=np.float32, mid=mid)
    converted(tmp_path / "a.safetensors", "diffusers", tmp_path / "b.safetensors")
    tensors = {k: v.astype(np.float64) for k, v in load_file(tmp_path / "a.safetensors").items()}
    up, down = tensors[f"{stem}.lora_up.weight"], tensors[f"{stem}.lora_down.weight"]
    if mid:
        expected = np.einsum("im,mnhw,nj->ijhw", up[..., 0, 0], tensors[f"{stem}.lora_mid.weight"], down[..., 0, 0])
    else:
        expected = np.einsum("ir,rjhw->ijhw", up[..., 0, 0], down)
    layer = load(tmp_path / "b.safetensors", "sd1")["denoiser"].down_blocks[0].resnets[0].conv1
    found = layer.get_delta_weight("default_0").detach().double().numpy()
    assert found.shape == (320, 320, 3, 3)
    np.testing.assert_allclose(found, 2.0 / 4 * expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("family", ["sd1", "sdxl", "flux1"])
def test_the_metadata_gives_each_module_its_rank_and_an_alpha_equal_to_it(family, tmp_path):
    """As PEFT looks it up; alpha is in the factors already, and no alpha key stands beside it."""
    stems = {
        "sd1": {"lora_unet_mid_block_attentions_0_proj_in": (1280, 1280, 1, 1),
                "lora_unet_down_blocks_1_attentions_0_proj_in": (640, 640, 1, 1),
                "lora_te_text_model_encoder_layers_1_mlp_fc1": (3072, 768),
                "lora_te_text_model_encoder_layers_11_mlp_fc1": (3072, 768)},
        "sdxl": {"lora_unet_input_blocks_4_1_proj_in": (640, 640), "lora_unet_input_blocks_5_1_proj_in": (640, 640),
                 "lora_unet_middle_block_1_proj_in": (1280, 1280),
                 "lora_te1_text_model_encoder_layers_1_mlp_fc1": (3072, 768),
                 "lora_te2_text_model_encoder_layers_1_mlp_fc1": (5120, 1280),
                 "lora_te2_text_model_encoder_layers_31_mlp_fc1": (5120, 1280)},
        "flux1": FLUX}[family]
    ranks = {stem: 1 + 3 * (n % 4) for n, stem in enumerate(stems)}
    write_kohya(tmp_path / "a.safetensors", stems, ranks, 2.0)
    converted(tmp_path / "a.safetensors", "diffusers", tmp_path / "b.safetensors")
    config = json.loads(metadata(tmp_path / "b.safetensors")["lora_adapter_metadata"])
    tensors = load_file(tmp_path / "b.safetensors")
    assert not [key for key in tensors if "alpha" in key]
    downs = {key.removesuffix(".lora_A.weight"): value for key, value in tensors.items() if ".lora_A." in key}
    assert len(downs) * 2 == len(tensors)
    for stem, down in downs.items():
        component, _, module = stem.partition(".")
        rank = config[f"{component}.rank_pattern"]
        alpha = config[f"{component}.alpha_pattern"]
        assert rank.get(get_pattern_key(rank, module), config[f"{component}.r"]) == down.shape[0], stem
        assert alpha.get(get_pattern_key(alpha, module), config[f"{component}.lora_alpha"]) == down.shape[0], stem


def test_a_fused_layer_that_was_joined_from_split_ones_returns_to_their_rank(tmp_path):
    """sd-scripts joins q, k, v as blocks of one up: the way back must not carry the zeros along."""
    rng = np.random.default_rng(5)
    stem = "lora_unet_double_blocks_0_img_attn_qkv"
    up = np.zeros((9216, 12), np.float32)
    for n in range(3):
        up[n * 3072:(n + 1) * 3072, n * 4:(n + 1) * 4] = rng.standard_normal((3072, 4))
    down = rng.standard_normal((12, 3072)).astype(np.float32)
    save_file({f"{stem}.lora_up.weight": up, f"{stem}.lora_down.weight": down,
               f"{stem}.alpha": np.asarray(6.0, np.float32)}, tmp_path / "a.safetensors")
    converted(tmp_path / "a.safetensors", "diffusers", tmp_path / "b.safetensors")
    assert {v.shape for k, v in load_file(tmp_path / "b.safetensors").items() if "lora_A" in k} == {(4, 3072)}
    assert_same(effects(load(tmp_path / "b.safetensors", "flux1"), "flux1"),
                meant(tmp_path / "a.safetensors", "flux1"), EXACT)


@pytest.mark.parametrize("alpha", [None, "rank", "half"])
@pytest.mark.parametrize("name", ["flux1-dev_diffusers_lora", "flux1-dev_aitoolkit_lora"])
def test_diffusers_own_kohya_reader_gives_the_updates_that_were_converted_to_kohya(name, alpha, tmp_path):
    """Split projections with downs of their own become fused ones and are split again by diffusers."""
    config = {None: None, "rank": {"transformer.r": 2, "transformer.lora_alpha": 2},
              "half": {"transformer.r": 2, "transformer.lora_alpha": 1}}[alpha]
    write(tmp_path / "a.safetensors", name, rank=2,
          metadata={"lora_adapter_metadata": json.dumps(config)} if config else None)
    converted(tmp_path / "a.safetensors", "kohya", tmp_path / "b.safetensors")
    assert not any("_to_q" in key for key in load_file(tmp_path / "b.safetensors"))
    state = FluxPipeline.lora_state_dict(str(tmp_path / "b.safetensors"))
    found = of_state_dict(state, "transformer.")
    before = of_state_dict(load_torch(tmp_path / "a.safetensors"), "transformer.")
    expected = {stem: value * (0.5 if alpha == "half" else 1.0) for stem, value in before.items()}
    padded = found.keys() - expected.keys()
    assert all(stem.endswith("proj_mlp") and not found[stem].any() for stem in padded)
    assert_same({stem: value for stem, value in found.items() if stem not in padded}, expected, 2 * HALF)


@pytest.mark.parametrize("to", ["kohya", "kohya-diffusers"])
@pytest.mark.parametrize("name", ["sd15_diffusers_lora_conv", "sdxl_diffusers_lora"])
def test_diffusers_reads_a_unet_that_was_converted_to_kohya_names_as_the_original(name, to, tmp_path):
    family = family_of(name)
    write(tmp_path / "a.safetensors", name, rank=2)
    converted(tmp_path / "a.safetensors", to, tmp_path / "b.safetensors")
    found = loaded(load(tmp_path / "b.safetensors", family)["denoiser"])
    assert_same(found, of_state_dict(load_torch(tmp_path / "a.safetensors"), "unet."), EXACT)


@pytest.mark.parametrize(("name", "to"), [("flux1dev_kohya_lora", "kohya"), ("sdxl_kohya_lora_unetonly", "kohya")])
def test_diffusers_reads_the_original_and_the_way_back_alike(name, to, tmp_path):
    """kohya to diffusers to kohya: bit for bit the same tensors."""
    write(tmp_path / "a.safetensors", name, rank=2)
    converted(tmp_path / "a.safetensors", "diffusers", tmp_path / "b.safetensors")
    result = converted(tmp_path / "b.safetensors", to, tmp_path / "c.safetensors")
    assert result.identical
    first, last = load_file(tmp_path / "a.safetensors"), load_file(tmp_path / "c.safetensors")
    assert first.keys() == last.keys()
    assert all(first[key].dtype == last[key].dtype and np.array_equal(first[key], last[key]) for key in first)


def test_the_probes_of_these_tests_see_a_wrong_scale_a_wrong_row_and_a_swap():
    rng = np.random.default_rng(0)
    up, down = rng.standard_normal((6, 2)), rng.standard_normal((2, 5))
    right = {"m": effect(up, down, 0.5)}
    assert_same({"m": effect(2 * up, down, 0.25)}, right, EXACT)
    for wrong in (effect(up, down, 0.25), effect(up[::-1], down, 0.5), effect(np.roll(up, 3, 0), down, 0.5),
                  effect(up, down[::-1], 0.5)):
        with pytest.raises(AssertionError):
            assert_same({"m": wrong}, right, 1e-3)
