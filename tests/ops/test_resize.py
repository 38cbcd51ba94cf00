"""Resize against dense float64 singular values of files read with the official reader."""

import json

import numpy as np
import pytest
import torch

from loratool.adapter.adapter import Adapter
from loratool.errors import Refused, Unsound, UsageError, WouldLose
from loratool.ops import resize, run
from loratool.ops.rules import FixedRank

from .files import (
    CONV,
    CROSS,
    LAST,
    OUT,
    PROJ,
    SD1,
    SHAPES,
    TE,
    UNIT,
    K,
    Q,
    config_alpha,
    config_rank,
    do_resize,
    effects,
    factors,
    header_alphas,
    identical,
    layer,
    metadata_of,
    norm,
    optimum,
    relative,
    same,
    save,
    sd1,
    sha256,
    tensors_of,
)

DECAY = np.logspace(0, -2, 8)
PEFT_NAMES = {Q: "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
              K: "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k",
              CROSS: "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"}


def _plan(path, rank, conv_rank=None, alpha="keep"):
    with Adapter.open(str(path)) as adapter:
        return resize.plan(adapter, FixedRank(rank, conv_rank), alpha)


@pytest.mark.parametrize("dtype", ("F16", "BF16", "F32"))
def test_the_stated_error_is_that_of_the_file_and_least_possible(tmp_path, dtype):
    source = save(tmp_path / "a.safetensors", sd1([Q, K, CROSS, TE], dtype=dtype, spectrum=DECAY))
    result = do_resize(source, tmp_path / "b.safetensors", 3)
    true = effects(source)
    found = relative(effects(result.output), true)
    least = optimum(true, dict.fromkeys(true, 3))
    assert result.error == pytest.approx(found, rel=1e-6)
    assert result.optimum == pytest.approx(least, rel=1e-6)
    assert not result.exact
    # Rounding of both factors adds to the cut in squares.
    assert least * (1 - 1e-9) <= found <= np.hypot(least, 2 * UNIT[dtype])


@pytest.mark.parametrize("dtype", ("F16", "BF16", "F32"))
def test_the_written_error_is_that_of_the_rounded_dense_optimum(tmp_path, dtype):
    """An exactly low-rank layer: all that is left is rounding, no more than a dense SVD would have."""
    source = save(tmp_path / "a.safetensors", layer(Q, SHAPES[Q], 8, 4.0, dtype, spectrum=[1, .7, .5, .3, 0, 0, 0, 0]))
    result = do_resize(source, tmp_path / "b.safetensors", 4)
    true = effects(source)
    u, s, v = np.linalg.svd(true[Q], full_matrices=False)
    kind = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}[dtype]

    def stored(x):
        return torch.from_numpy(x).to(kind).double().numpy()

    dense = norm([stored(u[:, :4] * np.sqrt(s[:4])) @ stored(np.sqrt(s[:4])[:, None] * v[:4]) - true[Q]]) / norm([true[Q]])
    assert relative(effects(result.output), true) <= 1.05 * dense
    assert result.error == pytest.approx(relative(effects(result.output), true), rel=1e-6)


def test_the_modules_of_the_report_are_measured_one_by_one(tmp_path):
    source = save(tmp_path / "a.safetensors", sd1([Q, CROSS], spectrum=DECAY))
    result = do_resize(source, tmp_path / "b.safetensors", 2)
    true, got = effects(source), effects(result.output)
    assert {m.name for m in result.modules} == {Q, CROSS}
    for module in result.modules:
        assert (module.rank_before, module.rank, module.exact) == (8, 2, False)
        assert module.error == pytest.approx(norm([got[module.name] - true[module.name]]), rel=1e-6)
        assert module.norm == pytest.approx(norm([true[module.name]]), rel=1e-6)
        least = np.linalg.norm(np.linalg.svd(true[module.name], compute_uv=False)[2:])
        assert module.optimum == pytest.approx(least, rel=1e-6)


