"""Stored numbers and float64: exact one way, rounded once the other way.

The oracle is built from the definition of a binary float (sign, exponent, fraction), with no
conversion by numpy or torch: rounding is fully described by what happens at each midpoint between
two neighbours, and just beside it.
"""

import itertools
import math
import struct
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loratool.errors import InputError
from loratool.tensors import codec
from loratool.tensors.dtypes import BITS, FLOATS, MANTISSA
from loratool.tensors.scalar import number

SETTINGS = settings(max_examples=300, deadline=None, database=None)
TORCH = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
         "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
CODES = {"F16": "<u2", "BF16": "<u2", "F8_E4M3": "u1", "F8_E5M2": "u1"}
SMALL = {"F16": (5, 10), "BF16": (8, 7), "F8_E4M3": (4, 3), "F8_E5M2": (5, 2)}
"""Exponent and mantissa bits."""
BEYOND = {"F16": 0x7C00, "BF16": 0x7F80, "F8_E4M3": 0x7F, "F8_E5M2": 0x7C}
"""The first code that is no finite number."""


def value_of(code, exponent_bits, mantissa_bits):
    bias = (1 << exponent_bits - 1) - 1
    exponent, mantissa = code >> mantissa_bits, code & (1 << mantissa_bits) - 1
    if exponent == 0:
        return math.ldexp(mantissa, 1 - bias - mantissa_bits)
    return math.ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits)


LADDER = {dtype: [value_of(code, *SMALL[dtype]) for code in range(BEYOND[dtype] + 1)] for dtype in SMALL}
"""All non-negative values; the last is the one that the format would need next and does not have."""


def codes(values, dtype):
    return np.frombuffer(codec.encode(np.asarray(values, np.float64), dtype), CODES[dtype])


def patterns(dtype):
    return np.arange(1 << BITS[dtype]).astype(CODES[dtype])


def of_torch(raw, dtype):
    return torch.frombuffer(bytearray(raw), dtype=TORCH[dtype]).to(torch.float64).numpy()


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("dtype", SMALL)
def test_every_pattern_decodes_to_its_value(dtype):
    everything = patterns(dtype)
    found = codec.decode(everything.tobytes(), dtype, everything.shape)
    assert found.dtype == np.float64
    half = len(everything) // 2
    finite = LADDER[dtype][:-1]
    np.testing.assert_array_equal(found[:len(finite)], finite)
    np.testing.assert_array_equal(found[half:half + len(finite)], [-v for v in finite])
    assert np.signbit(found[half]) and not np.signbit(found[0])
    np.testing.assert_array_equal(found, of_torch(everything.tobytes(), dtype))


