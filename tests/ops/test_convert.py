"""Convert: the same update under other names, judged by the official reader alone."""

import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loratool.errors import LoratoolError, Unmapped, Unsound, WouldLose

from .files import (
    CONV,
    CROSS,
    FLUX_ROWS,
    LAST,
    PROJ,
    SHAPES,
    TE,
    UNIT,
    Q,
    config_alpha,
    do_convert,
    effects,
    factors,
    flux,
    flux_split,
    header_alphas,
    identical,
    key_order,
    layer,
    metadata_of,
    native,
    probed,
    relative,
    same,
    save,
    sd1,
    sha256,
    tensors_of,
)

QKV, TXT, LINEAR1 = "double_blocks.0.img_attn.qkv", "double_blocks.0.txt_attn.qkv", "single_blocks.0.linear1"
ADALN, FINAL, IMG = "final_layer.adaLN_modulation.1", "final_layer.linear", "img_in"
K_QKV, K_ADALN = ("lora_unet_" + n.replace(".", "_") for n in (QKV, ADALN))
TO = [f"transformer.transformer_blocks.0.attn.to_{c}" for c in "qkv"]
TRAINING = {"ss_network_dim": "2", "ss_network_alpha": "1.0", "ss_output_name": "x", "custom": "kept",
            "sshs_model_hash": "0" * 64, "sshs_legacy_hash": "0" * 8}


def _there_and_back(tmp_path, source, to, back, **options):
    there = do_convert(source, tmp_path / "there.safetensors", to, overwrite=True, **options)
    return there, do_convert(there.output, tmp_path / "back.safetensors", back, overwrite=True, **options)


def _folded(path):
    """Effects of a file whose header tells alpha."""
    return probed(factors(path, header_alphas(path)))


def _coarse(tensors, step=2.0 ** -7):
    """Values far from the subnormals of half precision, or zero."""
    return {k: v if "alpha" in k else torch.round(v / step) * step for k, v in tensors.items()}


@pytest.mark.parametrize("dtype", ("F16", "BF16", "F32"))
def test_a_power_of_two_is_folded_exactly_and_unfolded(tmp_path, dtype):
    tensors = flux([QKV, LINEAR1, ADALN, FINAL, IMG], 2, 1.0, dtype)
    source = save(tmp_path / "a.safetensors", _coarse(tensors) if dtype == "F16" else tensors, TRAINING)
    there, back = _there_and_back(tmp_path, source, "diffusers", "kohya")
    assert there.exact and there.error == 0.0
    new = tensors_of(there.output)
    assert not any(key.endswith("alpha") for key in new)
    old = native(probed(factors(source)))
    assert all(np.array_equal(value, old[name]) for name, value in native(_folded(there.output)).items())
    assert back.identical is True and same(source, back.output)
    assert key_order(back.output) == key_order(source)


def test_the_way_back_restores_the_metadata(tmp_path):
    source = save(tmp_path / "a.safetensors", flux([QKV, FINAL], 2, 1.0, "F32"), TRAINING)
    _, back = _there_and_back(tmp_path, source, "diffusers", "kohya")
    got = metadata_of(back.output)
    hashes = {"sshs_model_hash", "sshs_legacy_hash"}
    assert {k: v for k, v in got.items() if k not in hashes} == {k: v for k, v in TRAINING.items() if k not in hashes}
    assert got.keys() == TRAINING.keys()


@pytest.mark.parametrize("alpha", ("1", "1.0"))
def test_numbers_in_the_metadata_come_back_as_they_were_spelled(tmp_path, alpha):
    training = TRAINING | {"ss_network_alpha": alpha}
    source = save(tmp_path / "a.safetensors", flux([FINAL, IMG], 2, 1.0, "F32"), training)
    there, back = _there_and_back(tmp_path, source, "diffusers", "kohya")
    assert float(metadata_of(there.output)["ss_network_alpha"]) == 2.0
    assert metadata_of(back.output)["ss_network_alpha"] == alpha


def test_metadata_that_never_fitted_the_tensors_comes_back_as_it_was(tmp_path):
    training = {"ss_network_dim": "Dynamic", "ss_network_alpha": "None", "ss_x": "1"}
    source = save(tmp_path / "a.safetensors", flux([FINAL, IMG], 2, 1.0, "F32"), training)
    _, back = _there_and_back(tmp_path, source, "diffusers", "kohya")
    assert {k: v for k, v in metadata_of(back.output).items() if not k.startswith("sshs")} == training