def test_alpha_over_rank_is_kept_per_layer_and_absent_alpha_stays_absent(tmp_path):
    tensors = (layer(Q, SHAPES[Q], 8, 4.0) | layer(K, SHAPES[K], 6, 1.0) | layer(CROSS, SHAPES[CROSS], 8)
               | layer(OUT, SHAPES[OUT], 12, -6.0))
    source = save(tmp_path / "a.safetensors", tensors)
    do_resize(source, tmp_path / "b.safetensors", 3)
    new = tensors_of(tmp_path / "b.safetensors")
    for stem, ratio in ((Q, 0.5), (K, 1 / 6), (OUT, -0.5)):
        assert float(new[f"{stem}.alpha"].double()) / 3 == pytest.approx(ratio, rel=1e-15)
        assert new[f"{stem}.lora_down.weight"].shape[0] == 3
    assert f"{CROSS}.alpha" not in new
    assert list(new) == list(tensors_of(source))


def test_an_alpha_that_the_dtype_cannot_hold_is_stored_wider(tmp_path):
    """As F32, which rounds 7/9: the factors make up for it, so that the effect has no error of its own."""
    source = save(tmp_path / "a.safetensors", layer(Q, SHAPES[Q], 9, 1.0, "F32") | layer(CROSS, SHAPES[CROSS], 7, 7.0, "F32"))
    result = do_resize(source, tmp_path / "b.safetensors", 7)
    alpha = tensors_of(tmp_path / "b.safetensors")[f"{Q}.alpha"]
    assert alpha.dtype == torch.float32
    assert float(alpha.double()) / 7 == pytest.approx(1 / 9, rel=6e-8)
    (cut,) = [m for m in result.modules if m.name == Q]
    old, new = (effects(path)[Q] for path in (source, result.output))
    u, s, v = np.linalg.svd(old, full_matrices=False)
    best = (u[:, :7] * s[:7]) @ v[:7]
    assert np.linalg.norm(new - best) / np.linalg.norm(best) < 3e-7
    assert cut.error == pytest.approx(np.linalg.norm(new - old), rel=1e-6)


def test_an_alpha_that_would_vanish_in_f32_is_stored_wider(tmp_path):
    tensors = layer(Q, SHAPES[Q], 4, 1.0, "F32") | {f"{Q}.alpha": torch.tensor(1e-45)}
    source = save(tmp_path / "a.safetensors", tensors)
    result = do_resize(source, tmp_path / "b.safetensors", 1)
    true = effects(source)
    assert relative(effects(result.output), true) == pytest.approx(optimum(true, {Q: 1}), rel=1e-6)


def test_alpha_rank_makes_the_scale_one_and_keeps_the_effect(tmp_path):
    source = save(tmp_path / "a.safetensors", sd1([Q, CROSS], rank=6, alpha=2.0, dtype="F32"))
    result = do_resize(source, tmp_path / "b.safetensors", 6, alpha="rank")
    new = tensors_of(result.output)
    assert float(new[f"{Q}.alpha"]) == 6.0
    assert relative(effects(result.output), effects(source)) < 2e-7


def test_larger_kernels_take_the_conv_rank_and_1x1_the_linear_one(tmp_path):
    source = save(tmp_path / "a.safetensors", sd1([Q, PROJ, CONV, LAST], rank=8, spectrum=DECAY))
    result = do_resize(source, tmp_path / "b.safetensors", 5, 2)
    assert {m.name: m.rank for m in result.modules} == {Q: 5, PROJ: 5, CONV: 2, LAST: 2}
    new = tensors_of(result.output)
    assert new[f"{CONV}.lora_down.weight"].shape == (2, 320, 3, 3)
    assert new[f"{CONV}.lora_up.weight"].shape == (320, 2, 1, 1)
    assert new[f"{PROJ}.lora_down.weight"].shape == (5, 320, 1, 1)
    true = effects(source)
    least = optimum(true, {Q: 5, PROJ: 5, CONV: 2, LAST: 2})
    assert relative(effects(result.output), true) == pytest.approx(least, rel=1e-3)
    result = do_resize(source, tmp_path / "c.safetensors", 5)
    assert {m.rank for m in result.modules if m.name in (Q, CONV)} == {5}
    assert next(m.rank for m in result.modules if m.name == LAST) == 4, "4 output channels cannot need more"


