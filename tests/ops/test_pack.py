"""Factors into stored bytes: rounding by torch, range of the dtype."""

import numpy as np
import pytest
import torch

from loratool.errors import Unsound
from loratool.ops.pack import alpha_bytes, alpha_seen, alpha_spec, pack

KINDS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
UNIT = {"F32": 2.0**-24, "F16": 2.0**-11, "BF16": 2.0**-8}


def _factors(size_up=0.1, size_down=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((40, 4)) * size_up, rng.standard_normal((4, 30)) * size_down


def _stored(raw, dtype, shape):
    return torch.frombuffer(bytearray(raw), dtype=KINDS[dtype]).double().numpy().reshape(shape)


@pytest.mark.parametrize("dtype", ("F64", "F32", "F16", "BF16"))
def test_factors_in_range_are_rounded_once_as_torch_rounds(dtype):
    up, down = _factors()
    packed = pack(up, down, (dtype, dtype), "k")
    for raw, values in ((packed.up, up), (packed.down, down)):
        expected = torch.from_numpy(values).to(KINDS[dtype])
        assert np.array_equal(_stored(raw, dtype, values.shape), expected.double().numpy())


@pytest.mark.parametrize("dtypes", (("F16", "F16"), ("F32", "F16"), ("BF16", "F32")))
def test_what_is_reported_as_seen_is_what_is_stored(dtypes):
    up, down = _factors()
    packed = pack(up, down, dtypes, "k")
    assert np.array_equal(packed.up_seen, _stored(packed.up, dtypes[0], up.shape))
    assert np.array_equal(packed.down_seen, _stored(packed.down, dtypes[1], down.shape))


@pytest.mark.parametrize(("size_up", "size_down"), ((1e7, 1e-5), (1e-5, 1e7), (1e-7, 1.0), (1.0, 1e-7), (1e-9, 1e5)))
def test_factors_out_of_the_range_of_half_are_balanced(size_up, size_down):
    up, down = _factors(size_up, size_down)
    packed = pack(up, down, ("F16", "F16"), "k")
    got, true = packed.up_seen @ packed.down_seen, up @ down
    assert np.linalg.norm(got - true) < 2 * UNIT["F16"] * np.linalg.norm(true)


def test_balancing_moves_a_power_of_two_only():
    """The product in float32 is bit for bit what it would be without the move."""
    up, down = _factors(1e7, 1e-5)
    packed = pack(up, down, ("F16", "F16"), "k")
    ratio = packed.up_seen / torch.from_numpy(up / 2.0**20).half().double().numpy()
    assert np.unique(ratio).size == 1 and np.log2(ratio.flat[0]).is_integer()


@pytest.mark.parametrize("dtype", ("F16", "BF16", "F32"))
def test_a_product_that_no_balance_holds_is_refused(dtype):
    size = {"F16": 1e6, "BF16": 1e39, "F32": 1e39}[dtype]
    with pytest.raises(Unsound) as error:
        pack(*_factors(size, size), (dtype, dtype), "the.key")
    assert error.value.key == "the.key"


@pytest.mark.parametrize("dtype", ("F16", "F32"))
def test_zero_factors_stay_zero(dtype):
    up, down = _factors()
    for a, b in ((up * 0, down), (up, down * 0), (up * 0, down * 0)):
        packed = pack(a, b, (dtype, dtype), "k")
        assert not (packed.up_seen @ packed.down_seen).any()


@pytest.mark.parametrize(("value", "dtype", "stored"), (
    (16.0, "F16", "F16"), (2048.0, "F16", "F16"), (2049.0, "F16", "F32"), (256.0, "BF16", "BF16"), (257.0, "BF16", "F32"),
    (0.5, "BF16", "BF16"), (1 / 3, "F16", "F32"), (2 / 3, "F32", "F32"), (5.0, "I64", "F32"), (0.0, "I64", "F32"),
    (1e300, "F16", "F64"), (1e-50, "F16", "F64"), (3e-46, "F32", "F64")))
def test_alpha_is_stored_where_it_is_exact(value, dtype, stored):
    spec = alpha_spec("a.alpha", value, dtype)
    assert spec.dtype == stored
    seen = _stored(alpha_bytes(spec, value), spec.dtype, ())
    assert seen == value or (stored == "F32" and seen == np.float32(value))
    assert alpha_seen(spec, value) == seen


@pytest.mark.parametrize("shape", ((), (1,)))
def test_alpha_keeps_its_shape(shape):
    spec = alpha_spec("a.alpha", 4.0, "F16", shape)
    assert spec.shape == shape and len(alpha_bytes(spec, 4.0)) == 2 == spec.nbytes
