"""Moving a scale into the factors, with the fewest rounded values.

Multiplying a floating-point number by a power of two is exact unless it falls under the smallest
normal number or beyond the largest. All of the scale goes into ``up`` and ``down`` stays bit for
bit, except where ``up`` would lose values and ``down`` would not.
"""

from __future__ import annotations

from math import frexp

import numpy as np

from ..tensors.codec import decode
from .origin import Fold
from .pack import SMALL

NONE: Fold = (1.0, 1.0)
_FEW = 0.01
"""The share of values that may lose a bit before another split is looked at."""

_EXPONENT = {"F64": (11, 52), "F32": (8, 23), "F16": (5, 10), "BF16": (8, 7), "F8_E4M3": (4, 3), "F8_E5M2": (5, 2)}


def is_power_of_two(value: float) -> bool:
    return value > 0 and frexp(value)[0] == 0.5


def choose(up: np.ndarray, down: np.ndarray, dtypes: tuple[str, str], scale: float) -> Fold:
    """How to share ``scale`` between the factors, given as stored bits of these dtypes."""
    if scale == 1.0:
        return NONE
    if scale <= 0.0:
        return scale, 1.0
    mantissa, exponent = frexp(scale)
    if mantissa != 0.5:
        shift = _excess(up, dtypes[0], scale)
        return scale * 2.0 ** shift, 2.0 ** -shift
    power = exponent - 1
    lost_up = lossy(up, dtypes[0], power)
    if lost_up <= _FEW * up.size and (lost_up == 0 or lossy(down, dtypes[1], power)):
        return scale, 1.0
    half = power // 2
    splits = [(power, 0), (0, power), (half, power - half)]
    best = min(splits, key=lambda s: lossy(up, dtypes[0], s[0]) + lossy(down, dtypes[1], s[1]))
    return 2.0 ** best[0], 2.0 ** best[1]


def _excess(up: np.ndarray, dtype: str, scale: float) -> int:
    """The power of two that ``down`` must take so that ``up * scale`` keeps its precision."""
    values = decode(up.tobytes(), dtype, up.shape)
    size = float(np.sqrt(np.square(values).mean())) * scale
    floor = SMALL.get(dtype, 0.0)
    return frexp(floor / size)[1] if 0.0 < size < floor else 0


def lossy(bits: np.ndarray, dtype: str, power: int) -> int:
    """How many of the stored values ``2**power`` would not multiply exactly."""
    if power == 0:
        return 0
    exponent_bits, mantissa_bits = _EXPONENT[dtype]
    top = (1 << exponent_bits) - 1
    size = bits & bits.dtype.type((1 << (exponent_bits + mantissa_bits)) - 1)
    if power > 0:
        return int(np.count_nonzero((size >> mantissa_bits) + power >= top))
    small = size[(size != 0) & (size < ((1 - power) << mantissa_bits))].astype(np.int64)
    exponent, fraction = small >> mantissa_bits, small & ((1 << mantissa_bits) - 1)
    digits = np.where(exponent > 0, fraction | (1 << mantissa_bits), fraction)
    # A value that becomes subnormal loses as many bits as its exponent falls below 1.
    lost = np.minimum(1 - power - np.maximum(exponent, 1), 62)
    return int(np.count_nonzero(digits & ((np.int64(1) << lost) - 1)))