def test_layers_at_or_below_the_rank_are_byte_identical(tmp_path):
    tensors = layer(Q, SHAPES[Q], 8, 4.0) | layer(K, SHAPES[K], 4, 1.0) | layer(CROSS, SHAPES[CROSS], 2, 3.0)
    tensors |= layer(LAST, SHAPES[LAST], 4)
    source = save(tmp_path / "a.safetensors", tensors)
    result = do_resize(source, tmp_path / "b.safetensors", 4)
    new = tensors_of(result.output)
    for key in tensors:
        if not key.startswith(Q + "."):
            assert identical(new[key], tensors[key]), key
    exact = {m.name: m.exact for m in result.modules}
    assert exact == {Q: False, K: True, CROSS: True, LAST: True}


def test_a_rank_is_never_padded_up(tmp_path):
    source = save(tmp_path / "a.safetensors", sd1([Q, LAST, CONV], rank=6))
    result = do_resize(source, tmp_path / "b.safetensors", 64)
    assert same(source, result.output) and result.error == 0.0 and result.exact
    assert any("as they were" in note for note in result.notes)


@pytest.mark.parametrize("rank", (47, 49, 98))
def test_a_layer_at_the_rank_is_untouched_whatever_the_rounding_of_its_scale(tmp_path, rank):
    """alpha / rank * rank is not always alpha in floating point: 1 / 49 * 49."""
    alpha = {47: 3.0, 49: 1.0, 98: 1.0}[rank]
    source = save(tmp_path / "a.safetensors", layer(Q, SHAPES[Q], rank, alpha) | layer(K, SHAPES[K], 120, 1.0))
    result = do_resize(source, tmp_path / "b.safetensors", rank)
    old, new = tensors_of(source), tensors_of(result.output)
    assert all(identical(old[key], new[key]) for key in old if key.startswith(Q + "."))
    assert {m.name: m.exact for m in result.modules}[Q]


@pytest.mark.parametrize("inner_rank", (6, 5))
def test_a_mid_factor_is_folded_and_cut_optimally(tmp_path, inner_rank):
    rng = np.random.default_rng(0)
    tensors = {f"{CONV}.lora_up.weight": rng.standard_normal((320, 6, 1, 1)),
               f"{CONV}.lora_mid.weight": rng.standard_normal((6, inner_rank, 3, 3)),
               f"{CONV}.lora_down.weight": rng.standard_normal((inner_rank, 320, 1, 1))}
    tensors = {k: torch.from_numpy(0.1 * v).half() for k, v in tensors.items()} | {f"{CONV}.alpha": torch.tensor(3.0).half()}
    source = save(tmp_path / "a.safetensors", tensors | layer(Q, SHAPES[Q], 8, 4.0))
    result = do_resize(source, tmp_path / "b.safetensors", 4)
    new, true = tensors_of(result.output), effects(source)
    assert f"{CONV}.lora_mid.weight" not in new
    assert new[f"{CONV}.lora_down.weight"].shape == (4, 320, 3, 3)
    assert result.error == pytest.approx(relative(effects(result.output), true), rel=1e-6)
    assert result.error == pytest.approx(optimum(true, {CONV: 4, Q: 4}), rel=1e-4)


def test_a_mid_factor_of_a_layer_at_the_rank_is_left_alone(tmp_path):
    tensors = {f"{CONV}.lora_up.weight": torch.ones(320, 4, 1, 1), f"{CONV}.lora_mid.weight": torch.ones(4, 4, 3, 3),
               f"{CONV}.lora_down.weight": torch.ones(4, 320, 1, 1), f"{CONV}.alpha": torch.tensor(2.0)}
    source = save(tmp_path / "a.safetensors", tensors)
    assert same(do_resize(source, tmp_path / "b.safetensors", 4).output, source)


