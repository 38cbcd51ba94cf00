"""What a LoRA layer means: against torch's own convolutions, and the judgement of shapes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from loratool.adapter.adapter import Adapter
from loratool.adapter.layer import CarriedLayer
from loratool.adapter.lora import LoraLayer, read_shapes

STEM = "lora_unet_down_blocks_0_resnets_0_conv1"


def _only(tmp_path, tensors):
    path = tmp_path / "a.safetensors"
    save_file({f"{STEM}.{k}": v.contiguous() for k, v in tensors.items()}, str(path))
    return Adapter.open(str(path)).layers[STEM]


def _random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape))).to(dtype)


@pytest.mark.parametrize("kernel", ((3, 3), (1, 3), (1, 1)))
def test_a_locon_layer_is_down_then_up_as_convolutions(tmp_path, kernel):
    down, up = _random(4, 6, *kernel), _random(10, 4, 1, 1)
    layer = _only(tmp_path, {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(2.0)})
    image = _random(1, 6, 9, 8, seed=5).double()
    expected = 0.5 * F.conv2d(F.conv2d(image, down.double()), up.double())
    weight = torch.from_numpy(layer.delta()).reshape(layer.shape)
    assert layer.shape == (10, 6, *kernel)
    assert torch.allclose(F.conv2d(image, weight), expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


@pytest.mark.parametrize("inner_rank", (4, 3))
def test_a_mid_layer_is_down_then_mid_then_up_as_convolutions(tmp_path, inner_rank):
    down, mid, up = _random(inner_rank, 6, 1, 1), _random(4, inner_rank, 3, 3), _random(10, 4, 1, 1)
    layer = _only(tmp_path, {"lora_down.weight": down, "lora_mid.weight": mid, "lora_up.weight": up,
                             "alpha": torch.tensor(1.0)})
    image = _random(1, 6, 9, 8, seed=5).double()
    expected = 0.25 * F.conv2d(F.conv2d(F.conv2d(image, down.double()), mid.double()), up.double())
    weight = torch.from_numpy(layer.delta()).reshape(layer.shape)
    assert layer.has_mid and layer.kernel == (3, 3) and layer.is_spatial
    assert torch.allclose(F.conv2d(image, weight), expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16, torch.float32, torch.float64))
def test_a_linear_layer_is_scale_times_up_down(tmp_path, dtype):
    down, up = _random(4, 12, dtype=dtype), _random(10, 4, dtype=dtype)
    layer = _only(tmp_path, {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(3.0, dtype=dtype)})
    assert np.allclose(layer.delta(), 0.75 * (up.double() @ down.double()).numpy(), rtol=1e-14, atol=1e-14)
    assert layer.shape == (10, 12) and not layer.is_spatial and layer.rank == 4


def test_no_alpha_is_scale_one_and_zero_alpha_is_no_effect(tmp_path):
    down, up = _random(4, 12), _random(10, 4)
    layer = _only(tmp_path, {"lora_A.weight": down, "lora_B.weight": up})
    assert np.allclose(layer.delta(), (up.double() @ down.double()).numpy(), rtol=1e-14, atol=1e-14)
    layer = _only(tmp_path, {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(0.0)})
    assert layer.scale == 0.0 and not layer.delta().any()


@pytest.mark.parametrize(("up", "down", "mid", "fault"), (
    (None, (4, 8), None, "UNPAIRED"),
    ((8, 4), None, None, "UNPAIRED"),
    ((640, 4), (3, 320), None, "RANK_MISMATCH"),
    ((320, 4), (3, 320), None, "RANK_MISMATCH"),
    ((8, 4, 3, 3), (4, 8, 1, 1), None, "RANK_MISMATCH"),
    ((8, 4), (4,), None, "SHAPE"),
    ((8, 0), (0, 8), None, "SHAPE"),
    ((4, 16), (16, 4), None, "SWAPPED"),
    ((4, 320), (640, 4), None, "SWAPPED"),
    ((8, 4, 1, 1), (4, 6, 1, 1), (5, 4, 3, 3), "RANK_MISMATCH"),
    ((8, 4, 1, 1), (4, 6, 3, 3), (4, 4, 3, 3), "RANK_MISMATCH"),
))
def test_shapes_that_imply_no_update_are_named(up, down, mid, fault):
    shapes = read_shapes(up, down, mid)
    assert shapes.fault == fault and shapes.message


@pytest.mark.parametrize(("up", "down", "mid", "expected"), (
    ((8, 4), (4, 6), None, (8, 6, 4, ())),
    ((8, 4, 1, 1), (4, 6, 3, 3), None, (8, 54, 4, (3, 3))),
    ((8, 4, 1, 1), (4, 6, 1, 1), (4, 4, 3, 3), (8, 54, 4, (3, 3))),
    ((8, 4), (4, 6, 1, 1), None, (8, 6, 4, (1, 1))),
    ((8, 4, 1, 1, 1), (4, 6, 3, 1, 1), None, (8, 18, 4, (3, 1, 1))),
    ((4, 16, 1, 1), (16, 320, 3, 3), None, (4, 2880, 16, (3, 3))),
    ((8, 8), (8, 8), None, (8, 8, 8, ())),
))
def test_shapes_that_imply_an_update_are_read(up, down, mid, expected):
    shapes = read_shapes(up, down, mid)
    assert (shapes.out, shapes.inner, shapes.rank, shapes.kernel, shapes.fault) == (*expected, "")


@pytest.mark.parametrize("extra", ("dora_scale", "hada_w1_a"))
def test_a_layer_with_more_than_lora_is_carried_not_computed(tmp_path, extra):
    layer = _only(tmp_path, {"lora_down.weight": _random(4, 12), "lora_up.weight": _random(10, 4), extra: _random(10)})
    assert isinstance(layer, CarriedLayer) and layer.why


@pytest.mark.parametrize("extra", ("lora_up.bias", "diff_b"))
def test_a_bias_stands_beside_the_factors(tmp_path, extra):
    layer = _only(tmp_path, {"lora_down.weight": _random(4, 12), "lora_up.weight": _random(10, 4), extra: _random(10)})
    assert isinstance(layer, LoraLayer) and len(layer.extras) == 1