@pytest.mark.parametrize("to", ("kohya-diffusers", "comfyui"))
def test_nothing_but_names_and_rows_moves_between_dialects_with_alpha(tmp_path, to):
    source = save(tmp_path / "a.safetensors", flux([QKV, LINEAR1, ADALN, FINAL], 3, 1.0))
    there, back = _there_and_back(tmp_path, source, to, "kohya")
    assert there.exact and there.error == 0.0
    old = native(probed(factors(source)))
    seen = factors(there.output)
    if to == "kohya-diffusers":
        flat = {p.replace(".", "_"): p for parts in FLUX_ROWS.values() for p in parts} | {"norm_out_linear": "norm_out.linear"}
        seen = {flat[stem.removeprefix("lora_unet_")]: value for stem, value in seen.items()}
    got = native(probed(seen))
    assert got.keys() == old.keys() and all(np.array_equal(got[name], old[name]) for name in old)
    assert back.identical is True and same(source, back.output)


@pytest.mark.parametrize("to", ("diffusers", "comfyui", "peft"))
def test_sd1_with_convolutions_and_a_text_encoder_keeps_its_effect(tmp_path, to):
    source = save(tmp_path / "a.safetensors", sd1([Q, CROSS, PROJ, CONV, LAST, TE], 4, 2.0, dtype="F32"))
    there = do_convert(source, tmp_path / ("there" if to == "peft" else "there.safetensors"), to)
    back = do_convert(there.output, tmp_path / "back.safetensors", "kohya")
    assert there.exact and len(there.modules) == 6
    assert same(source, back.output)
    if to == "peft":
        assert {p.name for p in (tmp_path / "there").rglob("*") if p.is_file()} == {"adapter_model.safetensors", "adapter_config.json"}
        assert (tmp_path / "there" / "text_encoder" / "adapter_config.json").is_file()
    else:
        assert back.identical is True


def test_a_peft_folder_has_the_effect_that_peft_computes(tmp_path):
    source = save(tmp_path / "a.safetensors", flux([QKV, FINAL], 2, {QKV: 1.0, FINAL: 4.0}, "F32"))
    do_convert(source, tmp_path / "there", "peft")
    config = json.loads((tmp_path / "there" / "adapter_config.json").read_text())
    model = tmp_path / "there" / "adapter_model.safetensors"
    modules = {k.removesuffix(".lora_A.weight"): v.shape[0] for k, v in tensors_of(model).items() if "lora_A" in k}
    alphas = {m: config_alpha(config, m.removeprefix("base_model.model."), r) for m, r in modules.items()}
    assert relative(native(probed(factors(model, alphas))), native(probed(factors(source)))) == 0.0


@pytest.mark.parametrize("dtype", ("F16", "BF16", "F32"))
@pytest.mark.parametrize(("rank", "alpha"), ((2, 1.5), (3, 1.0), (6, 1.0)))
def test_another_scale_costs_one_rounding_and_is_said(tmp_path, dtype, rank, alpha):
    source = save(tmp_path / "a.safetensors", flux([FINAL, IMG], rank, alpha, dtype))
    there, back = _there_and_back(tmp_path, source, "diffusers", "kohya")
    true, got = native(probed(factors(source))), native(_folded(there.output))
    dense = {k: factors(source)["lora_unet_" + k.replace(".", "_")] for k in (FINAL, IMG)}
    names = {"proj_out": FINAL, "x_embedder": IMG}
    seen = {names[k.removeprefix("transformer.")]: v for k, v in factors(there.output, header_alphas(there.output)).items()}
    error = relative({k: u @ d for k, (u, d) in seen.items()}, {k: u @ d for k, (u, d) in dense.items()})
    assert 0 < error < UNIT[dtype]
    assert relative(got, true) < 2 * UNIT[dtype]
    assert there.error == pytest.approx(error, rel=1e-5) and not there.exact
    new, old = tensors_of(there.output), tensors_of(source)
    assert identical(new["transformer.proj_out.lora_A.weight"], old["lora_unet_final_layer_linear.lora_down.weight"])
    assert back.identical is same(source, back.output) is False


def test_a_fold_that_would_lose_small_values_goes_to_the_other_factor(tmp_path):
    """2**-7 of an ``up`` near the smallest half: down takes it, nothing is lost."""
    tensors = _coarse(layer("lora_unet_final_layer_linear", (64, 3072), 128, 1.0, "F16"))
    tensors["lora_unet_final_layer_linear.lora_up.weight"] *= 2.0 ** -8
    source = save(tmp_path / "a.safetensors", tensors | _coarse(flux([IMG], 2, 1.0)))
    there, back = _there_and_back(tmp_path, source, "diffusers", "kohya")
    assert there.exact and there.error == 0.0
    assert back.identical is True and same(source, back.output)


