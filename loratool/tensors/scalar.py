"""One number from its bytes, without numpy: alphas are read from hundreds of tensors."""

from __future__ import annotations

import struct

_FORMAT = {"F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i", "I16": "<h", "I8": "<b",
           "U64": "<Q", "U32": "<I", "U16": "<H", "U8": "<B"}


def number(raw: bytes, dtype: str) -> float | None:
    """The value of a one-element tensor; None for a dtype that is no plain number."""
    if dtype == "BF16":
        return float(struct.unpack("<f", b"\0\0" + raw)[0])
    form = _FORMAT.get(dtype)
    return float(struct.unpack(form, raw)[0]) if form else None
