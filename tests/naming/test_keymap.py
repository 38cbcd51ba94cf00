"""Names and addresses: what is written is read back as the same rows, and no name means two things."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loratool.errors import Unmapped
from loratool.naming.address import DENOISER, Address, moves
from loratool.naming.dialect import ALIASES, DIALECTS, TARGETS, split_prefix
from loratool.naming.families import FAMILIES, family
from loratool.naming.keymap import keymap
from loratool.naming.suffix import split_suffix
from tests.keysets import family_of, keys_of

REAL = {
    "kohya": ["sd15_kohya_lora", "sd15_kohya_locon", "sd15_lycoris_locon", "sdxl_kohya_lora", "sdxl_kohya_locon",
              "flux1dev_kohya_lora", "flux1schnell_kohya_lora", "flux1-kontext_kohya_lora"],
    "kohya-diffusers": ["sdxl_kohya_on_diffusers", "sdxl_aitoolkit_lora", "sdxl_aitoolkit_locon"],
    "diffusers": ["sd15_diffusers_lora_conv", "sd21_diffusers_lora", "sdxl_diffusers_lora_conv",
                  "flux1-dev_diffusers_lora", "flux1-schnell_diffusers_lora", "flux1-dev_aitoolkit_lora_full"],
    "comfyui": ["flux1-dev_comfy_generic_lora"],
}
"""Dialect -> key sets that programs wrote in it."""


MODELS = [model for family_id in FAMILIES for model, _, _ in family(family_id).models()]


def modules_of(model: str):
    return [(component, name) for component, tree in keymap(model).trees.items() for name in tree.modules]


def targets_of(model: str, component: str, module: str, dialect: str):
    """The names of a module; none where the dialect says that it has none."""
    try:
        return keymap(model).targets(component, module, DIALECTS[dialect])
    except Unmapped:
        return []


def written(model: str, dialect: str):
    """(stem, address) of everything that a dialect can write in a model."""
    return [target for component, name in modules_of(model) for target in targets_of(model, component, name, dialect)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_written_name_is_read_as_the_rows_that_it_was_written_for(model, dialect):
    keys = keymap(model)
    for stem, address in written(model, dialect):
        prefix, name = split_prefix(stem)
        assert prefix + name == stem
        hit = keys.read(prefix, name)
        assert hit is not None, stem
        assert hit.address == address, stem


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_two_weights_are_written_under_one_name(model, dialect):
    stems = [stem for stem, _ in written(model, dialect)]
    assert len(stems) == len(set(stems))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dialect", [d for d in DIALECTS if d not in ("xlabs", "old-diffusers")])
def test_the_names_of_a_module_hold_each_of_its_rows_once(model, dialect):
    keys = keymap(model)
    for component, name in modules_of(model):
        targets = targets_of(model, component, name, dialect)
        if not targets:
            assert component != DENOISER and dialect == "lycoris", "only two encoders of one tree have no names"
            continue
        out = keys.trees[component].modules[name].shape[0]
        held = sorted(rows for _, address in targets for rows in address.rows or ((0, out),))
        assert [end for _, end in held] == [begin for begin, _ in held[1:]] + [out]
        assert held[0][0] == 0


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("separator", [".", "_"])
def test_no_spelled_name_means_two_modules(model, separator):
    """Native, diffusers and other names of one network together, dots replaced as kohya does."""
    for tree in keymap(model).trees.values():
        owner: dict[str, str] = {}
        for module in tree.modules.values():
            others = [part.name for parts in module.others.values() for part in parts]
            for name in {module.native, *(part.name for part in module.parts), *others}:
                spelled = name.replace(".", separator)
                assert owner.setdefault(spelled, module.native) == module.native, spelled


@pytest.mark.parametrize(("dialect", "name"), [(d, n) for d, names in REAL.items() for n in names])
def test_names_that_programs_write_are_read_and_written_again_letter_by_letter(dialect, name):
    family_id = family_of(name)
    keys = keymap(family_id)
    stems = {split_suffix(key)[0] for key in keys_of(name)}
    again = set()
    for stem in stems:
        hit = keys.read(*split_prefix(stem))
        assert hit is not None, stem
        for target, address in keys.targets(*hit.address.whole, DIALECTS[dialect]):
            if address == hit.address:
                again.add(target)
    assert again == stems


@pytest.mark.parametrize(("family_id", "dialect", "component", "module", "stems"), [
    ("sd1", "kohya", DENOISER, "input_blocks.1.1.transformer_blocks.0.attn1.to_out.0",
     ["lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0"]),
    ("sdxl", "kohya", DENOISER, "input_blocks.4.1.proj_in", ["lora_unet_input_blocks_4_1_proj_in"]),
    ("sdxl", "kohya-diffusers", DENOISER, "input_blocks.4.1.proj_in", ["lora_unet_down_blocks_1_attentions_0_proj_in"]),
    ("sdxl", "diffusers", DENOISER, "input_blocks.4.1.proj_in", ["unet.down_blocks.1.attentions.0.proj_in"]),
    ("sdxl", "comfyui", DENOISER, "input_blocks.4.1.proj_in", ["diffusion_model.input_blocks.4.1.proj_in"]),
    ("sdxl", "kohya", "clip-g", "text_model.encoder.layers.3.mlp.fc1",
     ["lora_te2_text_model_encoder_layers_3_mlp_fc1"]),
    ("sdxl", "diffusers", "clip-g", "text_model.encoder.layers.3.mlp.fc1",
     ["text_encoder_2.text_model.encoder.layers.3.mlp.fc1"]),
    ("sdxl", "comfyui", "clip-l", "text_model.encoder.layers.3.mlp.fc1",
     ["text_encoders.clip_l.transformer.text_model.encoder.layers.3.mlp.fc1"]),
    ("sdxl-refiner", "kohya", "clip-g", "text_model.encoder.layers.3.mlp.fc1",
     ["lora_te_text_model_encoder_layers_3_mlp_fc1"]),
    ("flux1", "kohya", DENOISER, "single_blocks.7.linear1", ["lora_unet_single_blocks_7_linear1"]),
    ("flux1", "diffusers", DENOISER, "single_blocks.7.linear1",
     [f"transformer.single_transformer_blocks.7.{n}" for n in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")]),
    ("flux1", "kohya", "t5-xxl", "encoder.block.2.layer.1.DenseReluDense.wi_0",
     ["lora_te3_encoder_block_2_layer_1_DenseReluDense_wi_0"]),
    ("flux1", "peft", DENOISER, "double_blocks.0.txt_attn.proj",
     ["base_model.model.transformer_blocks.0.attn.to_add_out"]),
    ("flux1", "xlabs", DENOISER, "double_blocks.3.txt_attn.qkv", ["double_blocks.3.processor.qkv_lora2"]),
    ("flux1", "onetrainer", DENOISER, "double_blocks.3.img_attn.proj",
     ["lora_transformer_transformer_blocks_3_attn_to_out_0"]),
    ("sd1", "lycoris", DENOISER, "input_blocks.1.1.proj_in", ["lycoris_down_blocks_0_attentions_0_proj_in"]),
    ("hunyuan-video", "comfyui", DENOISER, "double_blocks.3.img_attn_qkv",
     ["diffusion_model.double_blocks.3.img_attn.qkv"]),
    ("hunyuan-video", "kohya", DENOISER, "double_blocks.3.img_attn_qkv", ["lora_unet_double_blocks_3_img_attn_qkv"]),
    ("hunyuan-video", "diffusion-pipe", DENOISER, "double_blocks.3.img_mlp.fc1",
     ["transformer.double_blocks.3.img_mlp.fc1"]),
    ("wan", "kohya-double", DENOISER, "blocks.3.cross_attn.k", ["lora_unet__blocks_3_cross_attn_k"]),
    ("z-image", "kohya", DENOISER, "layers.3.attention.out", ["lora_unet_layers_3_attention_to_out_0"]),
    ("z-image", "comfyui", DENOISER, "layers.3.attention.out", ["diffusion_model.layers.3.attention.out"]),
    ("stable-cascade", "cascade", "clip-g", "text_model.encoder.layers.3.mlp.fc1",
     ["lora_prior_te_text_model_encoder_layers_3_mlp_fc1"]),
    ("anima", "kohya", "llm-adapter", "blocks.3.mlp.0", ["lora_unet_llm_adapter_blocks_3_mlp_0"]),
    ("anima", "diffusers", "llm-adapter", "blocks.3.mlp.0", ["text_conditioner.blocks.3.mlp.0"]),
])
def test_names_are_those_that_the_programs_expect(family_id, dialect, component, module, stems):
    """Spelled out by hand from the trainers' own files (sd-scripts, diffusers, ComfyUI)."""
    assert [stem for stem, _ in keymap(family_id).targets(component, module, DIALECTS[dialect])] == stems


