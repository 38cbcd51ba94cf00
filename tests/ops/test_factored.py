"""LoHa and LoKr in the operations: against dense float64 sums and singular values."""

import json

import numpy as np
import pytest
import torch

from loratool.adapter.adapter import Adapter
from loratool.inspection.weights import weigh
from loratool.ops import resize, run
from loratool.ops.rules import Budget, FixedRank, PerLayer
from loratool.tensors.policy import Policy

from .files import (
    CONV,
    CROSS,
    DTYPES,
    OUT,
    SHAPES,
    K,
    Q,
    do_merge,
    do_resize,
    effects,
    layer,
    metadata_of,
    norm,
    optimum,
    relative,
    same,
    save,
    sd1,
    tensors_of,
)

ARGS = {"ss_network_module": "lycoris.kohya", "ss_network_args": json.dumps({"algo": "lokr", "factor": "8"}),
        "ss_network_dim": "3", "ss_network_alpha": "2"}


def _numbers(stem, dtype, shapes, alpha=2.0):
    rng = np.random.default_rng([*stem.encode()])
    found = {f"{stem}.{name}": torch.from_numpy(rng.standard_normal(shape) * 0.2).to(DTYPES[dtype])
             for name, shape in shapes.items()}
    return found | {f"{stem}.alpha": torch.tensor(alpha, dtype=DTYPES[dtype])}


def _loha(stem, dtype="F32", r=3):
    out, inner = SHAPES[stem][0], int(np.prod(SHAPES[stem][1:]))
    return _numbers(stem, dtype, {f"hada_w{n}_{s}": (out, r) if s == "a" else (r, inner) for n in (1, 2) for s in "ab"})


