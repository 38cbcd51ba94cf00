"""LoHa and LoKr: factors, cuts and distances against the dense definitions, peft's own layers among them."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from loratool.adapter.adapter import Adapter
from loratool.adapter.layer import CarriedLayer
from loratool.adapter.loha import LohaLayer
from loratool.adapter.lokr import LokrLayer

STEM = "lora_unet_some_module"
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"


def _layer(folder, tensors, stem=STEM):
    path = folder / "a.safetensors"
    save_file({f"{stem}.{name}": torch.from_numpy(np.array(value)) for name, value in tensors.items()},
              str(path))
    return Adapter.open(str(path)).layers[stem]


def _kron(one, other):
    """[a, c] with [b, d, ...], from the definition."""
    (a, c), (b, d), taps = one.shape, other.shape[:2], other.shape[2:]
    return np.einsum("ij,pq...->ipjq...", one, other).reshape(a * b, c * d, *taps)


def _tucker(mid, left, right):
    return np.einsum("ijhw,io,jn->onhw", mid, left, right)


@st.composite
def lohas(draw):
    """Tensors of a LoHa, and the update that they mean."""
    out, inputs, r = draw(st.integers(1, 7)), draw(st.integers(1, 7)), draw(st.integers(1, 3))
    kernel, form = draw(st.sampled_from([(1, 1), (3, 3), (1, 3)])), draw(st.sampled_from(["flat", "4-D", "tucker"]))
    alpha = draw(st.sampled_from([None, 1.0, 3.0]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    tensors, sides = {}, []
    for n in "12":
        if form == "tucker":
            t, a, b = rng.normal(size=(r, r, *kernel)), rng.normal(size=(r, out)), rng.normal(size=(r, inputs))
            tensors |= {f"hada_t{n}": t, f"hada_w{n}_a": a, f"hada_w{n}_b": b}
            sides.append(_tucker(t, a, b).reshape(out, -1))
        else:
            a, b = rng.normal(size=(out, r)), rng.normal(size=(r, inputs, *kernel))
            sides.append(a @ b.reshape(r, -1))
            four = form == "4-D"
            tensors |= {f"hada_w{n}_a": a[..., None, None] if four else a,
                        f"hada_w{n}_b": b if four else b.reshape(r, -1)}
    if alpha is not None:
        tensors["alpha"] = np.array(alpha)
    return tensors, (1.0 if alpha is None else alpha / r) * sides[0] * sides[1]


@st.composite
def lokrs(draw):
    a, b, c, d = (draw(st.integers(1, 4)) for _ in range(4))
    r, kernel = draw(st.integers(1, 3)), draw(st.sampled_from([(), (1, 1), (3, 3)]))
    first, second = draw(st.sampled_from(["whole", "two"])), draw(st.sampled_from(["whole", "two", "tucker"]))
    alpha = draw(st.sampled_from([None, 1.0, 3.0]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    tensors, factorised = {}, False
    if first == "whole":
        one = tensors["lokr_w1"] = rng.normal(size=(a, c))
    else:
        left, right = tensors["lokr_w1_a"], tensors["lokr_w1_b"] = rng.normal(size=(a, r)), rng.normal(size=(r, c))
        one, factorised = left @ right, True
    if second == "whole":
        other = tensors["lokr_w2"] = rng.normal(size=(b, d, *kernel))
    elif second == "tucker" and kernel:
        mid, left, right = rng.normal(size=(r, r, *kernel)), rng.normal(size=(r, b)), rng.normal(size=(r, d))
        tensors |= {"lokr_t2": mid, "lokr_w2_a": left, "lokr_w2_b": right}
        other, factorised = _tucker(mid, left, right), True
    else:
        left, right = rng.normal(size=(b, r)), rng.normal(size=(r, d, *kernel))
        tensors |= {"lokr_w2_a": left, "lokr_w2_b": right.reshape(r, -1)}
        other, factorised = (left @ right.reshape(r, -1)).reshape(b, d, *kernel), True
    if alpha is not None:
        tensors["alpha"] = np.array(alpha)
    scale = alpha / r if alpha is not None and factorised else 1.0
    return tensors, scale * _kron(one, other).reshape(a * b, -1)


@given(case=st.one_of(lohas(), lokrs()), share=st.floats(0.0, 1.0))
def test_factors_cuts_and_distances_are_those_of_the_dense_update(tmp_path_factory, case, share):
    tensors, dense = case
    layer = _layer(tmp_path_factory.mktemp("a"), tensors)
    assert isinstance(layer, (LohaLayer, LokrLayer))
    size = np.linalg.norm(dense)
    assert layer.delta().shape == dense.shape
    assert np.abs(layer.delta() - dense).max() <= 1e-12 * size
    core, true = layer.core(exact=True), np.linalg.svd(dense, compute_uv=False)
    sigma = np.zeros(max(len(core.sigma), len(true)))
    sigma[:len(core.sigma)] = core.sigma * abs(layer.scale)
    assert (np.diff(sigma) <= 1e-12 * size).all()
    assert np.abs(sigma[:len(true)] - true).max() <= 1e-12 * size and (sigma[len(true):] <= 1e-12 * size).all()
    rank = max(1, round(share * len(core.sigma)))
    up, down = core.truncate(rank)
    lost = np.linalg.norm(layer.scale * (up @ down) - dense)
    assert lost == pytest.approx(np.sqrt(np.square(true[rank:]).sum()), abs=1e-11 * size)
    # The Gram form of a distance is only asked for what is above its floor.
    far = up + np.linalg.norm(up)
    assert layer.distance(far, down) == pytest.approx(np.linalg.norm(far @ down - dense / layer.scale), rel=1e-9)
    assert abs(layer.scale) * layer.norm() == pytest.approx(size, rel=1e-9)


def test_a_flat_convolution_has_the_kernel_of_its_base_model(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(320, 2)), rng.normal(size=(2, 320 * 9))
    layer = _layer(tmp_path, {f"hada_w{n}_{s}": v for n in "12" for s, v in (("a", a), ("b", b))}, CONV)
    assert layer.shape == (320, 320, 3, 3) and layer.is_spatial and layer.as_lora(5) == ((320, 5, 1, 1), (5, 320, 3, 3))


def test_an_alpha_without_a_factorised_part_means_nothing(tmp_path):
    tensors = {"lokr_w1": np.ones((2, 2)), "lokr_w2": np.ones((3, 3)), "alpha": np.array(1e10)}
    layer = _layer(tmp_path, tensors)
    assert layer.scale == 1.0 and np.array_equal(layer.delta(), np.ones((6, 6)))


FAULTS = (
    ({"hada_w1_a": (4, 2), "hada_w1_b": (2, 5), "hada_w2_a": (4, 2)}, "UNPAIRED", "hada_w2_b"),
    ({"hada_w1_a": (4, 2), "hada_w1_b": (3, 5), "hada_w2_a": (4, 2), "hada_w2_b": (2, 5)}, "RANK_MISMATCH", "hada"),
    ({"hada_w1_a": (4, 2), "hada_w1_b": (2, 5), "hada_w2_a": (4, 2), "hada_w2_b": (2, 6)}, "SHAPE", "sides"),
    ({"hada_w1_a": (4,), "hada_w1_b": (2, 5), "hada_w2_a": (4, 2), "hada_w2_b": (2, 5)}, "SHAPE", "no matrix"),
    ({"hada_t1": (2, 2, 3, 3), "hada_w1_a": (2, 4), "hada_w1_b": (2, 5), "hada_w2_a": (2, 4), "hada_w2_b": (2, 5)},
     "UNPAIRED", "hada_t2"),
    ({"lokr_w1": (2, 2)}, "UNPAIRED", "lokr_w2"),
    ({"lokr_w1_a": (2, 2), "lokr_w2": (2, 2)}, "UNPAIRED", "lokr_w1_b"),
    ({"lokr_w1": (2, 2), "lokr_w2_a": (4, 2), "lokr_w2_b": (3, 4)}, "RANK_MISMATCH", "rank"),
    ({"lokr_w1": (2,), "lokr_w2": (2, 2)}, "SHAPE", "no matrix"),
)


@pytest.mark.parametrize(("tensors", "fault", "words"), FAULTS)
def test_factors_that_do_not_fit_are_named(tmp_path, tensors, fault, words):
    layer = _layer(tmp_path, {name: np.ones(shape) for name, shape in tensors.items()})
    with Adapter.open(str(tmp_path / "a.safetensors")) as adapter:
        found = adapter.shapes[STEM]
    assert isinstance(layer, CarriedLayer)
    assert found.fault == fault and words in found.message


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(12, 18)
        self.conv = torch.nn.Conv2d(4, 6, 3)
        self.point = torch.nn.Conv2d(4, 6, 1)


def _configs():
    from peft import LoHaConfig, LoKrConfig

    modules = ["linear", "conv", "point"]
    for effective in (False, True):
        yield LoHaConfig(r=3, alpha=5, target_modules=modules, use_effective_conv2d=effective, init_weights=False)
        for both in (False, True):
            yield LoKrConfig(r=2, alpha=5, target_modules=modules, use_effective_conv2d=effective,
                             decompose_both=both, init_weights=False)
    # Two whole parts: only the configuration knows what alpha is divided by.
    yield LoKrConfig(r=64, alpha=5, target_modules=modules, rank_pattern={"linear": 48}, init_weights=False)


@pytest.mark.parametrize("number", range(7))
def test_what_peft_saves_means_what_peft_applies(tmp_path, number):
    from peft import get_peft_model

    torch.manual_seed(0)
    model = get_peft_model(Small(), list(_configs())[number])
    model.save_pretrained(str(tmp_path))
    said = json.loads((tmp_path / "adapter_config.json").read_text())
    with Adapter.open(str(tmp_path)) as adapter:
        layers = {layer.group.name: layer for layer in adapter.factored_layers}
        assert layers.keys() == {"linear", "conv", "point"} and said["peft_type"] in ("LOHA", "LOKR")
        for name, layer in layers.items():
            true = model.base_model.model.get_submodule(name).get_delta_weight("default").detach().double().numpy()
            true = true.reshape(true.shape[0], -1)
            assert np.abs(layer.delta() - true).max() <= 1e-6 * np.abs(true).max(), name
