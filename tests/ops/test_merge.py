"""Merge against the dense float64 sum of what the official reader finds in the inputs."""

import json

import numpy as np
import pytest
import torch

from loratool.adapter.adapter import Adapter
from loratool.checks.run import validate
from loratool.errors import FamiliesDiffer, LoratoolError, Unsound, UsageError, WouldLose

from .files import (
    CONV,
    CROSS,
    FLUX_ROWS,
    LAST,
    OUT,
    PROJ,
    SHAPES,
    TE,
    UNIT,
    K,
    Q,
    do_convert,
    do_merge,
    do_resize,
    effects,
    factors,
    flux,
    flux_split,
    header_alphas,
    key_order,
    layer,
    metadata_of,
    native,
    norm,
    optimum,
    probed,
    relative,
    save,
    sd1,
    sha256,
    tensors_of,
)

SDXL = "lora_unet_input_blocks_4_1_transformer_blocks_0_"
SDXL_DIFFUSERS = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_"
SDXL_PARTS = {"attn1_to_q": (640, 640), "attn2_to_k": (640, 2048), "ff_net_2": (640, 2560)}


def _sum(weighted) -> dict:
    """The dense sum of (weight, effects)."""
    total: dict = {}
    for weight, one in weighted:
        for stem, delta in one.items():
            total[stem] = total.get(stem, 0.0) + weight * delta
    return total


def _sdxl(prefix, rank, alpha, dtype="F16", seed=0):
    found = {}
    for name, shape in SDXL_PARTS.items():
        found |= layer(prefix + name, shape, rank, alpha, dtype, seed)
    return found


def _save(tmp_path, *tensors, **options):
    return [save(tmp_path / f"in{n}.safetensors", t, **options) for n, t in enumerate(tensors)]


@pytest.mark.parametrize("dtype", ("F16", "BF16", "F32"))
def test_the_sum_of_mixed_ranks_and_alphas_is_the_dense_one(tmp_path, dtype):
    files = _save(tmp_path, sd1([Q, K, CONV, LAST], 4, 1.0, dtype=dtype, seed=1),
                  sd1([Q, CROSS, CONV, PROJ], 6, 6.0, dtype=dtype, seed=2),
                  layer(Q, SHAPES[Q], 3, None, dtype, 3) | layer(TE, SHAPES[TE], 5, -2.0, dtype, 3))
    weights = [0.6, -0.4, 1.5]
    result = do_merge(files, weights, tmp_path / "m.safetensors")
    true = _sum(zip(weights, map(effects, files), strict=True))
    got = effects(result.output)
    assert relative(got, true) < 2 * UNIT[dtype]
    assert result.error == pytest.approx(relative(got, true), rel=1e-5)
    ranks = {stem: up.shape[1] for stem, (up, _) in factors(result.output).items()}
    assert ranks == {Q: 13, K: 4, CONV: 10, LAST: 4, CROSS: 6, PROJ: 6, TE: 5}
    alphas = {k: float(v) for k, v in tensors_of(result.output).items() if k.endswith("alpha")}
    assert alphas == {f"{stem}.alpha": rank for stem, rank in ranks.items()}


@pytest.mark.parametrize("weight", (0.5, -1.0, 2.0))
def test_a_weight_is_linear_as_a_loaders_strength(tmp_path, weight):
    """Not squared: tools that weigh both factors give a quarter at one half."""
    file, = _save(tmp_path, sd1([Q, CROSS], 4, 3.0, dtype="F32"))
    result = do_merge([file], [weight], tmp_path / "m.safetensors")
    true = {stem: weight * delta for stem, delta in effects(file).items()}
    assert relative(effects(result.output), true) < 2 * UNIT["F32"]


@pytest.mark.parametrize("dtype", ("F16", "BF16", "F32"))
def test_halves_of_one_file_are_that_file_at_its_own_rank(tmp_path, dtype):
    file, = _save(tmp_path, sd1([Q, CROSS, CONV], 4, 4.0, dtype=dtype))
    result = do_merge([file, file], [0.5, 0.5], tmp_path / "m.safetensors")
    assert {m.rank for m in result.modules} == {4}
    assert relative(effects(result.output), effects(file)) < 2 * UNIT[dtype]
    assert any("lower rank" in note for note in result.notes)


