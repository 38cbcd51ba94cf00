"""Factors into stored bytes, kept inside the range of the dtype."""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp

import numpy as np

from ..errors import Unsound
from ..tensors.codec import encode, holds, largest, rounded
from ..tensors.writer import TensorSpec

SMALL = {"F16": 2.0 ** -10, "F8_E4M3": 2.0 ** -4, "F8_E5M2": 2.0 ** -10}
"""Below this root mean square too many values fall under the smallest normal number."""


WIDER = "Make a wider file of it first: `loratool merge FILE --dtype F32`."
SMALLEST_F32 = 2.0 ** -126
"""The smallest normal number: below it F32 loses digits, and in the end the alpha itself."""


@dataclass(frozen=True)
class Packed:
    """The stored bytes of both factors, and what a reader sees in them (float64)."""

    up: bytes
    down: bytes
    up_seen: np.ndarray
    down_seen: np.ndarray


def pack(up: np.ndarray, down: np.ndarray, dtypes: tuple[str, str], key: str) -> Packed:
    """Round both factors once, each to its dtype.

    Where a factor would leave the range of its dtype, a power of two moves between the factors: the
    product stays the same. Raises Unsound when no such power helps.
    """
    shift = _shift(up, down, dtypes)
    if shift:
        up, down = np.ldexp(up, shift), np.ldexp(down, -shift)
    if _too_large(up, dtypes[0]) or _too_large(down, dtypes[1]):
        raise Unsound(f"the weights are too large for {dtypes[0]}", key=key, hint=WIDER)
    raw_up, up_seen = rounded(up, dtypes[0])
    raw_down, down_seen = rounded(down, dtypes[1])
    return Packed(raw_up, raw_down, up_seen, down_seen)


def _too_large(values: np.ndarray, dtype: str) -> bool:
    return bool(np.abs(values).max(initial=0.0) > largest(dtype))


def _shift(up: np.ndarray, down: np.ndarray, dtypes: tuple[str, str]) -> int:
    size_up, size_down = _rms(up), _rms(down)
    if size_up == 0.0 or size_down == 0.0:
        return 0
    if _too_large(up, dtypes[0]) or _too_large(down, dtypes[1]) or _small(size_up, size_down, dtypes):
        return frexp((size_down / size_up) ** 0.5)[1]
    return 0


def _small(size_up: float, size_down: float, dtypes: tuple[str, str]) -> bool:
    return size_up < SMALL.get(dtypes[0], 0.0) or size_down < SMALL.get(dtypes[1], 0.0)


def _rms(values: np.ndarray) -> float:
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.square(values).mean())) if values.size else 0.0


def alpha_spec(name: str, value: float, dtype: str, shape: tuple[int, ...] = ()) -> TensorSpec:
    """An alpha tensor in the weights' dtype where it is exact there, else F32; F64 outside its normal range."""
    if holds(value, dtype):
        return TensorSpec(name, dtype, shape)
    fits = value == 0.0 or SMALLEST_F32 <= abs(value) <= largest("F32")
    return TensorSpec(name, "F32" if fits else "F64", shape)


def alpha_seen(spec: TensorSpec, value: float) -> float:
    """What a reader sees in an alpha tensor: ``value`` rounded once."""
    return float(rounded(np.array(value, np.float64), spec.dtype)[1])


def alpha_bytes(spec: TensorSpec, value: float) -> bytes:
    return encode(np.full(spec.shape, value), spec.dtype)