def test_alpha_rank_with_a_mid_factor_wider_than_the_module_is_written(tmp_path):
    """conv_out has 4 rows: its rank of 6 cannot be had back from a factorisation."""
    rng = np.random.default_rng(1)
    shapes = {"up": (4, 6, 1, 1), "mid": (6, 6, 3, 3), "down": (6, 320, 1, 1)}
    tensors = {f"{LAST}.lora_{k}.weight": torch.from_numpy(rng.standard_normal(s)).float() for k, s in shapes.items()}
    source = save(tmp_path / "a.safetensors", tensors | {f"{LAST}.alpha": torch.tensor(3.0)})
    result = do_resize(source, tmp_path / "b.safetensors", 6, alpha="rank")
    assert relative(effects(result.output), effects(source)) < 1e-6


@pytest.mark.parametrize("dtype", ("F16", "F32"))
def test_an_untrained_layer_stays_without_effect(tmp_path, dtype):
    tensors = sd1([Q, CROSS], dtype=dtype, spectrum=DECAY)
    tensors[f"{CROSS}.lora_up.weight"].zero_()
    source = save(tmp_path / "a.safetensors", tensors)
    result = do_resize(source, tmp_path / "b.safetensors", 3)
    got = effects(result.output)
    assert not got[CROSS].any()
    assert result.error == pytest.approx(relative(got, effects(source)), rel=1e-6)


@pytest.mark.parametrize("dtype", ("F16", "F32"))
def test_a_file_of_untrained_layers_stays_without_effect(tmp_path, dtype):
    tensors = {k: v * 0 if "up" in k else v for k, v in sd1([Q, CROSS], dtype=dtype).items()}
    result = do_resize(save(tmp_path / "a.safetensors", tensors), tmp_path / "b.safetensors", 3)
    assert not any(delta.any() for delta in effects(result.output).values())
    assert result.error == 0.0


def test_alpha_zero_is_a_layer_without_effect(tmp_path):
    source = save(tmp_path / "a.safetensors", layer(Q, SHAPES[Q], 8, 0.0) | layer(K, SHAPES[K], 8, 4.0))
    result = do_resize(source, tmp_path / "b.safetensors", 3)
    assert not effects(result.output)[Q].any()


@pytest.mark.parametrize("imbalance", (1e-6, 1e3))
def test_factors_out_of_balance_stay_inside_half_precision(tmp_path, imbalance):
    tensors = layer(Q, SHAPES[Q], 8, 8.0, "F32", spectrum=DECAY)
    tensors[f"{Q}.lora_up.weight"] *= imbalance
    tensors[f"{Q}.lora_down.weight"] /= imbalance
    source = save(tmp_path / "a.safetensors", tensors)
    result = do_resize(source, tmp_path / "b.safetensors", 4)
    true = effects(source)
    assert relative(effects(result.output), true) == pytest.approx(optimum(true, {Q: 4}), rel=1e-6)


def test_mixed_dtypes_inside_a_layer_are_kept(tmp_path):
    tensors = layer(Q, SHAPES[Q], 8, 4.0, "F32", spectrum=DECAY)
    tensors[f"{Q}.lora_down.weight"] = tensors[f"{Q}.lora_down.weight"].half()
    source = save(tmp_path / "a.safetensors", tensors)
    result = do_resize(source, tmp_path / "b.safetensors", 4)
    true = effects(source)
    assert relative(effects(result.output), true) == pytest.approx(optimum(true, {Q: 4}), rel=1e-3)


def _peft(names=PEFT_NAMES.values(), prefix="base_model.model.", rank=8, dtype="F32"):
    shapes = {name: SHAPES[stem] for stem, name in PEFT_NAMES.items()}
    found = {}
    for name in names:
        found |= layer(prefix + name, shapes[name], rank, dtype=dtype, style="peft", spectrum=np.logspace(0, -2, rank))
    return found