def test_one_update_in_two_gauges_collapses_to_its_rank(tmp_path):
    tensors = layer(Q, SHAPES[Q], 4, 4.0, "F32")
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    other = {f"{Q}.lora_up.weight": (tensors[f"{Q}.lora_up.weight"].double() @ torch.from_numpy(turn)),
             f"{Q}.lora_down.weight": (torch.from_numpy(turn.T) @ tensors[f"{Q}.lora_down.weight"].double())}
    other = {k: v.to(torch.float64) for k, v in other.items()}
    files = _save(tmp_path, {k: v.double() for k, v in tensors.items()}, other)
    result = do_merge(files, [0.3, 0.7], tmp_path / "m.safetensors")
    assert [m.rank for m in result.modules] == [4]
    assert relative(effects(result.output), effects(files[0])) < 1e-12


@pytest.mark.parametrize("dtype", ("F16", "BF16", "F32"))
def test_a_file_minus_itself_is_nothing(tmp_path, dtype):
    file, = _save(tmp_path, sd1([Q, CROSS, CONV], 4, 3.0, dtype=dtype))
    result = do_merge([file, file], [1.0, -1.0], tmp_path / "m.safetensors")
    assert not any(delta.any() for delta in effects(result.output).values())
    assert {m.rank for m in result.modules} == {1}
    assert result.error == 0.0


@pytest.mark.parametrize("dtype", ("F16", "F32"))
def test_a_file_minus_its_conversion_is_nothing(tmp_path, dtype):
    file, = _save(tmp_path, _sdxl(SDXL, 4, 2.0, dtype))
    do_convert(file, tmp_path / "c.safetensors", "diffusers")
    result = do_merge([file, tmp_path / "c.safetensors"], [1.0, -1.0], tmp_path / "m.safetensors")
    # In F16 the fold of alpha pushes the smallest values under the normal numbers, where bits are lost.
    least = {"F16": 1e-7, "F32": 1e-12}[dtype]
    assert norm(effects(result.output).values()) <= least * norm(effects(file).values())
    assert {stem for stem in effects(result.output)} == {stem for stem in effects(file)}


def test_a_flux_file_minus_its_split_conversion_is_nothing(tmp_path):
    file, = _save(tmp_path, flux(["double_blocks.0.img_attn.qkv", "final_layer.adaLN_modulation.1"], 2, 1.0))
    do_convert(file, tmp_path / "c.safetensors", "diffusers")
    for n, (a, b) in enumerate(((file, tmp_path / "c.safetensors"), (tmp_path / "c.safetensors", file))):
        result = do_merge([a, b], [1.0, -1.0], tmp_path / f"m{n}.safetensors")
        left, whole = probed(factors(result.output)), probed(factors(file))
        assert norm(left.values()) <= 1e-6 * norm(whole.values())


def test_merging_twice_is_merging_the_sum_of_the_weights(tmp_path):
    a, b = _save(tmp_path, sd1([Q, CROSS], 4, 2.0, dtype="F32", seed=1), sd1([Q, K], 3, 1.0, dtype="F32", seed=2))
    out = [do_merge([a, b], w, tmp_path / f"{n}.safetensors").output
           for n, w in enumerate(([0.3, 0.2], [0.5, -0.7], [0.8, -0.5]))]
    both = _sum([(1.0, effects(out[0])), (1.0, effects(out[1]))])
    assert relative(both, effects(out[2])) < 4 * UNIT["F32"]