def test_bits_that_a_fold_loses_are_confessed(tmp_path):
    """Both factors near the smallest half: no power of two fits, the round trip is not identical."""
    tensors = layer("lora_unet_final_layer_linear", (64, 3072), 128, 1.0, "F16")
    tensors = {k: v if "alpha" in k else v * 1e-4 for k, v in tensors.items()}
    source = save(tmp_path / "a.safetensors", tensors | flux([IMG], 2, 1.0))
    there, back = _there_and_back(tmp_path, source, "diffusers", "kohya")
    assert there.exact is False and there.error > 0
    assert back.identical is False and not same(source, back.output)


@pytest.mark.parametrize("alpha", (0.0, -1.0))
def test_zero_and_negative_alpha_keep_their_effect(tmp_path, alpha):
    source = save(tmp_path / "a.safetensors", flux([QKV, FINAL], 2, {QKV: 1.0, FINAL: alpha}, "F32"))
    there, back = _there_and_back(tmp_path, source, "diffusers", "kohya")
    true = native(probed(factors(source)))
    for got in (native(_folded(there.output)), native(probed(factors(back.output)))):
        assert all(np.array_equal(got[name], true[name]) for name in true)


@pytest.mark.parametrize("dtype", ("F16", "F32"))
def test_unequal_ranks_are_joined_block_by_block_and_split_again(tmp_path, dtype):
    ranks = dict(zip((t.removeprefix("transformer.") for t in TO), (2, 3, 1), strict=True))
    source = save(tmp_path / "a.safetensors", flux_split(ranks, ranks, dtype) | flux_split(["proj_out"], 2, dtype))
    there, back = _there_and_back(tmp_path, source, "kohya", "diffusers")
    new = tensors_of(there.output)
    up, down = new[f"{K_QKV}.lora_up.weight"], new[f"{K_QKV}.lora_down.weight"]
    assert up.shape == (9216, 6) and down.shape == (6, 3072)
    old, seen = tensors_of(source), []
    for n, stem in enumerate(TO):
        block = up[n * 3072:(n + 1) * 3072]
        columns = np.flatnonzero(block.numpy().any(axis=0)).tolist()
        assert identical(block[:, columns].contiguous(), old[stem + ".lora_B.weight"])
        assert identical(down[columns].contiguous(), old[stem + ".lora_A.weight"])
        seen += columns
    assert sorted(seen) == list(range(6)), "no column serves two parts"
    assert float(new[f"{K_QKV}.alpha"]) == 6.0, "scale 1 stays scale 1"
    assert there.exact and any("joined" in note for note in there.notes)
    assert back.identical is True and same(source, back.output)


def test_unequal_alphas_are_joined_without_changing_any_part(tmp_path):
    """kohya with diffusers names: alphas 2, 1 and 4 at rank 2 become one alpha."""
    tensors = {}
    for name, alpha in zip("qkv", (2.0, 1.0, 4.0), strict=True):
        tensors |= layer(f"lora_unet_transformer_blocks_0_attn_to_{name}", (3072, 3072), 2, alpha, "F32")
    tensors |= layer("lora_unet_proj_out", (64, 3072), 2, 1.0, "F32")
    source = save(tmp_path / "a.safetensors", tensors)
    there, back = _there_and_back(tmp_path, source, "kohya", "kohya-diffusers")

    def rows(path):
        return {k: v for k, v in probed(factors(path)).items() if "attn" in k}

    true = np.concatenate([rows(source)[f"lora_unet_transformer_blocks_0_attn_to_{c}"] for c in "qkv"])
    assert there.exact and np.array_equal(rows(there.output)[K_QKV], true)
    assert all(np.array_equal(rows(back.output)[k], v) for k, v in rows(source).items())
    assert {k: v.shape for k, v in tensors_of(back.output).items()} == {k: v.shape for k, v in tensors.items()}


@pytest.mark.parametrize("alphas", ((0.0, 0.0, 2.0), (0.0, 2.0, 2.0), (0.0, 0.0, 0.0)))
def test_parts_with_alpha_zero_are_joined_as_zero(tmp_path, alphas):
    tensors = layer("lora_unet_proj_out", (64, 3072), 2, 1.0, "F32")
    for name, alpha in zip("qkv", alphas, strict=True):
        tensors |= layer(f"lora_unet_transformer_blocks_0_attn_to_{name}", (3072, 3072), 2, alpha, "F32")
    source = save(tmp_path / "a.safetensors", tensors)
    there = do_convert(source, tmp_path / "b.safetensors", "kohya")
    true = np.concatenate([probed(factors(source))[f"lora_unet_transformer_blocks_0_attn_to_{c}"] for c in "qkv"])
    assert np.array_equal(probed(factors(there.output))[K_QKV], true)