CONFIGS = {
    "plain": {"r": 8, "lora_alpha": 4},
    "rslora": {"r": 8, "lora_alpha": 4, "use_rslora": True},
    "pattern": {"r": 8, "lora_alpha": 4, "alpha_pattern": {"to_k": 16, "attn1.to_q": 2}},
    "rslora and pattern": {"r": 8, "lora_alpha": 4, "use_rslora": True, "alpha_pattern": {"attn2.to_k": 16}},
}


def _folder(folder, config, tensors):
    save(folder / "adapter_model.safetensors", tensors)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **config}))
    return folder


def _folder_effects(folder):
    config = json.loads((folder / "adapter_config.json").read_text())
    stems = [k[:-len(".lora_A.weight")] for k in tensors_of(folder / "adapter_model.safetensors") if k.endswith("lora_A.weight")]
    ranks = {stem: tensors_of(folder / "adapter_model.safetensors")[stem + ".lora_A.weight"].shape[0] for stem in stems}
    modules = {stem: stem.removeprefix("base_model.model.") for stem in stems}
    assert all(config_rank(config, modules[stem]) == ranks[stem] for stem in stems)
    alphas = {stem: config_alpha(config, modules[stem], ranks[stem]) for stem in stems}
    return effects(folder / "adapter_model.safetensors", alphas)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_peft_folder_keeps_its_effect_through_its_configuration(tmp_path, name):
    folder = _folder(tmp_path / "in", CONFIGS[name], _peft())
    result = do_resize(folder, tmp_path / "out", 3)
    true, got = _folder_effects(tmp_path / "in"), _folder_effects(tmp_path / "out")
    least = optimum(true, dict.fromkeys(true, 3))
    assert relative(got, true) == pytest.approx(least, rel=1e-6)
    assert result.error == pytest.approx(relative(got, true), rel=1e-6)
    size = sum(p.stat().st_size for p in (tmp_path / "out").iterdir())
    assert result.bytes == size


def test_the_configuration_of_a_folder_is_what_peft_loads(tmp_path):
    from peft import LoraConfig

    _folder(tmp_path / "in", CONFIGS["rslora and pattern"] | {"base_model_name_or_path": "some/model"}, _peft())
    do_resize(tmp_path / "in", tmp_path / "out", 3)
    loaded = LoraConfig.from_pretrained(str(tmp_path / "out"))
    assert loaded.r == 3 and set(loaded.target_modules) == set(PEFT_NAMES.values())
    assert loaded.base_model_name_or_path == "some/model", "what does not concern the rank is kept"


@pytest.mark.parametrize("name", CONFIGS)
def test_a_diffusers_file_keeps_its_effect_through_its_header(tmp_path, name):
    document = {"unet." + key: value for key, value in CONFIGS[name].items()} | {"unet.lora_dropout": 0.1}
    source = save(tmp_path / "a.safetensors", _peft(prefix="unet."), {"lora_adapter_metadata": json.dumps(document)})
    result = do_resize(source, tmp_path / "b.safetensors", 3)
    true = effects(source, header_alphas(source))
    got = effects(result.output, header_alphas(result.output))
    assert relative(got, true) == pytest.approx(optimum(true, dict.fromkeys(true, 3)), rel=1e-6)
    assert json.loads(metadata_of(result.output)["lora_adapter_metadata"])["unet.lora_dropout"] == 0.1