def test_merging_is_associative_and_commutative(tmp_path):
    a, b, c = _save(tmp_path, *(sd1([Q, CROSS], r, 2.0, dtype="F32", seed=r) for r in (2, 3, 4)))
    ab = do_merge([a, b], [1, 2], tmp_path / "ab.safetensors").output
    one = do_merge([ab, c], [1, -0.5], tmp_path / "1.safetensors").output
    two = do_merge([a, b, c], [1, 2, -0.5], tmp_path / "2.safetensors").output
    three = do_merge([c, b, a], [-0.5, 2, 1], tmp_path / "3.safetensors").output
    assert relative(effects(one), effects(two)) < 6 * UNIT["F32"]
    assert relative(effects(three), effects(two)) < 4 * UNIT["F32"]


@pytest.mark.parametrize("dtype", ("F16", "F32"))
def test_a_reduced_merge_is_the_best_approximation_of_the_dense_sum(tmp_path, dtype):
    files = _save(tmp_path, sd1([Q, CROSS, CONV], 5, 2.0, dtype=dtype, seed=1), sd1([Q, CROSS, CONV, K], 4, 4.0, dtype=dtype, seed=2))
    result = do_merge(files, [0.7, -0.5], tmp_path / "m.safetensors", rank=3, conv_rank=2)
    true = _sum([(0.7, effects(files[0])), (-0.5, effects(files[1]))])
    least = optimum(true, {Q: 3, CROSS: 3, CONV: 2, K: 3})
    found = relative(effects(result.output), true)
    assert result.optimum == pytest.approx(least, rel=1e-6)
    assert least * (1 - 1e-9) <= found <= np.hypot(least, 2 * UNIT[dtype])
    assert result.error == pytest.approx(found, rel=1e-6)


def test_a_rank_above_what_the_sum_needs_changes_nothing(tmp_path):
    files = _save(tmp_path, sd1([Q], 3, seed=1), sd1([Q], 4, seed=2))
    exact, wide = (do_merge(files, [1, 1], tmp_path / f"{r}.safetensors", rank=r) for r in (None, 64))
    assert [m.rank for m in wide.modules] == [7]
    assert effects(exact.output)[Q].tolist() == effects(wide.output)[Q].tolist()


