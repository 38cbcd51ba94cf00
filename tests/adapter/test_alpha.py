"""Where alpha comes from, against peft's own reading of its configuration."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from loratool.adapter.adapter import Adapter

NAMES = ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
         "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k",
         "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k")


def _tensors(prefix, rank=4):
    found = {}
    for name in NAMES:
        found[f"{prefix}{name}.lora_A.weight"] = torch.ones(rank, 768 if "attn2" in name else 320)
        found[f"{prefix}{name}.lora_B.weight"] = torch.ones(320, rank)
    return found


def _folder(tmp_path, config):
    save_file(_tensors("base_model.model."), str(tmp_path / "adapter_model.safetensors"))
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    return Adapter.open(str(tmp_path))


@pytest.mark.parametrize("config", (
    {"r": 4, "lora_alpha": 8},
    {"r": 4, "lora_alpha": 8, "use_rslora": True},
    {"r": 4, "lora_alpha": 8, "alpha_pattern": {"to_q": 2}},
    {"r": 4, "lora_alpha": 8, "alpha_pattern": {"attn1.to_k": 2, "to_k": 16}},
    {"r": 4, "lora_alpha": 8, "alpha_pattern": {"^down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": 1}},
    {"r": 4, "lora_alpha": 8, "alpha_pattern": {r".*attn\d\.to_k": 3}, "use_rslora": True},
))
def test_the_scale_of_a_peft_folder_is_what_peft_computes(tmp_path, config):
    from peft import LoraConfig
    from peft.utils.other import get_pattern_key

    peft = LoraConfig(**config)
    for stem, layer in _folder(tmp_path, {**config, "peft_type": "LORA"}).layers.items():
        name = stem.removeprefix("base_model.model.")
        alpha = peft.alpha_pattern.get(get_pattern_key(peft.alpha_pattern.keys(), name), peft.lora_alpha)
        expected = alpha / math.sqrt(4) if peft.use_rslora else alpha / 4
        assert layer.scale == pytest.approx(expected, rel=1e-15)
        assert layer.alpha.source == "adapter_config"


def test_the_header_configuration_counts_per_component(tmp_path):
    path = str(tmp_path / "x.safetensors")
    te = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
    tensors = _tensors("unet.") | {f"{te}.lora_A.weight": torch.ones(2, 768), f"{te}.lora_B.weight": torch.ones(768, 2)}
    document = {"unet.r": 4, "unet.lora_alpha": 8, "text_encoder.r": 2, "text_encoder.lora_alpha": 1}
    save_file(tensors, path, metadata={"lora_adapter_metadata": json.dumps(document)})
    adapter = Adapter.open(path)
    assert adapter.layers["unet." + NAMES[0]].scale == 2.0
    assert adapter.layers[te].scale == 0.5
    assert {layer.alpha.source for layer in adapter.layers.values()} == {"metadata"}


def test_a_tensor_is_believed_before_a_configuration(tmp_path):
    path = str(tmp_path / "x.safetensors")
    tensors = _tensors("unet.") | {f"unet.{NAMES[0]}.alpha": torch.tensor(1.0)}
    save_file(tensors, path, metadata={"lora_adapter_metadata": json.dumps({"unet.r": 4, "unet.lora_alpha": 8})})
    layers = Adapter.open(path).layers
    assert (layers["unet." + NAMES[0]].alpha.value, layers["unet." + NAMES[0]].alpha.source) == (1.0, "tensor")
    assert layers["unet." + NAMES[1]].alpha.value == 8.0


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64))
@pytest.mark.parametrize("shape", ((), (1,)))
def test_alpha_is_read_in_every_form_that_trainers_store(tmp_path, dtype, shape):
    path = str(tmp_path / "x.safetensors")
    save_file({"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": torch.ones(4, 1280, 1, 1),
               "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight": torch.ones(1280, 4, 1, 1),
               "lora_unet_mid_block_attentions_0_proj_in.alpha": torch.full(shape, 2, dtype=dtype)}, path)
    layer, = Adapter.open(path).lora_layers
    assert (layer.alpha.value, layer.alpha.source, layer.scale) == (2.0, "tensor", 0.5)


def test_without_any_word_alpha_is_the_rank(tmp_path):
    path = str(tmp_path / "x.safetensors")
    save_file(_tensors("unet."), path)
    assert {(layer.scale, layer.alpha.source) for layer in Adapter.open(path).layers.values()} == {(1.0, "default")}
