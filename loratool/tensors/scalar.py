"""One number from its bytes, without numpy: alphas are read from hundreds of tensors."""

from __future__ import annotations

import math
import struct

_FORMAT = {"F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i", "I16": "<h", "I8": "<b",
           "U64": "<Q", "U32": "<I", "U16": "<H", "U8": "<B"}


def number(raw: bytes, dtype: str) -> float | None:
    """The value of a one-element tensor; None for a dtype that is no plain number."""
    if dtype == "BF16":
        return float(struct.unpack("<f", b"\0\0" + raw)[0])
    if dtype == "F8_E5M2":
        return float(struct.unpack("<e", b"\0" + raw)[0])
    if dtype == "F8_E4M3":
        return _e4m3(raw[0])
    form = _FORMAT.get(dtype)
    return float(struct.unpack(form, raw)[0]) if form else None


def _e4m3(code: int) -> float:
    """The same bits in a half, whose bias is 8 more; the highest pattern of either sign is NaN."""
    if code & 0x7F == 0x7F:
        return math.nan
    half = (code & 0x80) << 8 | (code & 0x7F) << 7
    return float(struct.unpack("<e", half.to_bytes(2, "little"))[0]) * 256