def test_a_layer_below_the_rank_under_rslora_is_byte_identical(tmp_path):
    names = list(PEFT_NAMES.values())
    tensors = _peft(names[:2], rank=5) | _peft(names[2:], rank=8)
    config = CONFIGS["rslora"] | {"r": 5, "rank_pattern": {names[2]: 8}, "lora_alpha": 3}
    _folder(tmp_path / "in", config, tensors)
    result = do_resize(tmp_path / "in", tmp_path / "out", 6)
    new = tensors_of(tmp_path / "out" / "adapter_model.safetensors")
    assert all(identical(tensors[k], new[k]) for k in tensors if "attn2" not in k)
    assert relative(_folder_effects(tmp_path / "out"), _folder_effects(tmp_path / "in")) == pytest.approx(result.error, rel=1e-6)


@pytest.mark.parametrize("name", ("plain", "rslora"))
def test_the_file_inside_a_peft_folder_does_not_lose_its_alpha(tmp_path, name):
    """Opened by its own path: its alpha stands in the configuration beside it, which does not travel."""
    _folder(tmp_path / "in", CONFIGS[name], _peft())
    true = _folder_effects(tmp_path / "in")
    result = do_resize(tmp_path / "in" / "adapter_model.safetensors", tmp_path / "out.safetensors", 3)
    with Adapter.open(result.output) as adapter:
        got = {stem: x.delta() for stem, x in adapter.layers.items()}
    assert relative(got, true) == pytest.approx(optimum(true, dict.fromkeys(true, 3)), rel=1e-6)


def test_a_peft_file_in_place_agrees_with_the_configuration_beside_it(tmp_path):
    folder = _folder(tmp_path / "in", CONFIGS["plain"], _peft())
    true = _folder_effects(folder)
    try:
        do_resize(folder / "adapter_model.safetensors", folder / "adapter_model.safetensors", 3, in_place=True)
    except Refused:
        pass  # to refuse is sound too
    with Adapter.open(str(folder / "adapter_model.safetensors")) as adapter:
        got = {stem: x.delta() for stem, x in adapter.layers.items()}
    assert relative(got, true) < 2 * optimum(true, dict.fromkeys(true, 3))


def test_every_component_of_a_folder_is_written(tmp_path):
    """Also one whose layers are only carried along."""
    save(tmp_path / "in" / "adapter_model.safetensors", _peft())
    te = "base_model.model.text_model.encoder.layers.0.self_attn.q_proj"
    dora = layer(te, SHAPES[TE], 4, style="peft") | {f"{te}.lora_magnitude_vector": torch.ones(768)}
    save(tmp_path / "in" / "text_encoder" / "adapter_model.safetensors", dora)
    do_resize(tmp_path / "in", tmp_path / "out", 3)
    assert same(dora, tensors_of(tmp_path / "out" / "text_encoder" / "adapter_model.safetensors"))


def test_training_metadata_follows_the_ranks(tmp_path):
    metadata = {"ss_network_dim": "8", "ss_network_alpha": "4.0", "ss_output_name": "x", "custom": "kept",
                "ss_network_args": json.dumps({"conv_dim": "8", "conv_alpha": "4", "other": "1"})}
    source = save(tmp_path / "a.safetensors", sd1([Q, K, CONV, LAST]), metadata)
    got = metadata_of(do_resize(source, tmp_path / "b.safetensors", 6, 2).output)
    assert (got["ss_network_dim"], got["ss_network_alpha"]) == ("6", "3.0")
    arguments = json.loads(got["ss_network_args"])
    assert (float(arguments["conv_dim"]), float(arguments["conv_alpha"]), arguments["other"]) == (2, 1, "1")
    assert (got["ss_output_name"], got["custom"]) == ("x", "kept")


def test_mixed_ranks_are_called_dynamic(tmp_path):
    source = save(tmp_path / "a.safetensors", layer(Q, SHAPES[Q], 8, 4.0) | layer(K, SHAPES[K], 2, 4.0),
                  {"ss_network_dim": "8", "ss_network_alpha": "4"})
    got = metadata_of(do_resize(source, tmp_path / "b.safetensors", 4).output)
    assert (got["ss_network_dim"], got["ss_network_alpha"]) == ("Dynamic", "Dynamic")