@pytest.mark.parametrize(("family_id", "prefix", "component"), [
    ("flux1", "lora_te1_", "clip-l"), ("flux1", "lora_te2_", "t5-xxl"), ("flux1", "lora_te3_", "t5-xxl"),
    ("sdxl", "lora_te1_", "clip-l"), ("sdxl", "lora_te2_", "clip-g"), ("sdxl", "lora_te_", None),
    ("sd1", "lora_te_", "clip-l"), ("sd2", "lora_te_", "openclip-h"), ("sdxl-refiner", "lora_te_", "clip-g"),
    ("sd1", "lora_te2_", None), ("flux1", "text_encoder_2.", "t5-xxl"), ("flux1", "text_encoder_3.", None),
    ("flux1", "text_encoders.t5xxl.transformer.", "t5-xxl"), ("sdxl", "text_encoder.base_model.model.", "clip-l"),
    ("sdxl", "base_model.model.", DENOISER), ("sdxl", "", DENOISER)])
def test_a_number_names_an_encoder_only_within_its_family(family_id, prefix, component):
    assert keymap(family_id).components(prefix) == ([component] if component else [])


@pytest.mark.parametrize(("prefix", "name", "module"), [
    ("unet.", "down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora",
     "input_blocks.1.1.transformer_blocks.0.attn2.to_out.0"),
    ("unet.", "mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora",
     "middle_block.1.transformer_blocks.0.attn1.to_q"),
    ("text_encoder.", "text_model.encoder.layers.0.self_attn.to_out_lora",
     "text_model.encoder.layers.0.self_attn.out_proj")])