@pytest.mark.parametrize("dtype", SMALL)
def test_no_pattern_makes_numpy_warn(dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codec.decode(patterns(dtype).tobytes(), dtype, (-1,))


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("dtype", SMALL)
def test_every_pattern_survives_decode_and_encode(dtype):
    everything = patterns(dtype)
    values = codec.decode(everything.tobytes(), dtype, everything.shape)
    again = codes(values, dtype)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(again[numbers], everything[numbers])
    assert np.isnan(codec.decode(again[~numbers].tobytes(), dtype, (-1,))).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("dtype", SMALL)
def test_every_midpoint_goes_to_even_and_its_neighbours_to_their_side(dtype, sign):
    ladder = np.array(LADDER[dtype])
    lower = np.arange(len(ladder) - 1)
    middle = (ladder[:-1] + ladder[1:]) / 2
    assert all(Fraction(m) * 2 == Fraction(a) + Fraction(b)
               for m, a, b in itertools.islice(zip(middle, ladder, ladder[1:], strict=False), 0, None, 97))
    bit = 0 if sign > 0 else 1 << BITS[dtype] - 1
    np.testing.assert_array_equal(codes(sign * middle, dtype) ^ bit, lower + lower % 2)
    np.testing.assert_array_equal(codes(sign * np.nextafter(middle, 0), dtype) ^ bit, lower)
    np.testing.assert_array_equal(codes(sign * np.nextafter(middle, np.inf), dtype) ^ bit, lower + 1)


def nearest(value, dtype):
    """The code of a finite float64 by exact comparison."""
    ladder, size = LADDER[dtype], abs(Fraction(value))
    low, high = 0, len(ladder) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if Fraction(ladder[middle]) <= size else (low, middle)
    to_low, to_high = size - Fraction(ladder[low]), Fraction(ladder[high]) - size
    code = low if to_low < to_high or (to_low == to_high and low % 2 == 0) else high
    return code | (int(math.copysign(1, value) < 0) << BITS[dtype] - 1)


@pytest.mark.parametrize("dtype", SMALL)
def test_any_number_is_rounded_once(dtype):
    @given(st.floats(allow_nan=False, allow_infinity=False)
           | st.floats(-2 * LADDER[dtype][-1], 2 * LADDER[dtype][-1])
           | st.tuples(st.sampled_from(LADDER[dtype]), st.sampled_from(LADDER[dtype]),
                       st.integers(-2, 2)).map(lambda t: math.ldexp(t[0], -1) + math.ldexp(t[1], t[2])))
    @SETTINGS
    def check(value):
        assert codes([value], dtype)[0] == nearest(value, dtype)
    check()


@pytest.mark.parametrize("dtype", SMALL)
def test_a_number_just_off_a_float32_tie_is_not_rounded_twice(dtype):
    step = 2.0 ** -MANTISSA[dtype]
    tie = 1 + step / 2
    assert np.float32(np.nextafter(tie, 2)) == tie
    assert codec.decode(codec.encode(np.array([np.nextafter(tie, 2), tie, np.nextafter(tie, 0)]), dtype),
                        dtype, (3,)).tolist() == [1 + step, 1, 1]


@given(st.floats())
@example(65520.0)
@example(math.nextafter(65520.0, 0))
@example(2.0 ** -25)
@example(-0.0)
@SETTINGS
def test_float16_agrees_with_numpy(value):
    with np.errstate(over="ignore"):
        theirs = np.array([value]).astype(np.float16)
    ours = np.frombuffer(codec.encode(np.array([value]), "F16"), np.float16)
    np.testing.assert_array_equal(ours, theirs)
    assert np.isnan(value) or np.signbit(ours[0]) == np.signbit(value)


@given(st.lists(st.integers(0, 2 ** 32 - 1), min_size=1, max_size=50))
@SETTINGS
def test_float32_input_is_rounded_as_torch_does(bits):
    """But for F8_E4M3 beyond its range: there torch saturates or gives NaN, depending on its version."""
    single = torch.tensor(np.array(bits, np.uint32).view(np.float32))
    values = single.to(torch.float64).numpy()
    for dtype in SMALL:
        theirs = single.to(TORCH[dtype]).to(torch.float64).numpy()
        ours = codec.rounded(values, dtype)[1]
        same = ~(np.abs(values) > 464) if dtype == "F8_E4M3" else slice(None)
        np.testing.assert_array_equal(ours[same], theirs[same], err_msg=dtype)


@given(st.lists(st.floats(), min_size=1, max_size=20))
@SETTINGS
def test_float32_and_float64_agree_with_torch(values):
    wide = torch.tensor(values, dtype=torch.float64)
    for dtype in ("F32", "F64"):
        np.testing.assert_array_equal(codec.rounded(wide.numpy(), dtype)[1],
                                      wide.to(TORCH[dtype]).to(torch.float64).numpy())


@pytest.mark.parametrize("dtype", FLOATS)
def test_zeros_infinities_and_nan(dtype):
    found = codec.rounded(np.array([0.0, -0.0, np.inf, -np.inf, np.nan]), dtype)[1]
    assert (np.signbit(found[:2]) == [False, True]).all() and not found[:2].any()
    if dtype == "F8_E4M3":
        assert np.isnan(found[2:]).all()
    else:
        np.testing.assert_array_equal(found[2:], [np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_largest_number_is_torchs_and_twice_it_overflows(dtype):
    top = codec.largest(dtype)
    assert top == torch.finfo(TORCH[dtype]).max
    with np.errstate(over="ignore"):
        found = codec.rounded(np.array([top, -top, top * 2, -top * 2]), dtype)[1]
    assert found[:2].tolist() == [top, -top]
    assert not np.isfinite(found[2:]).any()


@pytest.mark.parametrize("dtype", FLOATS)
def test_shape_and_size_are_kept(dtype):
    values = np.arange(6.0).reshape(2, 3)
    raw, seen = codec.rounded(values, dtype)
    assert len(raw) == 6 * BITS[dtype] // 8
    np.testing.assert_array_equal(seen, values, strict=True)
    assert codec.rounded(values[:0], dtype)[1].shape == (0, 3)
    assert codec.rounded(np.array(2.0), dtype)[1].shape == ()
    assert codec.encode(values.T, dtype) == codec.encode(values.T.copy(), dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_encoding_leaves_its_argument_alone(dtype):
    values = np.array([1 / 3, -65519.9, 1e-7, np.nan])
    before = values.copy()
    codec.encode(values, dtype)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("dtype", sorted(set(BITS) - set(FLOATS)))
def test_other_dtypes_are_no_weights(dtype):
    with pytest.raises(InputError, match=dtype):
        codec.decode(bytes(8), dtype, (1,))
    with pytest.raises(InputError, match=dtype):
        codec.encode(np.ones(1), dtype)
    assert not codec.holds(0.0, dtype)


@pytest.mark.parametrize("dtype", SMALL)
def test_holds_exactly_the_values_of_the_format(dtype):
    assert all(codec.holds(v, dtype) and codec.holds(-v, dtype) for v in LADDER[dtype][:-1:37])
    assert codec.holds(codec.largest(dtype), dtype)
    for low, high in itertools.islice(itertools.pairwise(LADDER[dtype]), 0, None, 41):
        assert not codec.holds((low + high) / 2, dtype)
    assert not codec.holds(LADDER[dtype][-1], dtype)
    assert not codec.holds(math.nan, dtype)


def test_holds_in_the_wide_dtypes():
    assert codec.holds(0.1, "F64") and not codec.holds(0.1, "F32")
    assert codec.holds(float(np.float32(0.1)), "F32") and not codec.holds(1e39, "F32")


@pytest.mark.parametrize("dtype", FLOATS)
def test_extent_finds_one_bad_value_among_many(dtype):
    one = codec.encode(np.ones(1), dtype)
    odd = [np.nan, -np.nan] + ([] if dtype == "F8_E4M3" else [np.inf, -np.inf])
    assert codec.extent(one * 100, dtype) == (True, False)
    assert codec.all_finite(codec.encode(np.array([codec.largest(dtype)]), dtype), dtype)
    for value in odd:
        raw = one * 50 + codec.encode(np.array([value]), dtype) + one * 49
        assert codec.extent(raw, dtype) == (False, False)
        assert not codec.all_finite(raw, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_extent_finds_all_zero(dtype):
    zeros = codec.encode(np.array([0.0, -0.0] * 20), dtype)
    smallest = codec.encode(np.array([2.0 ** -1074 if dtype == "F64" else 2.0 ** -149 if dtype == "F32"
                                      else LADDER[dtype][1]]), dtype)
    assert codec.extent(zeros, dtype) == (True, True)
    assert codec.extent(zeros + smallest, dtype) == (True, False)
    assert codec.extent(b"", dtype)[0]


@pytest.mark.parametrize("dtype", SMALL)
def test_extent_judges_every_pattern(dtype):
    width = BITS[dtype] // 8
    raw = patterns(dtype).tobytes()
    values = of_torch(raw, dtype)
    for at in range(0, len(values), 1 if width == 1 else 61):
        expected = bool(np.isfinite(values[at])), bool(values[at] == 0)
        assert codec.extent(raw[at * width:(at + 1) * width], dtype) == expected


def test_extent_of_integers_is_about_their_bytes():
    assert codec.extent(bytes(8), "I32") == (True, True)
    assert codec.extent(b"\0\0\0\xff", "I32") == (True, False)


# One number, without numpy

@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_a_scalar_has_the_value_of_its_pattern(dtype):
    ladder = LADDER[dtype]
    for code in range(0, len(ladder) - 1, 29):
        assert number(struct.pack("<H", code), dtype) == ladder[code]
        assert number(struct.pack("<H", code | 0x8000), dtype) == -ladder[code]
    assert number(struct.pack("<H", BEYOND[dtype]), dtype) == math.inf
    assert math.isnan(number(struct.pack("<H", BEYOND[dtype] + 1), dtype))


@pytest.mark.parametrize(("dtype", "kind"), [
    ("F64", torch.float64), ("F32", torch.float32), ("F16", torch.float16), ("BF16", torch.bfloat16),
    ("I64", torch.int64), ("I32", torch.int32), ("I16", torch.int16), ("I8", torch.int8), ("U8", torch.uint8),
    ("U16", torch.uint16), ("U32", torch.uint32), ("U64", torch.uint64),
])
@pytest.mark.parametrize("value", [0, 1, 4, 16, 100])
def test_a_scalar_is_what_torch_stored(dtype, kind, value):
    raw = bytes(torch.tensor([value], dtype=kind).view(torch.uint8).tolist())
    found = number(raw, dtype)
    assert found == value and type(found) is float


def test_a_negative_integer_scalar():
    assert [number(b"\xff" * n, d) for n, d in ((1, "I8"), (2, "I16"), (4, "I32"), (8, "I64"))] == [-1.0] * 4


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2"])
def test_an_eight_bit_scalar_is_what_torch_reads(dtype):
    for code, value in enumerate(of_torch(bytes(range(256)), dtype)):
        assert np.array_equal(number(bytes([code]), dtype), value, equal_nan=True)


@pytest.mark.parametrize("dtype", ["BOOL", "C64", "F4", "F8_E8M0", "F8_E4M3FNUZ"])
def test_a_dtype_that_is_no_plain_number_gives_none(dtype):
    assert number(b"\0" * 8, dtype) is None
