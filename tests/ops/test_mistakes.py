"""Mistakes that published converters make, one test each: this program does not."""

import json

import numpy as np
import pytest
import torch

from loratool.adapter.adapter import Adapter
from loratool.errors import WouldLose
from loratool.naming.dialect import DIALECTS
from loratool.naming.keymap import keymap
from tests.oracles.loading import assert_same, meant, write_kohya

from .files import do_convert, do_merge, do_resize, effects, flux, layer, metadata_of, relative, same, save, tensors_of

QKV = "lora_unet_double_blocks_0_img_attn_qkv"


def test_underscores_are_not_guessed_into_dots():
    """``img_mod_lin``, ``to_out_0`` and ``down_blocks`` hold underscores of their own."""
    for model, stem, dotted in (
            ("flux1", "lora_unet_double_blocks_0_img_mod_lin", "diffusion_model.double_blocks.0.img_mod.lin"),
            ("sdxl", "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_out_0",
             "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_out.0"),
            ("hunyuan-video", "lora_unet_double_blocks_0_img_attn_qkv", "diffusion_model.double_blocks.0.img_attn.qkv")):
        keys = keymap(model)
        hit = keys.read("lora_unet_", stem.removeprefix("lora_unet_"))
        assert [name for name, _ in keys.targets(*hit.address.whole, DIALECTS["comfyui"])] == [dotted]


def test_alpha_is_folded_once(tmp_path):
    """One published converter is 2.0 times too strong: alpha in the factors and in the settings."""
    source = write_kohya(tmp_path / "a.safetensors", {QKV: (9216, 3072)}, 4, 2.0, dtype=np.float32)
    there = do_convert(str(source), tmp_path / "b.safetensors", "diffusers")
    told = json.loads(metadata_of(there.output)["lora_adapter_metadata"])
    new = tensors_of(there.output)
    assert told["transformer.lora_alpha"] == told["transformer.r"]
    old = meant(source, "flux1")
    for char in "qkv":
        stem = f"transformer.transformer_blocks.0.attn.to_{char}"
        product = new[f"{stem}.lora_B.weight"].double() @ new[f"{stem}.lora_A.weight"].double()
        x = np.random.default_rng(3072).standard_normal((3072, 3))
        np.testing.assert_allclose(product.numpy() @ x, old["denoiser", stem.removeprefix("transformer.")], rtol=1e-9)


def test_no_alpha_keys_stand_beside_the_settings(tmp_path):
    """diffusers refuses a file that says alpha twice."""
    source = save(tmp_path / "a.safetensors", flux(["double_blocks.0.img_attn.qkv"], 2, 1.0))
    there = do_convert(source, tmp_path / "b.safetensors", "diffusers")
    assert "lora_adapter_metadata" in metadata_of(there.output)
    assert not [key for key in tensors_of(there.output) if key.endswith("alpha")]


def test_grouped_heads_are_no_equal_thirds(tmp_path):
    """Lumina 2 has 24 query heads and 8 key/value heads: 2304 + 768 + 768 rows."""
    source = write_kohya(tmp_path / "a.safetensors", {"lora_unet_layers_0_attention_qkv": (3840, 2304)}, 2, 1.0,
                         dtype=np.float32)
    there = do_convert(str(source), tmp_path / "b.safetensors", "diffusers", family="lumina2")
    new = tensors_of(there.output)
    assert {key.split(".")[4]: value.shape[0] for key, value in new.items() if "lora_B" in key} == {
        "to_q": 2304, "to_k": 768, "to_v": 768}
    assert do_convert(there.output, tmp_path / "c.safetensors", "kohya", family="lumina2").identical is True


def test_a_group_with_missing_members_keeps_the_others_rows(tmp_path):
    """Only to_k and to_v of Lumina 2: the rows of q stay zero."""
    shapes = {f"lora_unet_layers_0_attn_to_{c}": (768, 2304) for c in "kv"}
    source = write_kohya(tmp_path / "a.safetensors", shapes, 2, 1.0, dtype=np.float32)
    there = do_convert(str(source), tmp_path / "b.safetensors", "comfyui", family="lumina2")
    up = tensors_of(there.output)["diffusion_model.layers.0.attention.qkv.lora_up.weight"]
    assert up.shape == (3840, 4)
    assert not up[:2304].any() and up[2304:].any()


