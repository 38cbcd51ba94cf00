"""Biases, differences and norms follow their module: split, joined, scaled, refused where a dialect has no place."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from loratool.errors import WouldLose
from loratool.naming.address import height
from loratool.ops.rows import Laid, Strip
from tests.keysets import write

from .files import do_convert, do_resize, flux, metadata_of, same, save, tensors_of

QKV, PROJ, FINAL = "double_blocks.0.img_attn.qkv", "double_blocks.0.img_attn.proj", "final_layer.adaLN_modulation.1"
STEM = {name: "lora_unet_" + name.replace(".", "_") for name in (QKV, PROJ, FINAL)}
SPLIT = [f"lora_unet_transformer_blocks_0_attn_to_{c}" for c in "qkv"]


def there_and_back(tmp_path, source, to, back, family="flux1"):
    there = do_convert(source, tmp_path / "there.safetensors", to, family=family)
    return there, do_convert(there.output, tmp_path / "back.safetensors", back, family=family)


def test_the_differences_beside_wans_layers_go_with_them(tmp_path):
    """ComfyUI's file of LoRA, bias differences and norm differences (its official accelerators look like this)."""
    source = tmp_path / "a.safetensors"
    tensors = write(source, "wan21-t2v-14b_comfy_lora_diff", rank=2, keep=lambda key: ".blocks.3." in key)
    there, back = there_and_back(tmp_path, source, "kohya", "comfyui", "wan")
    new = tensors_of(there.output)
    assert len(new) == len(tensors) + 10, "kohya files state an alpha for each of the ten LoRA layers"
    for old, name in (("self_attn.q.diff_b", "self_attn_q.diff_b"), ("norm3.diff", "norm3.diff"),
                      ("cross_attn.norm_k.diff", "cross_attn_norm_k.diff"), ("norm3.diff_b", "norm3.diff_b")):
        before = tensors[f"diffusion_model.blocks.3.{old}"]
        assert np.array_equal(new[f"lora_unet_blocks_3_{name}"].numpy(), before)
    assert there.exact and back.identical is True


def test_the_rows_of_a_fused_module_are_cut_and_laid_together_again(tmp_path):
    rng = torch.Generator().manual_seed(1)
    bias, whole, final = (torch.randn(*shape, generator=rng) for shape in ((9216,), (3072, 3072), (6144,)))
    tensors = flux([QKV], 2, 1.0, "F32") | {f"{STEM[QKV]}.diff_b": bias, f"{STEM[PROJ]}.diff": whole,
                                            f"{STEM[FINAL]}.diff_b": final, f"{STEM[FINAL]}.diff": torch.randn(6144, 3072)}
    source = save(tmp_path / "a.safetensors", tensors)
    there, back = there_and_back(tmp_path, source, "kohya-diffusers", "kohya")
    new = tensors_of(there.output)
    for number, stem in enumerate(SPLIT):
        assert torch.equal(new[f"{stem}.diff_b"], bias[3072 * number:3072 * (number + 1)])
    assert torch.equal(new["lora_unet_transformer_blocks_0_attn_to_out_0.diff"], whole)
    assert torch.equal(new["lora_unet_norm_out_linear.diff_b"], torch.cat([final[3072:], final[:3072]]))
    assert back.identical is True and same(source, back.output)


def test_rows_that_nobody_trained_are_zero(tmp_path):
    """Only to_k has a difference: q and v of the fused weight do not change."""
    value = torch.randn(3072, 3072)
    source = save(tmp_path / "a.safetensors", {f"{SPLIT[1]}.diff": value})
    (joined,) = tensors_of(do_convert(source, tmp_path / "b.safetensors", "kohya").output).values()
    assert joined.shape == (9216, 3072)
    assert torch.equal(joined[3072:6144], value) and not joined[:3072].any() and not joined[6144:].any()


