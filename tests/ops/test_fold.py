"""Moving a scale into stored bits: exactness judged by exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loratool.ops import fold

KINDS = {"F64": (torch.float64, np.uint64), "F32": (torch.float32, np.uint32), "F16": (torch.float16, np.uint16),
         "BF16": (torch.bfloat16, np.uint16), "F8_E4M3": (torch.float8_e4m3fn, np.uint8),
         "F8_E5M2": (torch.float8_e5m2, np.uint8)}


def _bits(values, dtype):
    """Values rounded by torch, as the stored bits."""
    kind, unsigned = KINDS[dtype]
    tensor = torch.tensor(values, dtype=torch.float64).to(kind)
    return np.frombuffer(bytes(tensor.contiguous().view(torch.uint8).flatten().tolist()), unsigned).reshape(np.shape(values))


def _values(bits, dtype):
    return torch.frombuffer(bytearray(bits.tobytes()), dtype=KINDS[dtype][0]).double().numpy().reshape(bits.shape)


def _exact_under(value: float, power: int, dtype: str) -> bool:
    """Whether value * 2**power is a finite number of the dtype, by torch's rounding and exact fractions."""
    wanted = Fraction(value) * Fraction(2) ** power
    if abs(wanted) > Fraction(2) ** 1023:
        return False
    stored = torch.tensor(float(wanted), dtype=torch.float64).to(KINDS[dtype][0]).double().item()
    return np.isfinite(stored) and Fraction(stored) == wanted


@pytest.mark.parametrize("dtype", ("F16", "BF16", "F8_E5M2"))
@pytest.mark.parametrize("power", (-20, -7, -1, 1, 3, 12))
def test_every_value_is_judged_as_exact_arithmetic_judges_it(dtype, power):
    unsigned = KINDS[dtype][1]
    bits = np.arange(np.iinfo(unsigned).max + 1, dtype=np.int64).astype(unsigned)
    bits = bits[np.isfinite(_values(bits, dtype))][:: 1 if dtype == "F8_E5M2" else 37]
    expected = sum(not _exact_under(v, power, dtype) for v in _values(bits, dtype).tolist())
    assert fold.lossy(bits, dtype, power) == expected


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(("F64", "F32")), st.integers(-160, 160), st.floats(width=32, allow_nan=False, allow_infinity=False))
@example("F32", -112, 9.999999747378752e-06)
def test_wide_values_are_judged_as_exact_arithmetic_judges_them(dtype, power, value):
    assert fold.lossy(_bits([value], dtype), dtype, power) == (not _exact_under(_values(_bits([value], dtype), dtype)[0], power, dtype))


def test_no_shift_loses_nothing():
    assert fold.lossy(_bits([6e-8, 65504.0], "F16"), "F16", 0) == 0


@pytest.mark.parametrize(("value", "expected"), ((1.0, True), (0.5, True), (2.0**-40, True), (8.0, True), (3.0, False),
                                                 (0.0, False), (-2.0, False), (0.75, False)))
def test_powers_of_two_are_known(value, expected):
    assert fold.is_power_of_two(value) is expected


@pytest.mark.parametrize("dtype", ("F16", "BF16", "F32"))
@pytest.mark.parametrize("scale", (0.5, 0.0625, 2.0, 1 / 3, 1.5))
def test_all_of_the_scale_goes_into_up_where_up_can_take_it(dtype, scale):
    values = _bits([[0.5, -0.25], [1.0, 3.0]], dtype)
    assert fold.choose(values, values, (dtype, dtype), scale) == (scale, 1.0)


def test_scale_one_moves_nothing():
    values = _bits([[6e-8]], "F16")
    assert fold.choose(values, values, ("F16", "F16"), 1.0) == (1.0, 1.0)


@pytest.mark.parametrize("scale", (0.0, -0.5, -3.0))
def test_zero_and_negative_scales_go_into_up(scale):
    values = _bits([[0.5]], "F32")
    assert fold.choose(values, values, ("F32", "F32"), scale) == (scale, 1.0)


def test_down_takes_a_power_of_two_that_up_cannot():
    tiny, plain = _bits([[2.0**-22, 3 * 2.0**-24]], "F16"), _bits([[0.5], [1.0]], "F16")
    assert fold.choose(tiny, plain, ("F16", "F16"), 2.0**-6) == (1.0, 2.0**-6)
    huge = _bits([[60000.0, 40000.0]], "F16")
    assert fold.choose(huge, plain, ("F16", "F16"), 8.0) == (1.0, 8.0)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(("F16", "BF16", "F32")), st.floats(1e-6, 1e6), st.floats(1e-6, 1e3), st.floats(1e-6, 1e3))
def test_the_shares_multiply_to_the_scale(dtype, scale, size_up, size_down):
    rng = np.random.default_rng(0)
    up, down = (_bits(rng.standard_normal((6, 2)) * s, dtype) for s in (size_up, size_down))
    shares = fold.choose(up, down, (dtype, dtype), scale)
    assert shares[0] * shares[1] == pytest.approx(scale, rel=1e-15)
    assert shares[1] == 1.0 or fold.is_power_of_two(shares[1])


def test_another_scale_than_a_power_of_two_keeps_up_out_of_the_subnormals():
    rng = np.random.default_rng(0)
    up, down = _bits(rng.standard_normal((64, 4)) * 1e-3, "F16"), _bits(rng.standard_normal((4, 64)), "F16")
    shares = fold.choose(up, down, ("F16", "F16"), 0.01)
    size = np.sqrt(np.square(_values(up, "F16")).mean()) * shares[0]
    assert size >= 2.0**-11 and shares[1] < 1.0