def _lokr(stem, dtype="F32", r=3, whole=False):
    out, inner, *kernel = SHAPES[stem]
    rest = (inner // 4, *kernel)
    second = {"lokr_w2": (out // 8, *rest)} if whole else {
        "lokr_w2_a": (out // 8, r), "lokr_w2_b": (r, int(np.prod(rest)))}
    return _numbers(stem, dtype, {"lokr_w1": (8, 4)} | second)


def _dense(tensors):
    """Stem -> the update, from the definitions."""
    value = {key: tensor.double().numpy() for key, tensor in tensors.items()}
    found = effects({k: v for k, v in tensors.items() if "lora_" in k.rpartition(".")[0].partition(".")[2]
                     or f"{k.partition('.')[0]}.lora_up.weight" in tensors})
    for stem in {key.partition(".")[0] for key in tensors}:
        alpha = float(value.get(f"{stem}.alpha", 1.0))
        if f"{stem}.hada_w1_a" in value:
            one, other = (value[f"{stem}.hada_w{n}_a"] @ value[f"{stem}.hada_w{n}_b"] for n in (1, 2))
            found[stem] = alpha / value[f"{stem}.hada_w1_b"].shape[0] * one * other
        elif f"{stem}.lokr_w1" in value:
            second, scale = value.get(f"{stem}.lokr_w2"), 1.0
            if second is None:
                second = value[f"{stem}.lokr_w2_a"] @ value[f"{stem}.lokr_w2_b"]
                scale = alpha / value[f"{stem}.lokr_w2_b"].shape[0]
            found[stem] = scale * np.kron(value[f"{stem}.lokr_w1"], second.reshape(second.shape[0], -1))
    return found


def _mixed(dtype="F32"):
    return sd1([Q], rank=12, dtype=dtype) | _loha(K, dtype) | _lokr(CROSS, dtype) | _lokr(OUT, dtype, whole=True) | _loha(
        CONV, dtype)


@pytest.mark.parametrize(("dtype", "rounding"), (("F32", 2e-7), ("F16", 1e-3), ("BF16", 8e-3)))
def test_a_resize_makes_the_best_lora_of_each_layer(tmp_path, dtype, rounding):
    source = save(tmp_path / "a.safetensors", _mixed(dtype), ARGS)
    true, result = _dense(_mixed(dtype)), do_resize(source, tmp_path / "b.safetensors", 4)
    least = optimum(true, dict.fromkeys(true, 4))
    assert relative(effects(result.output), true) == pytest.approx(least, abs=rounding)
    assert result.error == pytest.approx(relative(effects(result.output), true), rel=1e-6)
    assert result.optimum == pytest.approx(least, rel=1e-6)
    assert {key.partition(".")[2] for key in tensors_of(result.output)} == {
        "lora_up.weight", "lora_down.weight", "alpha"}
    assert tensors_of(result.output)[f"{CONV}.lora_down.weight"].shape == (4, 320, 3, 3)
    assert any("became LoRA" in note for note in result.notes)
    arguments = json.loads(metadata_of(result.output)["ss_network_args"])
    assert arguments == {"algo": "lora", "factor": "8"} and metadata_of(result.output)["ss_network_dim"] == "4"


def test_a_layer_that_has_the_rank_stays_what_it_is(tmp_path):
    tensors = _loha(K) | _lokr(OUT, whole=True) | sd1([Q])
    source = save(tmp_path / "a.safetensors", tensors, ARGS)
    result = do_resize(source, tmp_path / "b.safetensors", 9)
    new = tensors_of(result.output)
    assert same({k: v for k, v in new.items() if not k.startswith(OUT)},
                {k: v for k, v in tensors.items() if not k.startswith(OUT)})
    assert f"{OUT}.lora_up.weight" in new and not any("lokr" in key for key in new)
    assert json.loads(metadata_of(result.output)["ss_network_args"])["algo"] == "lokr"
    true = _dense(tensors)
    whole = norm(true.values())
    assert result.error * whole == pytest.approx(norm([effects(
        {k: v for k, v in new.items() if k.startswith(OUT)})[OUT] - true[OUT]]), rel=1e-6)


@pytest.mark.parametrize("rule", (Budget("error", 0.3), PerLayer("energy", 0.9), PerLayer("lossless")))
def test_other_rules_keep_what_they_promise(tmp_path, rule):
    source = save(tmp_path / "a.safetensors", _mixed(), ARGS)
    with Adapter.open(source) as adapter:
        planned = resize.plan(adapter, rule)
        result = run.execute(planned, str(tmp_path / "b.safetensors"), Policy())
        predicted = np.sqrt(sum(x.predicted.error ** 2 for x in planned.layers))
    whole = norm(_dense(_mixed()).values())
    assert result.error == pytest.approx(predicted / whole, abs=1e-6)
    assert result.error <= {"error": 0.3, "energy": 0.1 ** 0.5, "lossless": 0.0}[getattr(rule, "kind", "error")]


def test_the_size_rule_is_kept(tmp_path):
    source = save(tmp_path / "a.safetensors", _mixed(), ARGS)
    with Adapter.open(source) as adapter:
        result = run.execute(resize.plan(adapter, Budget("size", 100_000)), str(tmp_path / "b.safetensors"), Policy())
    assert result.bytes == (tmp_path / "b.safetensors").stat().st_size <= 100_000


@pytest.mark.parametrize(("dtype", "rounding"), (("F32", 1e-6), ("F16", 5e-4), ("BF16", 4e-3)))
def test_a_merge_adds_layers_of_different_algorithms(tmp_path, dtype, rounding):
    one, two = _mixed(dtype), _loha(Q, dtype) | sd1([K, CROSS], dtype=dtype) | _lokr(CONV, dtype)
    files = [save(tmp_path / f"{n}.safetensors", t, ARGS) for n, t in enumerate((one, two))]
    result = do_merge(files, [0.6, -0.4], tmp_path / "m.safetensors")
    first, second = _dense(one), _dense(two)
    true = {stem: 0.6 * first[stem] - 0.4 * second.get(stem, 0.0) for stem in first}
    assert relative(effects(result.output), true) <= rounding
    assert result.error == pytest.approx(relative(effects(result.output), true), rel=1e-3, abs=1e-9)


def test_the_negative_of_a_file_takes_it_away(tmp_path):
    source = save(tmp_path / "a.safetensors", _loha(K) | _lokr(CROSS))
    result = do_merge([source, source], [1.0, -1.0], tmp_path / "m.safetensors")
    assert all(not update.any() for update in effects(result.output).values())


def test_the_weights_are_told(tmp_path):
    tensors = _mixed()
    with Adapter.open(save(tmp_path / "a.safetensors", tensors)) as adapter:
        found = weigh(adapter)
    true = _dense(tensors)
    assert found.strength["fro_total"] == pytest.approx(norm(true.values()), rel=1e-9)
    assert found.layers.keys() == true.keys()
    for stem, update in true.items():
        sigma, told = np.linalg.svd(update, compute_uv=False), found.layers[stem]["singular_values"]
        assert told[:9] == pytest.approx(sigma[:9], rel=1e-6)


@pytest.mark.parametrize("bad", (float("nan"), float("inf"), 1e300))
@pytest.mark.parametrize("make", (_loha, _lokr))
def test_weights_that_are_no_numbers_are_refused(tmp_path, bad, make):
    from loratool.errors import Unsound

    tensors = {key: tensor.double() for key, tensor in make(K).items()}
    name = next(key for key in tensors if "_b" in key)
    tensors[name][0, 0] = bad
    source = save(tmp_path / "a.safetensors", tensors)
    for work in (lambda: do_resize(source, tmp_path / "b.safetensors", 2),
                 lambda: do_merge([source], [1.0], tmp_path / "b.safetensors")):
        with pytest.raises(Unsound) as error:
            work()
        assert error.value.key == (name if bad != 1e300 else K) and not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize("work", ("resize", "merge"))
def test_a_peft_folder_becomes_one_of_peft_s_lora(tmp_path, work):
    """peft itself applies what was written."""
    from peft import LoKrConfig, PeftModel, get_peft_model

    def base():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(12, 18), torch.nn.Linear(18, 8))

    model = get_peft_model(base(), LoKrConfig(r=2, alpha=5, target_modules=["0", "1"], init_weights=False))
    model.save_pretrained(str(tmp_path / "in"))
    source = tmp_path / "in"
    if work == "resize":
        do_resize(source, tmp_path / "out", 3)
    else:
        do_merge([source], [0.5], tmp_path / "out")
    made = PeftModel.from_pretrained(base(), str(tmp_path / "out"))
    for name in "01":
        old, new = (m.base_model.model.get_submodule(name).get_delta_weight("default").detach().double().numpy()
                    for m in (model, made))
        if work == "resize":
            lost = np.sqrt(np.square(np.linalg.svd(old, compute_uv=False)[3:]).sum())
            assert np.linalg.norm(new - old) == pytest.approx(lost, abs=1e-5 * np.linalg.norm(old))
        else:
            assert np.linalg.norm(new - 0.5 * old) <= 1e-6 * np.linalg.norm(old)


def test_a_fixed_rank_is_planned_from_the_header_alone(tmp_path):
    tensors = _mixed()
    tensors[f"{K}.hada_w1_a"][:] = float("nan")
    with Adapter.open(save(tmp_path / "a.safetensors", tensors | layer(Q, SHAPES[Q], 12, 4.0))) as adapter:
        assert [x.rank for x in resize.plan(adapter, FixedRank(5)).layers] == [5] * 5