@pytest.mark.parametrize("alpha", [1.0, 3.0])
def test_a_bias_is_scaled_like_the_update_beside_it(tmp_path, alpha):
    """Rank 2: alpha 1 is a power of two, alpha 3 is not. Without alpha keys the scale moves into the factors."""
    bias = torch.randn(9216)
    tensors = flux([QKV], 2, alpha, "F32") | {f"{STEM[QKV]}.lora_up.bias": bias}
    source = save(tmp_path / "a.safetensors", tensors)
    there, back = there_and_back(tmp_path, source, "diffusers", "kohya")
    new = tensors_of(there.output)
    for number, char in enumerate("qkv"):
        found = new[f"transformer.transformer_blocks.0.attn.to_{char}.lora_B.bias"]
        torch.testing.assert_close(found, bias[3072 * number:3072 * (number + 1)] * (alpha / 2), rtol=1e-7, atol=0)
    assert json.loads(metadata_of(there.output)["lora_adapter_metadata"])["transformer.lora_bias"] is True
    assert any("rounded" in note for note in there.notes) == (alpha == 3.0)
    assert back.identical is (alpha == 1.0)


@pytest.mark.parametrize(("extra", "to"), [("diff_b", "diffusers"), ("diff_b", "peft"), ("lora_up.bias", "xlabs")])
def test_what_a_dialect_cannot_hold_is_refused_or_listed(tmp_path, extra, to):
    source = save(tmp_path / "a.safetensors", flux([QKV], 2, 1.0) | {f"{STEM[QKV]}.{extra}": torch.ones(9216)})
    with pytest.raises(WouldLose) as error:
        do_convert(source, tmp_path / "b", to)
    assert error.value.key == STEM[QKV]
    made = do_convert(source, tmp_path / "b", to, drop=True)
    assert any(STEM[QKV] in note for note in made.notes)


def test_a_smaller_rank_keeps_the_bias(tmp_path):
    tensors = flux([QKV], 4, 1.0) | {f"{STEM[QKV]}.lora_up.bias": torch.randn(9216)}
    source = save(tmp_path / "a.safetensors", tensors)
    new = tensors_of(do_resize(source, tmp_path / "b.safetensors", 2).output)
    assert torch.equal(new[f"{STEM[QKV]}.lora_up.bias"], tensors[f"{STEM[QKV]}.lora_up.bias"])
    with pytest.raises(WouldLose, match="bias"):
        do_resize(source, tmp_path / "c.safetensors", 2, alpha="rank")


def test_the_bias_of_a_text_encoder_is_in_its_own_folder(tmp_path):
    stem = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    source = save(tmp_path / "a.safetensors", {
        f"{stem}.lora_up.weight": torch.randn(3072, 2), f"{stem}.lora_down.weight": torch.randn(2, 768),
        f"{stem}.alpha": torch.tensor(2.0), f"{stem}.lora_up.bias": torch.randn(3072)})
    do_convert(source, tmp_path / "b", "peft", family="sd1")
    (model,) = (tmp_path / "b").rglob("*.safetensors")
    assert model.parent.name == "text_encoder"
    assert sum(key.endswith("lora_B.bias") for key in tensors_of(model)) == 1
    assert json.loads((model.parent / "adapter_config.json").read_text())["lora_bias"] is True


class Stored:
    """A source with one tensor, for the laying of rows alone."""

    def __init__(self, value: np.ndarray) -> None:
        from loratool.tensors.header import TensorInfo

        self.file = self
        self.value = value
        self.tensors = {"k": TensorInfo("k", "F32", value.shape, 0, value.nbytes)}

    def raw(self, key):
        return self.value.tobytes()


@given(st.data())
def test_laid_strips_are_the_rows_of_the_whole(data):
    size = data.draw(st.integers(1, 12))
    whole = np.arange(size * 3, dtype=np.float32).reshape(size, 3) + 1
    cuts = sorted(data.draw(st.sets(st.integers(0, size), max_size=4)) | {0, size})
    ranges = [(a, b) for a, b in pairwise(cuts) if a < b]
    kept = [r for r in ranges if data.draw(st.booleans())]
    strips = [Strip(Stored(whole[a:b]), "k", ((a, b),)) for a, b in kept]
    target = tuple(data.draw(st.permutations(ranges)))
    laid = Laid(Stored(whole), "k", "n", tuple(strips), target)
    found = np.frombuffer(laid.raw(), np.float32).reshape(height(target), 3)
    has = np.zeros((size, 1), np.float32)
    for a, b in kept:
        has[a:b] = 1
    np.testing.assert_array_equal(found, np.concatenate([(whole * has)[a:b] for a, b in target]))