def test_the_names_of_old_diffusers_are_read(prefix, name, module):
    hit = keymap("sd1").read(prefix, name)
    assert hit is not None
    assert (hit.address.module, hit.address.rows, hit.spellings) == (module, None, {"processor"})


@pytest.mark.parametrize("name", ["text_model.encoder.layers.0.mlp.fc1", "encoder.layers.0.mlp.fc1"])
def test_clip_is_read_with_and_without_the_outer_name(name):
    hit = keymap("sd1").read("text_encoder.", name)
    assert hit is not None
    assert hit.address == Address("clip-l", "text_model.encoder.layers.0.mlp.fc1")


@pytest.mark.parametrize(("prefix", "name"), [
    ("lora_unet_", "double_blocks_19_img_attn_qkv"), ("lora_unet_", "double_blocks.0.img_attn.qkv"),
    ("transformer.", "transformer_blocks_0_attn_to_q"), ("lora_te1_", "double_blocks_0_img_attn_qkv"), ("", "")])
def test_a_name_that_no_table_holds_has_no_address(prefix, name):
    assert keymap("flux1").read(prefix, name) is None


def test_a_module_that_the_family_lacks_cannot_be_written():
    with pytest.raises(Unmapped):
        keymap("sd1").targets(DENOISER, "input_blocks.99.0", DIALECTS["kohya"])


def test_the_targets_of_a_conversion_are_dialects():
    assert set(TARGETS) <= set(DIALECTS)
    assert {"kohya", "kohya-diffusers", "diffusers", "comfyui", "peft"} <= set(TARGETS)
    assert ALIASES["a1111"] == "kohya"


@pytest.mark.parametrize(("key", "prefix"), [
    ("lora_unet_down_blocks_0_x", "lora_unet_"), ("lora_te_text_model", "lora_te_"),
    ("lora_te1_text_model", "lora_te1_"), ("lora_te4_x", "lora_te4_"), ("lora_te9_x", ""),
    ("lora_transformer_x", "lora_transformer_"), ("unet.down", "unet."), ("unetx.down", ""),
    ("transformer.x", "transformer."), ("transformer_blocks.0.attn.to_q", ""),
    ("text_encoder.text_model", "text_encoder."), ("text_encoder_2.text_model", "text_encoder_2."),
    ("text_encoders.clip_l.transformer.text_model", "text_encoders.clip_l.transformer."),
    ("text_encoders.t5xxl.encoder.block", "text_encoders.t5xxl."), ("diffusion_model.x", "diffusion_model."),
    ("base_model.model.x", "base_model.model."), ("unet.base_model.model.x", "unet.base_model.model."),
    ("text_encoder_2.base_model.model.x", "text_encoder_2.base_model.model."),
    ("double_blocks.0.x", ""), ("", "")])
