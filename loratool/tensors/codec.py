"""Stored numbers to float64 and back, each conversion rounded once.

numpy's ``astype(float16)`` is 50 times slower on subnormal results, so those are made by integer
arithmetic; going through float32 without care would round twice.
"""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from .dtypes import FLOATS

Array = np.ndarray


def decode(raw: bytes, dtype: str, shape: tuple[int, ...]) -> Array:
    """float64 [shape] of the stored bytes; exact.

    Raises InputError for a dtype that is not a floating-point number.
    """
    with np.errstate(invalid="ignore"):  # a signalling NaN is a value like any other here
        if dtype in _PLAIN:
            flat = np.frombuffer(raw, _PLAIN[dtype]).astype(np.float64, copy=False)
        elif dtype == "BF16":
            flat = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        elif dtype in ("F8_E4M3", "F8_E5M2"):
            flat = _fp8_values(dtype)[np.frombuffer(raw, np.uint8)]
        else:
            raise InputError(f"holds {dtype}, which is not a floating-point weight")
    return flat.reshape(shape)


_PLAIN = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def encode(values: Array, dtype: str) -> bytes:
    """The bytes of ``values`` rounded to nearest, ties to even, once.

    Values beyond the range become infinite (NaN for F8_E4M3): compare with ``largest`` first.
    """
    if dtype == "F64":
        return values.astype("<f8").tobytes()
    if dtype == "F32":
        with np.errstate(over="ignore"):
            return values.astype("<f4").tobytes()
    if dtype == "F16":
        return _to_f16(values).tobytes()
    if dtype == "BF16":
        return _to_bf16(values).tobytes()
    if dtype in ("F8_E4M3", "F8_E5M2"):
        return _to_fp8(values, dtype).tobytes()
    raise InputError(f"cannot write weights as {dtype}")


def rounded(values: Array, dtype: str) -> tuple[bytes, Array]:
    """The stored bytes, and what a reader will see in them (float64)."""
    raw = encode(values, dtype)
    return raw, decode(raw, dtype, values.shape)


def holds(value: float, dtype: str) -> bool:
    """Whether ``dtype`` stores ``value`` exactly."""
    if dtype not in FLOATS:
        return False
    one = np.array(value, np.float64)
    return bool(rounded(one, dtype)[1] == one)


def largest(dtype: str) -> float:
    """The largest finite number of ``dtype``."""
    return {"F64": 1.7976931348623157e308, "F32": 3.4028234663852886e38, "F16": 65504.0,
            "BF16": 3.3895313892515355e38, "F8_E4M3": 448.0, "F8_E5M2": 57344.0}[dtype]


def all_finite(raw: bytes, dtype: str) -> bool:
    """Whether no stored value is NaN or infinite."""
    return extent(raw, dtype)[0]


def _to_f16(values: Array) -> Array:
    wide = np.asarray(values, np.float64).ravel()
    size = np.abs(wide)
    small = np.flatnonzero(size < 2.0 ** -14)              # subnormal, step 2**-24
    with np.errstate(over="ignore", invalid="ignore"):
        if not small.size:
            return wide.astype("<f2")
        rest = wide.copy()
        rest[small] = 0.0
        found = rest.astype("<f2")
    bits = found.view("<u2")
    sign = np.signbit(wide[small]).astype(np.uint16) << 15
    bits[small] = np.rint(size[small] * 16777216.0).astype(np.uint16) | sign
    return found


def _to_bf16(values: Array) -> Array:
    wide = np.asarray(values, np.float64).ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        single = wide.astype(np.float32)
    bits = single.view(np.uint32)
    size = bits & 0x7FFFFFFF
    kept = (size + 0x7FFF + (size >> 16 & 1)) >> 16
    _mend_ties(kept, size, wide, single, 16)
    kept[size > 0x7F800000] = 0x7FC0
    return (kept | (bits >> 16 & 0x8000)).astype("<u2")


def _mend_ties(kept: Array, size: Array, wide: Array, single: Array, dropped: int) -> None:
    """Decide ties that exist only because float64 was rounded to float32 on the way."""
    half = 1 << (dropped - 1)
    ties = np.flatnonzero((size & (2 * half - 1)) == half)
    if not ties.size:
        return
    true, seen = np.abs(wide[ties]), np.abs(single[ties].astype(np.float64))
    even = (size[ties] >> dropped) & 1
    kept[ties] += ((true > seen) & (even == 0)).astype(np.uint32)
    kept[ties] -= ((true < seen) & (even == 1)).astype(np.uint32)


_FP8: dict[str, Array] = {}


def _fp8_values(dtype: str) -> Array:
    """All 256 values of an 8-bit float, float64 [256]."""
    if dtype not in _FP8:
        exponent_bits, bias = (4, 7) if dtype == "F8_E4M3" else (5, 15)
        mantissa_bits = 7 - exponent_bits
        code = np.arange(256)
        exponent = code >> mantissa_bits & (1 << exponent_bits) - 1
        fraction = (code & (1 << mantissa_bits) - 1) / (1 << mantissa_bits)
        value = np.where(exponent == 0, fraction * 2.0 ** (1 - bias),
                         (1 + fraction) * 2.0 ** (exponent - float(bias)))
        if dtype == "F8_E4M3":
            value[code & 0x7F == 0x7F] = np.nan
        else:
            value[exponent == 31] = np.where(fraction[exponent == 31] == 0, np.inf, np.nan)
        _FP8[dtype] = np.where(code >> 7, -value, value)
    return _FP8[dtype]


def _to_fp8(values: Array, dtype: str) -> Array:
    table = _fp8_values(dtype)[:128]
    finite = table[np.isfinite(table)]
    size = np.abs(np.asarray(values, np.float64).ravel())
    upper = np.searchsorted(finite, size).clip(0, len(finite) - 1)
    lower = (upper - 1).clip(0)
    to_upper, to_lower = np.abs(finite[upper] - size), np.abs(size - finite[lower])
    code = np.where((to_upper < to_lower) | ((to_upper == to_lower) & (upper % 2 == 0)), upper, lower)
    edge = finite[-1] + (finite[-1] - finite[-2]) / 2
    beyond = (size > edge) | ((size == edge) & (len(finite) % 2 == 0))   # a tie goes to the even code
    code[beyond] = 0x7F if dtype == "F8_E4M3" else 0x7C
    code[np.isnan(size)] = 0x7F
    sign = np.signbit(np.asarray(values, np.float64).ravel()).astype(np.uint8) << 7
    return (code.astype(np.uint8) | sign).astype(np.uint8)


def extent(raw: bytes, dtype: str) -> tuple[bool, bool]:
    """Whether all stored values are finite, and whether all are zero, from the bits alone.

    One pass at memory speed; a dtype without such values is finite and judged by its bytes.
    """
    if not raw:
        return True, False
    if dtype in _HALVES:
        mask, limit, kind = _HALVES[dtype]
        top = int((np.frombuffer(raw, kind) & np.dtype(kind).type(mask)).max())
        return top < limit, top == 0
    if dtype in FLOATS:
        values = decode(raw, dtype, (-1,))
        return bool(np.isfinite(values).all()), not values.any()
    return True, not np.frombuffer(raw, np.uint8).any()


_HALVES = {"F16": (0x7FFF, 0x7C00, "<u2"), "BF16": (0x7FFF, 0x7F80, "<u2"),
           "F32": (0x7FFFFFFF, 0x7F800000, "<u4")}
"""Without the sign, the bits of a float order like its size; infinity is the first value too large."""
