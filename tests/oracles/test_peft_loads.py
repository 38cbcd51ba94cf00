"""PEFT's own loaders on a converted folder: every key is used, and scaling * B @ A is the original's update."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from peft import LoraConfig, PeftConfig, PeftModel, inject_adapter_in_model, load_peft_weights
from peft.utils import set_peft_model_state_dict
from safetensors.numpy import load_file

from tests.keysets import write
from tests.models import ENCODERS, UNETS

from .loading import assert_same, converted, loaded, meant, parameters, weightless, write_kohya

EXACT = 1e-12


def denoiser(family: str) -> torch.nn.Module:
    with torch.device("meta"):
        return weightless(FluxTransformer2DModel(guidance_embeds=True) if family == "flux1"
                          else UNet2DConditionModel(**UNETS[family]))


def encoder(tree_id: str) -> torch.nn.Module:
    """CLIP in the names of its files: transformers 5 leaves out ``text_model.``."""
    with torch.device("meta"):
        model = weightless(ENCODERS[tree_id]())
    if not hasattr(model, "text_model"):
        outer = torch.nn.Module()
        outer.text_model = model
        return outer
    return model


def loaded_by_peft(folder: Path, model: torch.nn.Module) -> dict[str, np.ndarray]:
    """Inject what adapter_config.json says, put adapter_model.safetensors into it, leave nothing over."""
    config = PeftConfig.from_pretrained(str(folder))
    assert isinstance(config, LoraConfig)
    weights = load_peft_weights(str(folder), device="cpu")
    inject_adapter_in_model(config, model, low_cpu_mem_usage=True)
    outcome = set_peft_model_state_dict(model, {k.removeprefix("base_model.model."): v for k, v in weights.items()},
                                        low_cpu_mem_usage=True)
    assert outcome.unexpected_keys == []
    assert [key for key in outcome.missing_keys if "lora_" in key] == []
    assert parameters(model, "default") == {key.removeprefix("base_model.model.") for key in weights}
    return loaded(model, "default")


def of(path: Path, family: str, component: str = "denoiser") -> dict[str, np.ndarray]:
    return {name: value for (where, name), value in meant(path, family).items() if where == component}


@pytest.mark.parametrize(("name", "family"), [("sd15_kohya_locon", "sd1"), ("sdxl_kohya_lora_unetonly", "sdxl"),
                                              ("flux1dev_kohya_lora", "flux1")])
def test_peft_loads_every_key_of_a_whole_denoiser_with_the_effect_of_the_original(name, family, tmp_path):
    write(tmp_path / "a.safetensors", name, rank=2, keep=lambda key: not key.startswith("lora_te"))
    result = converted(tmp_path / "a.safetensors", "peft", tmp_path / "b")
    assert result.exact
    assert sorted(p.name for p in (tmp_path / "b").rglob("*")) == ["adapter_config.json", "adapter_model.safetensors"]
    assert_same(loaded_by_peft(tmp_path / "b", denoiser(family)), of(tmp_path / "a.safetensors", family), EXACT)


def test_each_component_is_a_folder_that_peft_loads(tmp_path):
    write(tmp_path / "a.safetensors", "sdxl_kohya_lora", rank=2,
          keep=lambda key: key.startswith("lora_te") or "middle_block" in key)
    converted(tmp_path / "a.safetensors", "peft", tmp_path / "b")
    parts = {path.parent for path in (tmp_path / "b").rglob("adapter_config.json")}
    assert {path.parent for path in (tmp_path / "b").rglob("adapter_model.safetensors")} == parts
    assert {path.name for path in parts} == {"b", "text_encoder", "text_encoder_2"}
    for folder, model, component in (("", denoiser("sdxl"), "denoiser"), ("text_encoder", encoder("clip-l"), "clip-l"),
                                     ("text_encoder_2", encoder("clip-g"), "clip-g")):
        assert_same(loaded_by_peft(tmp_path / "b" / folder, model), of(tmp_path / "a.safetensors", "sdxl", component),
                    EXACT)


def test_peft_loads_a_text_encoder_of_transformers_5(tmp_path):
    """Its CLIPTextModel has no module ``text_model``: targets and patterns must fit there too."""
    shapes = {f"lora_te_text_model_encoder_layers_{n}_self_attn_q_proj": (768, 768) for n in (1, 2, 10, 11)}
    ranks = dict(zip(shapes, (4, 8, 4, 2), strict=True))
    write_kohya(tmp_path / "a.safetensors", shapes, ranks, 2.0, dtype=np.float32)
    converted(tmp_path / "a.safetensors", "peft", tmp_path / "b")
    config = PeftConfig.from_pretrained(str(tmp_path / "b" / "text_encoder"))
    with torch.device("meta"):
        model = ENCODERS["clip-l"]()
    inject_adapter_in_model(config, model)
    found = {name: m.r["default"] for name, m in model.named_modules() if hasattr(m, "lora_A")}
    assert found == {stem.removeprefix("lora_te_text_model_").replace("_layers_", ".layers.")
                     .replace("_self_attn_q_proj", ".self_attn.q_proj"): rank for stem, rank in ranks.items()}


MIXED = {
    "lora_unet_double_blocks_1_img_attn_proj": ((3072, 3072), 4, 4.0),
    "lora_unet_double_blocks_11_img_attn_proj": ((3072, 3072), 8, 2.0),
    "lora_unet_double_blocks_0_txt_attn_qkv": ((9216, 3072), 4, 1.0),
    "lora_unet_single_blocks_0_linear1": ((21504, 3072), 2, 4.0),
    "lora_unet_single_blocks_0_linear2": ((3072, 15360), 2, 2.0),
    "lora_unet_final_layer_adaLN_modulation_1": ((6144, 3072), 4, 4.0),
}


def mixed(path: Path, more=()) -> None:
    chosen = {**MIXED, **dict(more)}
    shapes, ranks, alphas = ({stem: what[n] for stem, what in chosen.items()} for n in range(3))
    write_kohya(path, shapes, ranks, alphas, dtype=np.float32)


def test_mixed_ranks_and_alphas_keep_their_scale(tmp_path):
    mixed(tmp_path / "a.safetensors")
    converted(tmp_path / "a.safetensors", "peft", tmp_path / "b")
    config = json.loads((tmp_path / "b" / "adapter_config.json").read_text())
    assert config["rank_pattern"]
    assert_same(loaded_by_peft(tmp_path / "b", denoiser("flux1")), of(tmp_path / "a.safetensors", "flux1"), EXACT)


TOP = ("lora_unet_final_layer_linear", ((64, 3072), 16, 1.0))
SINGLES = {f"lora_unet_single_blocks_{n}_linear2": ((3072, 15360), 4, 4.0) for n in range(38)}


@pytest.mark.parametrize("more", [{}, SINGLES], ids=["some single blocks", "all single blocks"])
def test_proj_out_of_flux_takes_no_module_that_ends_alike(more, tmp_path):
    """The last layer is ``proj_out``, and each single block has a ``proj_out`` of its own."""
    mixed(tmp_path / "a.safetensors", {**more, TOP[0]: TOP[1]})
    converted(tmp_path / "a.safetensors", "peft", tmp_path / "b")
    assert_same(loaded_by_peft(tmp_path / "b", denoiser("flux1")), of(tmp_path / "a.safetensors", "flux1"), EXACT)


def test_proj_out_of_the_single_blocks_does_not_take_the_last_layer(tmp_path):
    mixed(tmp_path / "a.safetensors", SINGLES)
    converted(tmp_path / "a.safetensors", "peft", tmp_path / "b")
    found = loaded_by_peft(tmp_path / "b", denoiser("flux1"))
    assert "proj_out" not in found
    assert "single_transformer_blocks.37.proj_out" in found


def test_peft_model_from_pretrained_takes_the_folder(tmp_path, recwarn):
    """The one call of PEFT's manual, on a UNet; the strength of one layer is then measured in its output."""
    stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    write_kohya(tmp_path / "a.safetensors", {stem: (1280, 768), stem.replace("to_k", "to_v"): (1280, 768)}, 4, 2.0,
                dtype=np.float32)
    converted(tmp_path / "a.safetensors", "peft", tmp_path / "b")
    model = PeftModel.from_pretrained(denoiser("sd1"), str(tmp_path / "b"), low_cpu_mem_usage=True)
    assert [str(w.message) for w in recwarn if "missing" in str(w.message)] == []
    tensors = load_file(tmp_path / "a.safetensors")
    x = np.random.default_rng(1).standard_normal((5, 768)).astype(np.float32)
    layer = model.base_model.model.mid_block.attentions[0].transformer_blocks[0].attn2.to_k
    with torch.no_grad():
        found = layer(torch.from_numpy(x)).numpy()
    expected = 0.5 * (x @ tensors[f"{stem}.lora_down.weight"].T) @ tensors[f"{stem}.lora_up.weight"].T
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["sd15_kohya_locon", "flux1dev_kohya_lora"])
def test_the_way_back_from_a_folder_returns_the_same_tensors(name, tmp_path):
    before = write(tmp_path / "a.safetensors", name, rank=2)
    converted(tmp_path / "a.safetensors", "peft", tmp_path / "b")
    result = converted(tmp_path / "b", "kohya", tmp_path / "c.safetensors")
    after = load_file(tmp_path / "c.safetensors")
    assert after.keys() == before.keys()
    assert [k for k in after if after[k].dtype != before[k].dtype or not np.array_equal(after[k], before[k])] == []
    assert result.exact