def test_the_prefix_of_a_key_is_split_off(key, prefix):
    assert split_prefix(key) == (prefix, key[len(prefix):])


@pytest.mark.parametrize(("key", "stem", "role", "style"), [
    ("lora_unet_a.lora_up.weight", "lora_unet_a", "up", "kohya"),
    ("lora_unet_a.lora_down.weight", "lora_unet_a", "down", "kohya"),
    ("lora_unet_a.lora_mid.weight", "lora_unet_a", "mid", "kohya"),
    ("lora_unet_a.alpha", "lora_unet_a", "alpha", ""),
    ("unet.a.b.lora_A.weight", "unet.a.b", "down", "peft"),
    ("unet.a.b.lora_B.weight", "unet.a.b", "up", "peft"),
    ("unet.a.b.lora_B.bias", "unet.a.b", "bias", "peft"),
    ("base_model.model.a.lora_A.default.weight", "base_model.model.a", "down", "peft"),
    ("base_model.model.a.lora_B.my-style_2.weight", "base_model.model.a", "up", "peft"),
    ("unet.a.lora.down.weight", "unet.a", "down", "dotted"),
    ("unet.a.lora.up.weight", "unet.a", "up", "dotted"),
    ("text_encoder.a.lora_linear_layer.up.weight", "text_encoder.a", "up", "linear-layer"),
    ("lora_unet_a.hada_w1_a", "lora_unet_a", "w1_a", ""),
    ("lora_unet_a.lokr_w2_b", "lora_unet_a", "w2_b", ""),
    ("lora_unet_a.dora_scale", "lora_unet_a", "magnitude", ""),
    ("base_model.model.a.lora_magnitude_vector", "base_model.model.a", "magnitude", ""),
    ("lora_unet_a.diff_b", "lora_unet_a", "diff_b", ""),
    ("lora_unet_a.a1.weight", "lora_unet_a", "a1", ""),
    ("lora_unet_a.oft_blocks", "lora_unet_a", "blocks", ""),
])
def test_the_end_of_a_key_says_what_the_tensor_is(key, stem, role, style):
    found = split_suffix(key)
    assert found[0] == stem
    assert found[0] + "." + found[1] == key
    assert (found[2].role, found[2].style) == (role, style)


@pytest.mark.parametrize("key", ["emp_params", "lora_unet_a.weight", "a.b.c.d", "model.lora_up", "", ".", "alpha", "..",
                                 "lora_up.weight.", "x.lora_A.default.bias_"])
def test_a_suffix_that_nobody_knows_has_no_meaning(key):
    assert split_suffix(key)[2] is None


@given(st.text(alphabet="ab._lorAweight", max_size=40))
def test_any_text_is_split_without_loss(key):
    stem, suffix, factor = split_suffix(key)
    assert factor is None or f"{stem}.{suffix}" == key
    prefix, rest = split_prefix(key)
    assert prefix + rest == key


@st.composite
def two_row_lists(draw):
    """Two lists of ranges over one axis, each in any order, no row twice in a list."""
    size = draw(st.integers(1, 30))

    def ranges():
        cuts = sorted(draw(st.sets(st.integers(0, size), min_size=2, max_size=7)) | {0, size})
        pairs = list(pairwise(cuts))
        return tuple(draw(st.permutations(pairs))[:draw(st.integers(1, len(pairs)))])

    return ranges(), ranges()


def numbers(rows) -> np.ndarray:
    return np.concatenate([np.arange(begin, end) for begin, end in rows])


@settings(max_examples=200)
@given(two_row_lists())
def test_moves_carry_each_shared_row_to_its_place(rows):
    source, target = rows
    have, want = numbers(source), numbers(target)
    found = np.full(len(want), -1)
    for s, t, count in moves(source, target):
        assert count > 0
        assert (found[t:t + count] == -1).all(), "a row is written twice"
        found[t:t + count] = have[s:s + count]
    np.testing.assert_array_equal(found, np.where(np.isin(want, have), want, -1))


@settings(max_examples=100)
@given(two_row_lists())
def test_moves_back_are_the_same_moves_exchanged(rows):
    source, target = rows
    assert {(t, s, n) for s, t, n in moves(source, target)} == set(moves(target, source))