def test_parts_that_share_their_down_do_not_grow_when_joined(tmp_path):
    source = save(tmp_path / "a.safetensors", flux([QKV, FINAL], 3, 3.0, "F32"))
    there = do_convert(source, tmp_path / "b.safetensors", "diffusers")
    assert all(tensors_of(there.output)[f"{stem}.lora_A.weight"].shape[0] == 3 for stem in TO)
    back = do_convert(there.output, tmp_path / "c.safetensors", "kohya")
    assert tensors_of(back.output)[f"{K_QKV}.lora_down.weight"].shape[0] == 3
    assert not any("joined" in note for note in back.notes)


@pytest.mark.parametrize("dtypes", (("F32", "F16", "F16"), ("F16", "F32", "F16"), ("BF16", "F16", "F16")))
def test_parts_of_different_dtypes_are_joined_by_value_or_refused(tmp_path, dtypes):
    tensors = flux_split(["proj_out"], 2, dtypes[0])
    for stem, dtype in zip(TO, dtypes, strict=True):
        tensors |= flux_split([stem.removeprefix("transformer.")], 2, dtype)
    source = save(tmp_path / "a.safetensors", tensors)
    try:
        result = do_convert(source, tmp_path / "b.safetensors", "kohya")
    except LoratoolError as error:
        assert error.exit_code == 4
        return
    error = relative(native(probed(factors(result.output))), native(probed(factors(source))))
    assert error <= 2 * UNIT["BF16" if "BF16" in dtypes else "F16"]
    assert result.error == pytest.approx(error, rel=0.5, abs=1e-15)


@pytest.mark.parametrize("part", (0, 2))
def test_one_trained_part_alone_is_fused_with_zero_rows_and_comes_back(tmp_path, part):
    name = TO[part].removeprefix("transformer.")
    source = save(tmp_path / "a.safetensors", flux_split([name, "proj_out"], 2, "F32"))
    there, back = _there_and_back(tmp_path, source, "kohya", "diffusers")
    up = tensors_of(there.output)[f"{K_QKV}.lora_up.weight"]
    assert up.shape == (9216, 2)
    rows = np.flatnonzero(up.numpy().any(axis=1))
    assert rows.min() >= part * 3072 and rows.max() < (part + 1) * 3072
    assert set(tensors_of(back.output)) == set(tensors_of(source))
    assert back.identical is True and same(source, back.output)


def test_the_halves_of_the_last_modulation_are_exchanged(tmp_path):
    source = save(tmp_path / "a.safetensors", flux([ADALN, FINAL], 2, 2.0))
    there, back = _there_and_back(tmp_path, source, "diffusers", "kohya")
    old = tensors_of(source)[f"{K_ADALN}.lora_up.weight"]
    new = tensors_of(there.output)["transformer.norm_out.linear.lora_B.weight"]
    assert identical(new, torch.cat([old[3072:], old[:3072]]))
    assert identical(tensors_of(there.output)["transformer.norm_out.linear.lora_A.weight"],
                     tensors_of(source)[f"{K_ADALN}.lora_down.weight"])
    assert same(back.output, source)


def test_a_configuration_in_the_header_counts_and_comes_back(tmp_path):
    document = {"transformer.r": 2, "transformer.lora_alpha": 1, "transformer.use_rslora": False,
                "transformer.alpha_pattern": {"proj_out": 4}, "transformer.lora_dropout": 0.1}
    names = [t.removeprefix("transformer.") for t in TO] + ["proj_out"]
    source = save(tmp_path / "a.safetensors", flux_split(names, 2, "F32"), {"lora_adapter_metadata": json.dumps(document)})
    there, back = _there_and_back(tmp_path, source, "kohya", "diffusers")
    assert "lora_adapter_metadata" not in metadata_of(there.output)
    true = native(_folded(source))
    got = native(probed(factors(there.output)))
    assert all(np.array_equal(got[name], true[name]) for name in true)
    assert relative(native(_folded(back.output)), true) == 0.0


def test_an_rslora_configuration_is_counted(tmp_path):
    document = {"transformer.r": 4, "transformer.lora_alpha": 4, "transformer.use_rslora": True}
    source = save(tmp_path / "a.safetensors", flux_split(["proj_out", "x_embedder"], 4, "F32"),
                  {"lora_adapter_metadata": json.dumps(document)})
    there, back = _there_and_back(tmp_path, source, "kohya", "diffusers")
    true = native(_folded(source))
    assert relative(native(probed(factors(there.output))), true) < 1e-15
    assert relative(native(_folded(back.output)), true) < 1e-15