def test_the_error_in_the_metadata_is_the_measured_one(tmp_path):
    source = save(tmp_path / "a.safetensors", sd1([Q, K]))
    result = do_resize(source, tmp_path / "b.safetensors", 4)
    assert float(metadata_of(result.output)["loratool.error"]) == pytest.approx(result.error, rel=1e-5)


def test_sshs_hashes_are_those_that_sd_scripts_computes(tmp_path):
    """``precalculate_safetensors_hashes``, written again on the official writer."""
    import hashlib
    from io import BytesIO

    import safetensors.torch

    source = save(tmp_path / "a.safetensors", sd1([Q, CROSS, CONV, TE], rank=64, dtype="F32"),
                  {"ss_network_dim": "64", "ss_x": "é", "other": "1", "sshs_model_hash": "0", "sshs_legacy_hash": "0"})
    result = do_resize(source, tmp_path / "b.safetensors", 48)
    got = metadata_of(result.output)
    data = safetensors.torch.save(tensors_of(result.output), {k: v for k, v in got.items() if k.startswith("ss_")})
    whole = BytesIO(data)
    offset = int.from_bytes(whole.read(8), "little") + 8
    assert got["sshs_model_hash"] == hashlib.sha256(data[offset:]).hexdigest()
    assert len(data) > 0x110000
    assert got["sshs_legacy_hash"] == hashlib.sha256(data[0x100000:0x110000]).hexdigest()[:8]


def _glora(stem):
    return {f"{stem}.{name}.weight": torch.ones(320, 4) if name in ("a1", "b1") else torch.ones(4, 320)
            for name in ("a1", "a2", "b1", "b2")}


def test_what_is_not_understood_is_carried_and_said(tmp_path):
    other = {"some.strange.tensor": torch.arange(5)} | _glora(OUT)
    source = save(tmp_path / "a.safetensors", sd1([Q]) | other)
    result = do_resize(source, tmp_path / "b.safetensors", 4)
    new = tensors_of(result.output)
    assert all(identical(new[key], other[key]) for key in other)
    assert sum("unchanged" in note for note in result.notes) == 2


def test_a_file_without_a_layer_that_has_factors_is_refused_not_copied(tmp_path):
    source = save(tmp_path / "a.safetensors", _glora(Q))
    with pytest.raises(WouldLose) as error:
        do_resize(source, tmp_path / "b.safetensors", 2)
    assert error.value.exit_code == 4
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize("role", ("lora_up.weight", "lora_down.weight"))
@pytest.mark.parametrize("value", (float("nan"), float("inf")))
def test_weights_that_are_no_numbers_are_refused(tmp_path, role, value):
    tensors = sd1([Q, K])
    tensors[f"{K}.{role}"].view(-1)[5] = value
    source = save(tmp_path / "a.safetensors", tensors)
    with pytest.raises(Unsound) as error:
        do_resize(source, tmp_path / "b.safetensors", 4)
    assert error.value.key == f"{K}.{role}"
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_nan_in_a_layer_that_is_only_copied_is_refused_too(tmp_path):
    tensors = layer(Q, SHAPES[Q], 8, 4.0) | layer(K, SHAPES[K], 2, 4.0)
    tensors[f"{K}.lora_up.weight"][0, 0] = float("nan")
    source = save(tmp_path / "a.safetensors", tensors)
    with pytest.raises(Unsound):
        do_resize(source, tmp_path / "b.safetensors", 4)
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize("lacking", ("lora_up.weight", "lora_down.weight"))
def test_half_a_layer_is_refused(tmp_path, lacking):
    tensors = sd1([Q, K])
    del tensors[f"{K}.{lacking}"]
    with pytest.raises(Unsound) as error:
        _plan(save(tmp_path / "a.safetensors", tensors), 4)
    assert error.value.key == K


def test_an_alpha_that_is_no_number_is_refused(tmp_path):
    with pytest.raises(Unsound):
        _plan(save(tmp_path / "a.safetensors", sd1([Q], alpha=float("nan"))), 4)