def test_a_split_and_joined_layer_does_not_keep_the_threefold_rank(tmp_path):
    """alpha and rank of the original come back, not alpha * 3 at rank * 3."""
    parts = {f"transformer.transformer_blocks.0.attn.to_{c}": torch.randn(3072, 2) for c in "qkv"}
    tensors = {f"{stem}.lora_B.weight": up for stem, up in parts.items()}
    tensors |= {f"{stem}.lora_A.weight": torch.randn(2, 3072) for stem in parts}
    source = save(tmp_path / "a.safetensors", tensors)
    joined = do_convert(source, tmp_path / "b.safetensors", "kohya")
    assert tensors_of(joined.output)[f"{QKV}.lora_up.weight"].shape == (9216, 6)
    back = do_convert(joined.output, tmp_path / "c.safetensors", "diffusers")
    assert back.identical is True and same(source, back.output)


def test_a_magnitude_is_not_dropped_in_silence(tmp_path):
    """diffusers drops ``dora_scale`` and loads the rest as plain LoRA."""
    source = save(tmp_path / "a.safetensors",
                  flux(["double_blocks.0.img_attn.proj"], 2, 1.0)
                  | {"lora_unet_double_blocks_0_img_attn_proj.dora_scale": torch.ones(3072, 1)})
    with pytest.raises(WouldLose, match="DoRA"):
        do_convert(source, tmp_path / "b.safetensors", "diffusers")


@pytest.mark.parametrize(("alpha", "dtype", "stored"), [(2049.0, torch.float16, torch.float32),
                                                        (257.0, torch.bfloat16, torch.float32),
                                                        (2048.0, torch.float16, torch.float16)])
def test_an_alpha_is_not_rounded_to_half_precision(tmp_path, alpha, dtype, stored):
    """Rank 4 to 2 halves alpha; what the dtype cannot hold goes into float32."""
    name = "F16" if dtype == torch.float16 else "BF16"
    tensors = flux(["double_blocks.0.img_attn.proj"], 4, None, name)
    stem = "lora_unet_double_blocks_0_img_attn_proj"
    source = save(tmp_path / "a.safetensors", tensors | {f"{stem}.alpha": torch.tensor(2 * alpha, dtype=torch.float32)})
    made = tensors_of(do_resize(source, tmp_path / "b.safetensors", 2).output)[f"{stem}.alpha"]
    assert float(made) == alpha
    assert made.dtype == torch.float32
    there = do_convert(save(tmp_path / "c.safetensors", tensors | {f"{stem}.alpha": torch.tensor(alpha, dtype=stored)}),
                       tmp_path / "d.safetensors", "comfyui")
    (kept,) = [value for key, value in tensors_of(there.output).items() if key.endswith("alpha")]
    assert float(kept) == alpha and kept.dtype == stored


def test_an_alpha_of_one_axis_keeps_it(tmp_path):
    tensors = flux(["double_blocks.0.img_attn.proj"], 2, None, "F32") | {
        "lora_unet_double_blocks_0_img_attn_proj.alpha": torch.tensor([1.0])}
    source = save(tmp_path / "a.safetensors", tensors)
    there = do_convert(source, tmp_path / "b.safetensors", "diffusers")
    back = do_convert(there.output, tmp_path / "c.safetensors", "kohya")
    assert tensors_of(back.output)["lora_unet_double_blocks_0_img_attn_proj.alpha"].shape == (1,)
    assert back.identical is True


def test_the_only_encoder_of_the_refiner_is_clip_g(tmp_path):
    stem = "lora_te_text_model_encoder_layers_3_mlp_fc1"
    source = write_kohya(tmp_path / "a.safetensors", {stem: (5120, 1280)}, 2, 1.0)
    with Adapter.open(str(source)) as adapter:
        assert adapter.identification.possible == {"sdxl-refiner", "stable-cascade"}
    with Adapter.open(str(source), "sdxl-refiner") as adapter:
        assert adapter.layers[stem].address.component == "clip-g"


def test_the_scale_is_not_shared_out_as_its_root(tmp_path):
    """All of alpha / rank goes into up, so that down stays bit for bit; the hashes follow the tensors."""
    tensors = flux(["double_blocks.0.img_attn.proj"], 4, 1.0, "F32")
    source = save(tmp_path / "a.safetensors", tensors, {"sshs_model_hash": "0" * 64, "ss_network_dim": "4"})
    there = do_convert(source, tmp_path / "b.safetensors", "diffusers")
    new, stem = tensors_of(there.output), "transformer.transformer_blocks.0.attn.to_out.0"
    old = "lora_unet_double_blocks_0_img_attn_proj"
    assert torch.equal(new[f"{stem}.lora_A.weight"], tensors[f"{old}.lora_down.weight"])
    assert torch.equal(new[f"{stem}.lora_B.weight"], tensors[f"{old}.lora_up.weight"] * 0.25)
    assert metadata_of(there.output)["sshs_model_hash"] not in ("0" * 64, "")