@pytest.mark.parametrize("style", ("kohya", "peft"))
@pytest.mark.parametrize("alpha", (None, 2.0))
def test_a_comfyui_file_comes_back_with_its_own_suffixes_and_alphas(tmp_path, style, alpha):
    tensors = (layer("diffusion_model.final_layer.linear", (64, 3072), 4, alpha, "F32", style=style)
               | layer("diffusion_model.img_in", (3072, 64), 4, alpha, "F32", style=style))
    source = save(tmp_path / "a.safetensors", tensors)
    for to in ("diffusers", "kohya"):
        _, back = _there_and_back(tmp_path, source, to, "comfyui")
        assert same(source, back.output) and back.identical is True, to


def test_names_that_no_table_holds_are_refused_or_left_out_by_request(tmp_path):
    extra = layer("lora_unet_strange_module", (8, 8), 2, 1.0) | {"some.loose.key": torch.ones(3)}
    source = save(tmp_path / "a.safetensors", flux([FINAL, IMG, QKV, ADALN], 2, 1.0, "F32") | extra)
    with pytest.raises(Unmapped) as error:
        do_convert(source, tmp_path / "b.safetensors", "diffusers")
    assert error.value.exit_code == 4 and error.value.key == "lora_unet_strange_module"
    assert not (tmp_path / "b.safetensors").exists()
    result = do_convert(source, tmp_path / "b.safetensors", "diffusers", drop=True)
    assert {note for note in result.notes if "left out" in note} == {
        "left out as asked: lora_unet_strange_module", "left out as asked: some.loose.key"}
    assert relative(native(_folded(result.output)), native(
        {k: v for k, v in probed(factors(source)).items() if "strange" not in k})) == 0.0


def test_an_unknown_base_model_cannot_be_translated(tmp_path):
    source = save(tmp_path / "a.safetensors", layer("lora_unet_strange_module", (8, 8), 2, 1.0))
    with pytest.raises(Unmapped):
        do_convert(source, tmp_path / "b.safetensors", "diffusers")


def test_a_file_that_fits_several_models_asks_for_the_family(tmp_path):
    """FLUX.1 and HunyuanVideo have this projection, under other diffusers names in kohya's spelling."""
    source = save(tmp_path / "a.safetensors", flux_split([TO[0].removeprefix("transformer.")], 2))
    with pytest.raises(Unmapped) as error:
        do_convert(source, tmp_path / "b.safetensors", "kohya", family=None)
    assert "--family" in error.value.hint
    assert do_convert(source, tmp_path / "b.safetensors", "kohya", family="flux1").family == "flux1"


def test_a_file_that_fits_several_models_is_converted_where_all_give_the_same_names(tmp_path):
    source = save(tmp_path / "a.safetensors", sd1([Q], 2, 2.0))
    result = do_convert(source, tmp_path / "b.safetensors", "diffusers", family=None)
    assert result.family is None
    assert do_convert(source, tmp_path / "c.safetensors", "diffusers", family="sd1").family == "sd1"
    assert same(tmp_path / "b.safetensors", tmp_path / "c.safetensors")


def test_a_conversion_remembers_the_family_for_the_way_back(tmp_path):
    source = save(tmp_path / "a.safetensors", flux([QKV], 2, 1.0))
    there = do_convert(source, tmp_path / "b.safetensors", "diffusers", family="flux1")
    assert do_convert(there.output, tmp_path / "c.safetensors", "kohya", family=None).family == "flux1"


SDXL = "lora_unet_input_blocks_4_1_transformer_blocks_0_"
SDXL_DIFFUSERS = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_"


def _loha(stem, rows=640, columns=640, value=1.0):
    found = {f"{stem}.hada_w{n}_{s}": torch.full((rows, 4) if s == "a" else (4, columns), value) for n in (1, 2) for s in "ab"}
    return found | {f"{stem}.alpha": torch.tensor(value)}


def _sdxl(kind):
    base = layer(SDXL + "attn2_to_k", (640, 2048), 2, 2.0) | layer(SDXL + "attn1_to_q", (640, 640), 2, 2.0)
    if kind == "loha":
        return base | _loha(SDXL + "attn1_to_k")
    return base | layer(SDXL + "attn1_to_k", (640, 640), 2, 2.0) | {SDXL + "attn1_to_k.dora_scale": torch.ones(640, 1)}


@pytest.mark.parametrize("kind", ("loha", "dora"))
def test_layers_without_algebra_are_renamed_where_only_the_name_changes(tmp_path, kind):
    source = save(tmp_path / "a.safetensors", _sdxl(kind))
    there, back = _there_and_back(tmp_path, source, "kohya-diffusers", "kohya")
    old = tensors_of(source)
    renamed = {key.replace(SDXL, SDXL_DIFFUSERS): value for key, value in old.items()}
    assert same(renamed, there.output) and same(source, back.output) and back.identical is True