@pytest.mark.parametrize("rule", ((0, None), (-1, None), (4, 0)))
def test_a_rank_below_one_is_a_usage_error(rule):
    with pytest.raises(UsageError):
        FixedRank(*rule)


def test_equal_input_gives_equal_bytes_with_any_number_of_threads(tmp_path):
    source = save(tmp_path / "a.safetensors", sd1(list(SHAPES), spectrum=DECAY), {"ss_network_dim": "8"})
    made = {sha256(do_resize(source, tmp_path / f"{n}.safetensors", 3, threads=n).output) for n in (1, 2, 5)}
    (tmp_path / "other").mkdir()
    made.add(sha256(do_resize(source, tmp_path / "other" / "name.safetensors", 3).output))
    assert len(made) == 1


def test_in_place_replaces_the_file_and_keeps_a_backup(tmp_path):
    source = save(tmp_path / "a.safetensors", sd1([Q, K]))
    before, expected = sha256(source), sha256(do_resize(source, tmp_path / "b.safetensors", 4).output)
    with pytest.raises(Refused):
        do_resize(source, source, 4, overwrite=True)
    assert sha256(source) == before
    do_resize(source, source, 4, in_place=True)
    assert sha256(source) == expected
    assert sha256(source + ".bak") == before


@pytest.mark.parametrize("metadata", ({}, {"ss_network_dim": "8", "ss_network_alpha": "4", "modelspec.hash_sha256": "0xab"}))
def test_a_dry_run_tells_the_size_to_the_byte(tmp_path, metadata):
    source = save(tmp_path / "a.safetensors", sd1([Q, K, CONV]), metadata)
    planned = _plan(source, 3, 2)
    told = run.preview(planned, str(tmp_path / "b.safetensors"))
    assert told.dry_run and not (tmp_path / "b.safetensors").exists()
    assert {m.name: m.rank for m in told.modules} == {Q: 3, K: 3, CONV: 2}
    result = do_resize(source, tmp_path / "b.safetensors", 3, 2)
    assert told.bytes == result.bytes == (tmp_path / "b.safetensors").stat().st_size


def test_a_dry_run_of_a_folder_tells_the_size_to_the_byte(tmp_path):
    _folder(tmp_path / "in", CONFIGS["pattern"], _peft())
    told = run.preview(_plan(tmp_path / "in", 3), str(tmp_path / "out"))
    assert told.bytes == do_resize(tmp_path / "in", tmp_path / "out", 3).bytes


def test_a_resized_file_resizes_again_to_the_same_optimum(tmp_path):
    """Cutting in two steps is cutting once."""
    source = save(tmp_path / "a.safetensors", sd1([Q, CROSS], dtype="F32", spectrum=DECAY))
    do_resize(source, tmp_path / "b.safetensors", 5)
    once = do_resize(source, tmp_path / "c.safetensors", 2)
    twice = do_resize(tmp_path / "b.safetensors", tmp_path / "d.safetensors", 2)
    assert relative(effects(twice.output), effects(once.output)) < 1e-6


def test_the_singular_values_stand_in_both_factors_alike(tmp_path):
    """Balanced factors: neither half leaves the range of half precision before the other."""
    source = save(tmp_path / "a.safetensors", sd1([Q], dtype="F32", alpha=8.0, spectrum=DECAY))
    up, down = factors(do_resize(source, tmp_path / "b.safetensors", 4).output)[Q]
    assert np.allclose(np.linalg.norm(up, axis=0), np.linalg.norm(down, axis=1), rtol=1e-5)


def test_sd1_attention_names_are_the_ones_of_the_family(tmp_path):
    """The modules that these tests use are known, so that nothing here runs on the unknown path."""
    with Adapter.open(save(tmp_path / "a.safetensors", sd1(list(SHAPES)))) as adapter:
        assert adapter.family == "sd1" and SD1 in Q
        assert all(x.address is not None for x in adapter.layers.values())