def test_old_diffusers_names_get_their_zero_back(tmp_path):
    """``to_out_lora`` of diffusers before 0.22 is ``to_out.0``."""
    stem = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora"
    source = save(tmp_path / "a.safetensors", {f"{stem}.up.weight": torch.randn(320, 2),
                                               f"{stem}.down.weight": torch.randn(2, 320)})
    there = do_convert(source, tmp_path / "b.safetensors", "diffusers", family="sd1")
    assert {key.rsplit(".lora_", 1)[0] for key in tensors_of(there.output)} == {
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_out.0"}


@pytest.mark.parametrize("strength", [0.5, -1.0])
def test_strength_stays_linear(tmp_path, strength):
    """What is converted answers to a loader's strength as the original does: the scale is one factor of the update."""
    source = write_kohya(tmp_path / "a.safetensors", {QKV: (9216, 3072)}, 4, 2.0, dtype=np.float32)
    there = do_convert(str(source), tmp_path / "b.safetensors", "onetrainer")
    back = do_convert(there.output, tmp_path / "c.safetensors", "kohya")
    old, new = meant(source, "flux1"), meant(back.output, "flux1")
    assert_same({k: strength * v for k, v in new.items()}, {k: strength * v for k, v in old.items()}, 1e-12)


@pytest.mark.parametrize("to", ("diffusers", "peft"))
@pytest.mark.parametrize("short_alone", (False, True))
def test_a_pattern_of_peft_fits_no_longer_name_that_ends_alike(tmp_path, to, short_alone):
    """``time_text_embed.timestep_embedder.linear_1`` is a module, and the end of another one's name."""
    from peft.utils.other import get_pattern_key

    tensors = layer("diffusion_model.time_in.in_layer", (3072, 256), 5, 5.0, "F32", style="peft")
    if not short_alone:
        tensors |= layer("diffusion_model.txt_in.t_embedder.in_layer", (3072, 256), 3, 3.0, "F32", style="peft")
    source = save(tmp_path / "a.safetensors", tensors)
    there = do_convert(source, tmp_path / "there", to, family="hunyuan-video")
    if to == "peft":
        said = json.loads((tmp_path / "there" / "adapter_config.json").read_text())
        short = "time_text_embed.timestep_embedder.linear_1"
        assert get_pattern_key(list(said["rank_pattern"]), "context_embedder." + short) == "context_embedder." + short
        assert bool(said["exclude_modules"]) == short_alone
    back = do_convert(there.output, tmp_path / "b.safetensors", "comfyui", family="hunyuan-video")
    assert relative(effects(back.output), effects(source)) == 0.0


INTERLEAVED = "diffusion_model.blocks.0.attn.qkv_proj"


def _interleaved():
    """A DiffSynth file of MiniMax-H3: rows of head h are q 384h + 0-127, k + 128-255, v + 256-383."""
    return {key.replace(".weight", ".default.weight"): value for name, shape in (
        (INTERLEAVED, (21504, 5376)), ("diffusion_model.blocks.0.attn.out_proj", (5376, 7168)))
        for key, value in layer(name, shape, 2, None, "F32", style="peft").items()}


def test_heads_that_are_interleaved_are_no_stacked_thirds(tmp_path):
    source = save(tmp_path / "a.safetensors", _interleaved())
    up = tensors_of(source)[f"{INTERLEAVED}.lora_B.default.weight"].reshape(56, 3, 128, 2)
    there = do_convert(source, tmp_path / "b.safetensors", "diffusers", family="minimax-h3")
    for number, char in enumerate("qkv"):
        key = f"transformer.transformer_blocks.0.attn.to_{char}.lora_B.weight"
        assert tensors_of(there.output)[key].equal(up[:, number].reshape(7168, 2))
    stacked = up.transpose(0, 1).reshape(21504, 2)
    for origin in (source, there.output):
        comfy = do_convert(origin, tmp_path / "c.safetensors", "comfyui", overwrite=True, family="minimax-h3")
        assert tensors_of(comfy.output)[f"{INTERLEAVED}.lora_B.weight"].equal(stacked)
        nothing = do_merge([source, comfy.output], [1.0, -1.0], tmp_path / "d.safetensors", overwrite=True)
        assert not any(update.any() for update in effects(nothing.output).values())


def test_a_resize_leaves_interleaved_heads_where_they_are(tmp_path):
    source = save(tmp_path / "a.safetensors", _interleaved())
    do_resize(source, tmp_path / "b.safetensors", 1)
    small = do_convert(tmp_path / "b.safetensors", tmp_path / "c.safetensors", "diffusers", family="minimax-h3")
    whole = do_convert(source, tmp_path / "d.safetensors", "diffusers", family="minimax-h3")
    assert 0.1 < relative(effects(small.output), effects(whole.output)) < 0.9