@pytest.mark.parametrize("kind", ("loha", "dora"))
@pytest.mark.parametrize("to", ("diffusers", "peft"))
def test_layers_without_algebra_are_refused_where_alpha_must_be_folded(tmp_path, kind, to):
    source = save(tmp_path / "a.safetensors", _sdxl(kind))
    with pytest.raises(WouldLose) as error:
        do_convert(source, tmp_path / "b", to)
    assert error.value.key == SDXL + "attn1_to_k" and not (tmp_path / "b").exists()
    result = do_convert(source, tmp_path / "b", to, drop=True)
    assert f"left out as asked: {SDXL}attn1_to_k" in result.notes and len(result.modules) == 2


def test_layers_without_algebra_are_refused_where_rows_would_move(tmp_path):
    source = save(tmp_path / "a.safetensors", flux([FINAL, IMG, ADALN], 2, 1.0) | _loha(K_QKV, 9216, 3072))
    with pytest.raises(WouldLose):
        do_convert(source, tmp_path / "b.safetensors", "kohya-diffusers")


TWICE = {
    "LoRA and LoRA": layer(SDXL_DIFFUSERS + "attn1_to_q", (640, 640), 2, 1.0),
    "LoRA and LoHa": _loha(SDXL_DIFFUSERS + "attn1_to_q", value=3.0),
}


@pytest.mark.parametrize("case", (*TWICE, "LoHa and LoHa"))
@pytest.mark.parametrize("to", ("kohya", "kohya-diffusers"))
def test_a_module_in_two_spellings_is_refused(tmp_path, case, to):
    """Both would get one name: one of them would vanish without a word."""
    more = TWICE.get(case) or _loha(SDXL + "attn1_to_k") | _loha(SDXL_DIFFUSERS + "attn1_to_k", value=3.0)
    source = save(tmp_path / "a.safetensors", _sdxl("dora" if case != "LoHa and LoHa" else "loha") | more)
    with pytest.raises(Unsound):
        do_convert(source, tmp_path / "b.safetensors", to)


def test_fused_and_split_spellings_of_one_row_are_refused(tmp_path):
    source = save(tmp_path / "a.safetensors", flux([QKV, FINAL], 2, 1.0)
                  | layer("lora_unet_transformer_blocks_0_attn_to_q", (3072, 3072), 2, 1.0))
    for to in ("kohya", "diffusers"):
        with pytest.raises(Unsound):
            do_convert(source, tmp_path / "b.safetensors", to)


def test_a_layer_of_another_height_is_refused(tmp_path):
    wrong = layer(K_QKV, (9000, 3072), 2, 1.0)
    more = {}
    for n in range(12):
        more |= layer(f"lora_unet_single_blocks_{n}_modulation_lin", (9216, 3072), 1, 1.0)
    with pytest.raises(Unsound):
        do_convert(save(tmp_path / "a.safetensors", more | wrong), tmp_path / "b.safetensors", "diffusers")


@pytest.mark.parametrize("to", ("kohya-diffusers", "diffusers", "comfyui"))
@pytest.mark.parametrize("value", (float("nan"), float("inf")))
def test_weights_that_are_no_numbers_are_refused(tmp_path, to, value):
    tensors = flux([FINAL, IMG], 2, 1.0)
    tensors["lora_unet_img_in.lora_down.weight"][0, 3] = value
    source = save(tmp_path / "a.safetensors", tensors)
    with pytest.raises(Unsound):
        do_convert(source, tmp_path / "b.safetensors", to)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_fold_beyond_the_dtype_is_balanced_or_refused_never_infinite(tmp_path):
    tensors = flux([FINAL, IMG], 1, 64.0)
    tensors["lora_unet_img_in.lora_up.weight"] *= 1e4
    source = save(tmp_path / "a.safetensors", tensors)
    result = do_convert(source, tmp_path / "b.safetensors", "diffusers")
    assert all(torch.isfinite(v).all() for v in tensors_of(result.output).values())
    assert relative(native(_folded(result.output)), native(probed(factors(source)))) < UNIT["F16"]