def test_pefts_cat_and_svd_give_the_same_sum(tmp_path):
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file

    class Tiny(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = torch.nn.Linear(24, 16)

    torch.manual_seed(0)
    names = {"one": (3, 6.0), "two": (4, 2.0)}
    model = get_peft_model(Tiny(), LoraConfig(r=3, lora_alpha=6.0, target_modules=["lin"]), adapter_name="one")
    model.add_adapter("two", LoraConfig(r=4, lora_alpha=2.0, target_modules=["lin"]))
    base = model.base_model.model.lin
    files = []
    for name, (_, alpha) in names.items():
        torch.nn.init.normal_(base.lora_B[name].weight)
        path = tmp_path / f"{name}.safetensors"
        save_file({"lora_unet_lin.lora_down.weight": base.lora_A[name].weight.detach().clone(),
                   "lora_unet_lin.lora_up.weight": base.lora_B[name].weight.detach().clone(),
                   "lora_unet_lin.alpha": torch.tensor(alpha)}, str(path))
        files.append(path)
    model.add_weighted_adapter(["one", "two"], [0.6, 1.3], "cat", combination_type="cat")
    model.add_weighted_adapter(["one", "two"], [0.6, 1.3], "svd", combination_type="svd", svd_rank=2)
    exact = do_merge(files, [0.6, 1.3], tmp_path / "m.safetensors")
    reduced = do_merge(files, [0.6, 1.3], tmp_path / "r.safetensors", rank=2)
    for result, name in ((exact, "cat"), (reduced, "svd")):
        peft = base.get_delta_weight(name).double().detach().numpy()
        assert np.linalg.norm(effects(result.output)["lora_unet_lin"] - peft) < 1e-5 * np.linalg.norm(peft)


def test_the_spellings_of_one_family_are_paired(tmp_path):
    """kohya's native names and ai-toolkit's diffusers names of SDXL."""
    a, b = _save(tmp_path, _sdxl(SDXL, 4, 2.0, seed=1), _sdxl(SDXL_DIFFUSERS, 3, 3.0, seed=2))
    result = do_merge([a, b], [0.5, 0.8], tmp_path / "m.safetensors")
    renamed = {stem.replace(SDXL_DIFFUSERS, SDXL): delta for stem, delta in effects(b).items()}
    assert relative(effects(result.output), _sum([(0.5, effects(a)), (0.8, renamed)])) < 2 * UNIT["F16"]
    assert result.dialect == "kohya" and set(key_order(result.output)) == set(key_order(a))
    back = do_merge([b, a], [0.8, 0.5], tmp_path / "n.safetensors")
    assert back.dialect == "kohya-diffusers" and set(key_order(back.output)) == set(key_order(b))
    assert all(module.rank == 7 for module in back.modules)


def test_fused_and_split_projections_are_added_row_by_row(tmp_path):
    """kohya FLUX.1 with a fused qkv and a diffusers file that trained to_q and to_v only."""
    names = ["double_blocks.0.img_attn.qkv", "final_layer.linear", "final_layer.adaLN_modulation.1"]
    parts = ["transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.to_v", "norm_out.linear", "x_embedder"]
    a, b = _save(tmp_path, flux(names, 2, 1.0), flux_split(parts, 3))
    true = _sum([(0.5, native(probed(factors(a)))), (-2.0, native(probed(factors(b))))])
    for n, (order, weights) in enumerate((((a, b), (0.5, -2.0)), ((b, a), (-2.0, 0.5)))):
        result = do_merge(order, weights, tmp_path / f"m{n}.safetensors")
        alphas = header_alphas(result.output) if n else None
        assert relative(native(probed(factors(result.output, alphas))), true) < 2 * UNIT["F16"]
        assert result.dialect == ("diffusers" if n else "kohya")
        assert any(key.endswith(".alpha") for key in tensors_of(result.output)) == (n == 0)
        split = {f"transformer.{part}" for part in FLUX_ROWS["double_blocks.0.img_attn.qkv"]}
        assert split <= {m.name for m in result.modules} if n else "lora_unet_img_in" in {m.name for m in result.modules}


def test_names_and_order_are_the_first_files(tmp_path):
    first = sd1([Q, K], 2, seed=1)
    a, b = _save(tmp_path, first, sd1([K, CROSS, Q], 2, seed=2))
    result = do_merge([a, b], [1, 1], tmp_path / "m.safetensors")
    order = key_order(result.output)
    kept = [key for key in order if key in first]
    assert kept == key_order(a) and order[:len(kept)] == kept
    assert sorted(order[len(kept):]) == sorted(key for key in tensors_of(b) if key.startswith(CROSS))


def test_the_shape_of_a_1x1_convolution_is_kept(tmp_path):
    linear = layer(PROJ, SHAPES[PROJ][:2], 3, 3.0, seed=2)
    a, b = _save(tmp_path, sd1([PROJ], 2, 2.0, seed=1), linear | sd1([CROSS], 2))
    result = do_merge([a, b], [1, 1], tmp_path / "m.safetensors")
    new = tensors_of(result.output)
    assert new[f"{PROJ}.lora_down.weight"].shape == (5, 320, 1, 1)
    assert new[f"{PROJ}.lora_up.weight"].shape == (320, 5, 1, 1)


def test_a_mid_factor_is_folded(tmp_path):
    rng = np.random.default_rng(0)
    mid = {f"{CONV}.lora_up.weight": (320, 3, 1, 1), f"{CONV}.lora_mid.weight": (3, 3, 3, 3), f"{CONV}.lora_down.weight": (3, 320, 1, 1)}
    tensors = {k: torch.from_numpy(0.3 * rng.standard_normal(s)).float() for k, s in mid.items()}
    a, b = _save(tmp_path, tensors | {f"{CONV}.alpha": torch.tensor(2.0)}, sd1([CONV], 2, 1.0, dtype="F32"))
    for n, pair in enumerate(((a, b), (b, a))):
        result = do_merge(pair, [1, 1], tmp_path / f"m{n}.safetensors")
        assert relative(effects(result.output), _sum([(1, effects(a)), (1, effects(b))])) < 2 * UNIT["F32"]
        assert f"{CONV}.lora_mid.weight" not in tensors_of(result.output)


@pytest.mark.parametrize(("dtypes", "expected"), (
    (("F16", "F16"), "F16"), (("BF16", "BF16"), "BF16"), (("F16", "BF16"), "F16"), (("BF16", "F16"), "F16"),
    (("F16", "F32"), "F32"), (("F32", "BF16"), "F32")))
def test_the_dtype_with_the_longest_mantissa_wins(tmp_path, dtypes, expected):
    a, b = _save(tmp_path, *(sd1([Q], 2, dtype=d, seed=n) for n, d in enumerate(dtypes)))
    kinds = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
    new = tensors_of(do_merge([a, b], [1, 1], tmp_path / "m.safetensors").output)
    assert {v.dtype for v in new.values()} == {kinds[expected]}
    new = tensors_of(do_merge([a, b], [1, 1], tmp_path / "n.safetensors", dtype="BF16").output)
    assert {v.dtype for k, v in new.items() if "alpha" not in k} == {torch.bfloat16}


def test_a_factor_beyond_half_precision_is_balanced(tmp_path):
    tensors = layer(Q, SHAPES[Q], 4, 4.0, "F16")
    tensors[f"{Q}.lora_up.weight"] *= 1e5
    assert torch.isfinite(tensors[f"{Q}.lora_up.weight"]).all()
    a, b = _save(tmp_path, tensors, layer(Q, SHAPES[Q], 4, 4.0, "F16", seed=9))
    result = do_merge([a, b], [8.0, 1.0], tmp_path / "m.safetensors")
    assert all(torch.isfinite(v).all() for v in tensors_of(result.output).values())
    assert relative(effects(result.output), _sum([(8, effects(a)), (1, effects(b))])) < 2 * UNIT["F16"]


def test_an_update_beyond_half_precision_is_refused_not_infinite(tmp_path):
    tensors = {k: v * 6e5 if "alpha" not in k else v for k, v in layer(Q, SHAPES[Q], 4, 4.0, "BF16").items()}
    a, b = _save(tmp_path, tensors, layer(Q, SHAPES[Q], 4, 4.0, "F16"))
    with pytest.raises(Unsound) as error:
        do_merge([a, b], [1.0, 1.0], tmp_path / "m.safetensors")
    assert "too large" in error.value.message and not (tmp_path / "m.safetensors").exists()
    result = do_merge([a, b], [1.0, 1.0], tmp_path / "m.safetensors", dtype="F32")
    assert relative(effects(result.output), _sum([(1, effects(a)), (1, effects(b))])) < 2 * UNIT["F32"]


@pytest.mark.parametrize("tiny", ("up", "down"))
def test_factors_out_of_balance_do_not_drown_in_half_precisions_subnormals(tmp_path, tiny):
    """BF16 holds 1e-6 well, F16 does not: the sum in F16 must still be within its rounding."""
    tensors = layer(Q, SHAPES[Q], 4, 4.0, "BF16")
    large = "down" if tiny == "up" else "up"
    tensors[f"{Q}.lora_{tiny}.weight"] *= 1e-5
    tensors[f"{Q}.lora_{large}.weight"] *= 1e2
    a, b = _save(tmp_path, tensors, layer(K, SHAPES[K], 4, 4.0, "F16"))
    result = do_merge([a, b], [1.0, 1.0], tmp_path / "m.safetensors")
    true = effects(a)[Q]
    assert np.linalg.norm(effects(result.output)[Q] - true) < 4 * UNIT["F16"] * np.linalg.norm(true)


def test_a_zero_weight_takes_no_part(tmp_path):
    a, b = _save(tmp_path, sd1([Q, K], 3, 3.0, seed=1), sd1([Q, CROSS], 4, 4.0, seed=2))
    result = do_merge([a, b], [1.0, 0.0], tmp_path / "m.safetensors")
    got = effects(result.output)
    assert not got[CROSS].any()
    assert norm([got[Q] - effects(a)[Q]]) < 2 * UNIT["F16"] * norm([got[Q]])
    assert {m.name: m.rank for m in result.modules}[Q] == 3


def test_adapters_of_different_base_models_are_refused(tmp_path):
    a, b = _save(tmp_path, sd1([Q, CROSS]), _sdxl(SDXL, 4, 2.0))
    with pytest.raises(FamiliesDiffer) as error:
        do_merge([a, b], [1, 1], tmp_path / "m.safetensors")
    assert error.value.exit_code == 4
    assert "Stable Diffusion 1" in error.value.message and "XL" in error.value.message
    assert not (tmp_path / "m.safetensors").exists()


def _unknown(names, rank, alpha, seed=0, shape=(40, 30)):
    found = {}
    for name in names:
        found |= layer(f"lora_unet_{name}", shape, rank, alpha, "F32", seed)
    return found


def test_files_of_an_unknown_base_model_are_paired_by_name(tmp_path):
    a, b = _save(tmp_path, _unknown(["one", "two"], 3, 3.0, 1), _unknown(["two", "three"], 4, 2.0, 2))
    result = do_merge([a, b], [0.5, -1.0], tmp_path / "m.safetensors")
    assert result.family is None
    assert relative(effects(result.output), _sum([(0.5, effects(a)), (-1.0, effects(b))])) < 2 * UNIT["F32"]


def test_an_unknown_base_model_is_not_merged_into_a_known_one(tmp_path):
    for n, pair in enumerate(((sd1([Q, CROSS]), _unknown(["one"], 3, 3.0)), (_unknown(["one"], 3, 3.0), sd1([Q, CROSS])))):
        files = _save(tmp_path / str(n), *pair)
        with pytest.raises(FamiliesDiffer):
            do_merge(files, [1, 1], tmp_path / "m.safetensors")


@pytest.mark.parametrize("order", (1, -1))
def test_a_file_that_fits_several_models_merges_with_one_that_fits_only_one(tmp_path, order):
    """Self-attention alone is the same in SD 1 and SD 2; the other file decides."""
    files = _save(tmp_path, sd1([Q, K], 3, 3.0, seed=1), sd1([Q, CROSS], 4, 4.0, seed=2))
    with Adapter.open(files[0]) as vague:
        assert vague.family is None
    result = do_merge(files[::order], [1.0, 1.0], tmp_path / "m.safetensors")
    assert relative(effects(result.output), _sum([(1, effects(f)) for f in files])) < 2 * UNIT["F16"]
    assert len(result.modules) == 3


def test_files_that_fit_several_models_in_different_spellings_are_not_mixed_up(tmp_path):
    """Names can only be paired when the model is known: add rightly or refuse, never half of each."""
    name = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    a, b = _save(tmp_path, layer(Q, SHAPES[Q], 3, 3.0), layer(name, SHAPES[Q], 3, style="peft"))
    try:
        result = do_merge([a, b], [1.0, 1.0], tmp_path / "m.safetensors")
    except LoratoolError as error:
        assert error.exit_code == 4
    else:
        true = effects(a)[Q] + effects(b)[name]
        assert list(effects(result.output)) == [Q]
        assert norm([effects(result.output)[Q] - true]) < 2 * UNIT["F16"] * norm([true])


@pytest.mark.parametrize("order", (1, -1))
@pytest.mark.parametrize("other", ((40, 31), (41, 30), (20, 30)), ids=("inputs", "outputs", "half the outputs"))
def test_one_name_with_two_shapes_is_refused(tmp_path, other, order):
    files = _save(tmp_path, _unknown(["one"], 3, 3.0), _unknown(["one"], 3, 3.0, shape=other))
    with pytest.raises(Unsound):
        do_merge(files[::order], [1, 1], tmp_path / "m.safetensors")


@pytest.mark.parametrize("shape", ((300, 320), (640, 320)))
def test_a_module_of_another_height_than_the_models_is_refused(tmp_path, shape):
    """A few wrong shapes do not change the family, so the merge must see them."""
    stems = [Q, CROSS, PROJ, CONV, LAST, TE, OUT] + [TE.replace("layers_0", f"layers_{n}") for n in range(1, 6)]
    good = {}
    for stem in stems:
        good |= layer(stem, SHAPES.get(stem, (768, 768)), 2, 2.0)
    files = _save(tmp_path, good | layer(K, SHAPES[K], 2, 2.0), good | layer(K, shape, 2, 2.0))
    with Adapter.open(files[1]) as wrong:
        assert wrong.family == "sd1"
    with pytest.raises(Unsound):
        do_merge(files, [1, 1], tmp_path / "m.safetensors")


def test_different_kernels_are_refused(tmp_path):
    small = layer(CONV, (320, 320, 1, 1), 3, 3.0)
    files = _save(tmp_path, sd1([Q, CROSS, CONV]), sd1([Q, CROSS]) | small)
    with pytest.raises((Unsound, FamiliesDiffer)):
        do_merge(files, [1, 1], tmp_path / "m.safetensors")


@pytest.mark.parametrize("weight", (1.0, 0.0))
def test_weights_that_are_no_numbers_are_refused(tmp_path, weight):
    bad = sd1([Q, CROSS])
    bad[f"{CROSS}.lora_down.weight"][1, 2] = float("nan")
    files = _save(tmp_path, sd1([Q, CROSS]), bad)
    with pytest.raises(Unsound) as error:
        do_merge(files, [1.0, weight], tmp_path / "m.safetensors")
    assert error.value.key == f"{CROSS}.lora_down.weight" and error.value.path == files[1]


@pytest.mark.parametrize("extra", ("glora", "unknown", "dora"))
def test_what_cannot_be_added_is_refused(tmp_path, extra):
    more = {"glora": {f"{K}.{name}.weight": torch.ones(320, 4) if name in ("a1", "b1") else torch.ones(4, 320)
                      for name in ("a1", "a2", "b1", "b2")},
            "unknown": {"some.strange.tensor": torch.ones(3)},
            "dora": layer(K, SHAPES[K], 4, 4.0) | {f"{K}.dora_scale": torch.ones(320, 1)}}[extra]
    files = _save(tmp_path, sd1([Q, CROSS]), sd1([Q, CROSS]) | more)
    with pytest.raises(WouldLose):
        do_merge(files, [1, 1], tmp_path / "m.safetensors")


def test_a_module_in_two_spellings_is_refused(tmp_path):
    twice = _sdxl(SDXL, 3, 3.0) | layer(SDXL_DIFFUSERS + "attn1_to_q", (640, 640), 2, 2.0)
    files = _save(tmp_path, twice, _sdxl(SDXL, 3, 3.0))
    with pytest.raises(Unsound):
        do_merge(files, [1, 1], tmp_path / "m.safetensors")


@pytest.mark.parametrize("weights", ([1.0], [1.0, 1.0, 1.0], []))
def test_as_many_weights_as_files(tmp_path, weights):
    files = _save(tmp_path, sd1([Q, CROSS]), sd1([Q, CROSS]))
    with pytest.raises(UsageError):
        do_merge(files, weights, tmp_path / "m.safetensors")


def test_parents_are_named_by_name_and_hash_never_by_folder(tmp_path):
    one = save(tmp_path / "secret place" / "one.safetensors", sd1([Q, CROSS]), {"ss_output_name": "o", "ss_tag_frequency": "x"})
    two = save(tmp_path / "two.safetensors", sd1([Q, CROSS], 3))
    result = do_merge([one, two], [0.25, -1.0], tmp_path / "m.safetensors")
    parents = json.loads(metadata_of(result.output)["loratool.parents"])
    assert [(p["name"], p["weight"], p["sha256"]) for p in parents] == [
        ("one.safetensors", 0.25, sha256(one)), ("two.safetensors", -1.0, sha256(two))]
    assert parents[0]["ss_output_name"] == "o"
    raw = (tmp_path / "m.safetensors").read_bytes()
    assert b"secret place" not in raw and str(tmp_path).encode() not in raw


def test_metadata_is_the_first_files_with_the_new_ranks(tmp_path):
    one = save(tmp_path / "1.safetensors", sd1([Q, CROSS], 4, 2.0), {"ss_network_dim": "4", "ss_network_alpha": "2.0", "custom": "1"})
    two = save(tmp_path / "2.safetensors", sd1([Q, CROSS], 3, seed=2), {"ss_network_dim": "3", "custom": "2"})
    got = metadata_of(do_merge([one, two], [1, 1], tmp_path / "m.safetensors").output)
    assert (got["ss_network_dim"], float(got["ss_network_alpha"]), got["custom"]) == ("7", 7.0, "1")


def test_a_diffusers_merge_says_alpha_in_its_header(tmp_path):
    prefix = "unet.down_blocks.0.attentions.0.transformer_blocks.0."
    both = [layer(prefix + "attn1.to_q", (320, 320), r, style="peft", dtype="F32", seed=r)
            | layer(prefix + "attn2.to_k", (320, 768), 3, style="peft", dtype="F32", seed=r) for r in (2, 4)]
    one = save(tmp_path / "1.safetensors", both[0], {"lora_adapter_metadata": json.dumps({"unet.r": 2, "unet.lora_alpha": 1})})
    two = save(tmp_path / "2.safetensors", both[1])
    result = do_merge([one, two], [1, 1], tmp_path / "m.safetensors")
    true = _sum([(1, effects(one, header_alphas(one))), (1, effects(two))])
    assert relative(effects(result.output, header_alphas(result.output)), true) < 2 * UNIT["F32"]


def test_equal_input_gives_equal_bytes_with_any_number_of_threads(tmp_path):
    files = _save(tmp_path, sd1(list(SHAPES), 3, seed=1), sd1(list(SHAPES), 4, seed=2))
    made = {sha256(do_merge(files, [0.5, 0.25], tmp_path / f"{n}.safetensors", rank=3, threads=n).output) for n in (1, 2, 4)}
    assert len(made) == 1


def test_nothing_is_written_over_an_input(tmp_path):
    files = _save(tmp_path, sd1([Q, CROSS], 3), sd1([Q, CROSS], 4))
    before = sha256(files[1])
    with pytest.raises(LoratoolError) as error:
        do_merge(files, [1, 1], files[1], overwrite=True)
    assert error.value.exit_code == 4 and sha256(files[1]) == before


@pytest.mark.parametrize("kind", (torch.float8_e4m3fn, torch.float8_e5m2))
def test_a_merge_of_eight_bit_weights_can_be_read_again(tmp_path, kind):
    """Its alpha is stored as the weights are."""
    tensors = {key: value.to(kind) for key, value in layer(Q, SHAPES[Q], 4, 2.0).items()}
    source = save(tmp_path / "a.safetensors", tensors)
    made = do_merge([source, source], [0.5, 0.5], tmp_path / "b.safetensors").output
    assert tensors_of(made)[f"{Q}.alpha"].dtype == kind
    do_resize(made, tmp_path / "c.safetensors", 2)
    assert validate(made).verdict == "warn"
    assert relative(effects(made), effects(source)) < 0.1


def test_an_update_beyond_all_numbers_is_refused_by_name(tmp_path):
    source = save(tmp_path / "a.safetensors", layer(Q, SHAPES[Q], 4, 1.0)
                  | {f"{Q}.alpha": torch.tensor(1e300, dtype=torch.float64)})
    with pytest.raises(Unsound) as error:
        do_merge([source, source], [1, 1], tmp_path / "b.safetensors")
    assert error.value.path == source and error.value.key == Q and error.value.hint


def test_a_sum_beyond_the_dtype_names_file_key_and_remedy(tmp_path):
    tensors = {key: value * 1e30 for key, value in layer(Q, SHAPES[Q], 4, dtype="F32").items()}
    source = save(tmp_path / "a.safetensors", tensors)
    with pytest.raises(Unsound) as error:
        do_merge([source, source], [1, 1], tmp_path / "b.safetensors", dtype="F16")
    assert error.value.path == source and error.value.key == f"{Q}.lora_up.weight" and "F32" in error.value.hint