@pytest.mark.parametrize("to", ("diffusers", "peft"))
def test_a_mid_factor_is_folded_where_the_dialect_has_none(tmp_path, to):
    rng = np.random.default_rng(0)
    shapes = {"up": (320, 3, 1, 1), "mid": (3, 3, 3, 3), "down": (3, 320, 1, 1)}
    mid = {f"{CONV}.lora_{k}.weight": torch.from_numpy(0.3 * rng.standard_normal(s)).float() for k, s in shapes.items()}
    source = save(tmp_path / "a.safetensors", mid | {f"{CONV}.alpha": torch.tensor(3.0)} | sd1([CROSS], 2, 2.0, dtype="F32"))
    result = do_convert(source, tmp_path / "b", to)
    model = tmp_path / "b" / "adapter_model.safetensors" if to == "peft" else tmp_path / "b"
    got = effects(model)
    name = next(stem for stem in got if "conv1" in stem)
    assert np.linalg.norm(got[name] - effects(source)[CONV]) < UNIT["F32"] * np.linalg.norm(got[name])
    assert tensors_of(model)[f"{name}.lora_A.weight"].shape == (3, 320, 3, 3)
    back = do_convert(result.output, tmp_path / "c.safetensors", "kohya")
    assert relative(effects(back.output), effects(source)) < UNIT["F32"]


def test_a_mid_factor_is_kept_where_the_dialect_has_one(tmp_path):
    mid = {f"{CONV}.lora_up.weight": torch.ones(320, 3, 1, 1), f"{CONV}.lora_mid.weight": torch.rand(3, 3, 3, 3),
           f"{CONV}.lora_down.weight": torch.ones(3, 320, 1, 1), f"{CONV}.alpha": torch.tensor(3.0)}
    source = save(tmp_path / "a.safetensors", mid | sd1([CROSS], 2, 2.0, dtype="F32"))
    there, back = _there_and_back(tmp_path, source, "comfyui", "kohya")
    assert any(key.endswith("lora_mid.weight") for key in tensors_of(there.output))
    assert same(source, back.output)


def test_linear_factors_get_the_axes_that_a_convolution_needs(tmp_path):
    """diffusers' proj_in of SD 1 is a 1x1 convolution; a file may hold it as a matrix."""
    source = save(tmp_path / "a.safetensors", layer(PROJ, (320, 320), 2, 2.0) | sd1([CROSS], 2, 2.0))
    new = tensors_of(do_convert(source, tmp_path / "b.safetensors", "diffusers").output)
    name = "unet.down_blocks.0.attentions.0.proj_in"
    assert new[f"{name}.lora_A.weight"].shape == (2, 320, 1, 1)
    assert new[f"{name}.lora_B.weight"].shape == (320, 2, 1, 1)


def test_equal_input_gives_equal_bytes_with_any_number_of_threads(tmp_path):
    source = save(tmp_path / "a.safetensors", flux([QKV, ADALN, FINAL, IMG], 2, 1.0), TRAINING)
    made = {sha256(do_convert(source, tmp_path / f"{n}.safetensors", "diffusers", threads=n).output) for n in (1, 2, 4)}
    assert len(made) == 1


def test_converting_to_its_own_dialect_changes_no_tensor(tmp_path):
    source = save(tmp_path / "a.safetensors", flux([QKV, ADALN], 3, 1.0) | flux([FINAL], 2, 5.0))
    result = do_convert(source, tmp_path / "b.safetensors", "kohya")
    assert same(source, result.output) and result.exact
    split = save(tmp_path / "c.safetensors", flux_split([t.removeprefix("transformer.") for t in TO], 2))
    assert same(split, do_convert(split, tmp_path / "d.safetensors", "diffusers").output)


MODULES = (QKV, TXT, LINEAR1, ADALN, FINAL, IMG, "single_blocks.0.modulation.lin", "double_blocks.0.img_attn.proj")
PARTS = (*(part for name in (QKV, TXT, LINEAR1, FINAL, IMG) for part in FLUX_ROWS[name]), "norm_out.linear")
slow = settings(max_examples=25, deadline=None, derandomize=True,
                suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@slow
@given(st.sets(st.sampled_from(MODULES), min_size=1, max_size=3), st.data(), st.sampled_from(("diffusers", "kohya-diffusers", "comfyui")))
def test_any_fused_modules_come_back_bit_for_bit(tmp_path, modules, data, to):
    ranks = {m: data.draw(st.sampled_from((1, 2, 4))) for m in modules}
    alphas = {m: data.draw(st.sampled_from((0.5, 1.0, 2.0, 8.0))) for m in modules}
    source = save(tmp_path / "a.safetensors", flux(sorted(modules), ranks, alphas, data.draw(st.sampled_from(("F32", "BF16")))))
    there, back = _there_and_back(tmp_path, source, to, "kohya", family="flux1")
    assert there.exact and same(source, back.output)


@slow
@given(st.sets(st.sampled_from(PARTS), min_size=1, max_size=5), st.data(), st.sampled_from(("kohya", "comfyui", "kohya-diffusers")))
def test_any_split_modules_come_back_bit_for_bit(tmp_path, parts, data, to):
    ranks = {p: data.draw(st.integers(1, 3)) for p in sorted(parts)}
    source = save(tmp_path / "a.safetensors", flux_split(sorted(parts), ranks, data.draw(st.sampled_from(("F16", "F32")))))
    there, back = _there_and_back(tmp_path, source, to, "diffusers", family="flux1")
    assert there.exact and same(source, back.output)


@slow
@given(st.sets(st.sampled_from(PARTS), min_size=1, max_size=4), st.data())
def test_any_scale_keeps_the_effect_of_every_native_weight_exactly(tmp_path, parts, data):
    """Random ranks and alphas per part, joined, split again: no row of any native weight changes."""
    tensors, places = {}, {part: rows for ps in FLUX_ROWS.values() for part, rows in ps.items()} | {"norm_out.linear": (0, 6144)}
    for part in sorted(parts):
        rows, rank = places[part], data.draw(st.integers(1, 3))
        stem = "lora_unet_" + part.replace(".", "_")
        tensors |= layer(stem, (rows[1] - rows[0], 64 if part == "x_embedder" else 3072), rank,
                         rank * data.draw(st.sampled_from((0.25, 1.0, 4.0))), "F32")
    source = save(tmp_path / "a.safetensors", tensors)
    there, back = _there_and_back(tmp_path, source, "kohya", "kohya-diffusers", family="flux1")
    flat = {("lora_unet_" + p.replace(".", "_")): p for p in PARTS}
    true = native({flat[k]: v for k, v in probed(factors(source)).items()})
    for got in (native(probed(factors(there.output))), native({flat[k]: v for k, v in probed(factors(back.output)).items()})):
        assert got.keys() == true.keys() and all(np.array_equal(got[name], true[name]) for name in true)
    assert there.exact and back.exact


def test_the_modules_of_these_tests_have_the_shapes_of_the_family():
    """What the oracle of rows is written down for is what the model has."""
    from loratool.naming.families import family

    modules = family("flux1").trees["dev"].modules
    for name, parts in FLUX_ROWS.items():
        assert sorted(rows[1] for rows in parts.values())[-1] == modules[name].shape[0]
    assert set(SHAPES) >= {Q, CROSS, TE}


def test_a_part_of_a_joined_layer_that_is_all_zero_is_named(tmp_path):
    """Its block holds nothing, so that the split file has no layer for it; the update is the same."""
    parts = flux_split([t.removeprefix("transformer.") for t in TO], 2, "F32")
    parts[f"{TO[2]}.lora_B.weight"][:] = 0
    source = save(tmp_path / "a.safetensors", parts)
    joined = do_convert(source, tmp_path / "b.safetensors", "kohya")
    split = do_convert(joined.output, tmp_path / "c.safetensors", "diffusers")
    assert not any(key.startswith(TO[2]) for key in tensors_of(split.output))
    assert any("all zero" in note and TO[2] in note for note in split.notes)
    assert split.identical is False
    assert split.error == 0.0


def test_a_joined_layer_with_a_part_of_zeros_comes_back_as_it_was(tmp_path):
    """Without columns of its own the part needs no layer between: the way back is the very file."""
    parts = flux_split([t.removeprefix("transformer.") for t in TO[:2]], 2, "F32")
    source = do_convert(save(tmp_path / "a.safetensors", parts), tmp_path / "b.safetensors", "kohya").output
    source = save(tmp_path / "c.safetensors", tensors_of(source))
    split = do_convert(source, tmp_path / "d.safetensors", "diffusers")
    assert any("all zero" in note for note in split.notes) and not split.error
    back = do_convert(split.output, tmp_path / "e.safetensors", "kohya")
    assert back.identical is True and same(source, back.output)


def test_a_lone_alpha_that_does_not_come_back_is_no_identical_round_trip(tmp_path):
    """diffusers names have no alphas, so the way back writes none; its scale is in the weights."""
    tensors = {}
    for part in ("to_q", "to_k"):
        stem = f"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.{part}"
        tensors |= layer(stem, (320, 320), 4, style="peft", dtype="F32")
    lone = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.alpha"
    source = save(tmp_path / "a.safetensors", tensors | {lone: torch.tensor(2.0)})
    there = do_convert(source, tmp_path / "b.safetensors", "kohya", family="sd1")
    back = do_convert(there.output, tmp_path / "c.safetensors", "diffusers", family="sd1")
    assert lone not in tensors_of(back.output) and back.identical is False
    assert relative(effects(back.output), effects(source)) < 1e-7
