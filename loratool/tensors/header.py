"""Parse and judge the header of a safetensors file.

Each refusal carries the id of the rule it breaks (R01..R29, listed in docs/container.md). The
judgement agrees with the official Rust parser except that it is stricter in three places: a duplicate
key (R10), because parsers differ in which of the two they use, and entries written as lists (R11) or
dtypes written as objects (R12), which serde accepts and no writer makes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from ..errors import ContainerError, ForeignFile
from .dtypes import BITS
from .foreign import kind_of

MAX_HEADER = 100_000_000
LIMIT = 1 << 64
MAX_DEPTH = 127


class TensorInfo(NamedTuple):
    """One entry of the table of contents; ``begin`` and ``end`` count from the data section."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def nbytes(self) -> int:
        return self.end - self.begin

    @property
    def elements(self) -> int:
        """How many numbers the tensor holds."""
        return self.nbytes * 8 // BITS[self.dtype]


@dataclass(frozen=True)
class Header:
    """A table of contents that may be trusted.

    Guarantees: offsets lie inside the file, without hole, overlap or duplicate key; every dtype
    is known; ``end - begin`` is the size of ``shape`` in ``dtype``.
    """

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    data_start: int
    file_size: int
    notes: tuple[tuple[str, str], ...] = field(default=())
    """Rules that are bent but not broken: (id, message)."""

    @property
    def header_bytes(self) -> int:
        return self.data_start - 8

    def in_file_order(self) -> list[TensorInfo]:
        return sorted(self.tensors.values(), key=lambda t: (t.begin, t.end))


def header_length(prefix: bytes, file_size: int) -> int:
    """The length of the JSON text, from the first bytes of the file (512 are enough).

    Raises ContainerError (R01, R02, R03), or ForeignFile with the same ids when the bytes are
    recognised as something else.
    """
    if file_size < 8:
        _foreign_or("R01", prefix, file_size,
                    f"{file_size} bytes is too short: a safetensors file begins with 8 length bytes")
    length = int.from_bytes(prefix[:8], "little")
    if length > MAX_HEADER:
        _foreign_or("R02", prefix, file_size,
                    f"declares a header of {length} bytes; the limit is {MAX_HEADER}")
    if 8 + length > file_size:
        if prefix[8:9] == b"{":
            raise ContainerError("R03", f"truncated inside the header: has {file_size} of at least "
                                 f"{8 + length} bytes ({_percent(file_size, 8 + length)})",
                                 hint=_DOWNLOAD)
        _foreign_or("R03", prefix, file_size,
                    f"declares a header of {length} bytes, but only {file_size - 8} follow")
    found = kind_of(prefix, file_size) if prefix[8:9] not in (b"{", b" ", b"\t", b"\n", b"\r") else None
    if found:
        raise ForeignFile("R05", f"{found.name}, not a safetensors file", hint=found.remedy)
    return length


_DOWNLOAD = "Download the file again and compare its size and sha256 with the source."


def _foreign_or(rule: str, prefix: bytes, file_size: int, message: str) -> NoReturn:
    found = kind_of(prefix, file_size)
    if found:
        raise ForeignFile(rule, f"{found.name}, not a safetensors file", hint=found.remedy)
    raise ContainerError(rule, f"not a safetensors file: {message}", hint=_DOWNLOAD)


def parse(raw: bytes, file_size: int) -> Header:
    """Judge the JSON text ``raw`` of a file of ``file_size`` bytes.

    Raises ContainerError with the id of the first rule that is broken.
    """
    data_start = 8 + len(raw)
    notes: list[tuple[str, str]] = []
    document = _document(raw, notes)
    metadata = _metadata(document.pop("__metadata__", None))
    size = file_size - data_start
    tensors = {name: _entry(name, value) for name, value in document.items()}
    _check_layout(tensors, size, data_start, file_size)
    return Header(tensors, metadata, data_start, file_size, tuple(notes))


class _Pairs(dict[str, Any]):
    """A JSON object that remembers the first key that came twice."""

    twice: str | None = None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen: set[str] = set()
    result = _Pairs(made)
    result.twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return result


def _integer(text: str) -> int | float:
    # "-0" is a float for serde_json; more than 20 digits do not fit its u64 either.
    if text[0] == "-" and text.strip("-0") == "":
        return -0.0
    return _real(text) if len(text) > 20 else int(text)


def _real(text: str) -> float:
    number = float(text)
    if number - number != 0.0:
        raise ContainerError("R05", f"the header holds a number that is out of range: {text[:40]}")
    return number


def _constant(text: str) -> NoReturn:
    raise ContainerError("R05", f"the header holds {text}, which JSON does not have")


def _document(raw: bytes, notes: list[tuple[str, str]]) -> dict[str, Any]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ContainerError("R04", f"the header is not UTF-8 (byte {8 + error.start})",
                             hint=_DOWNLOAD) from None
    if text[:1] in (" ", "\t", "\n", "\r"):
        notes.append(("R06", "white space before the header's opening brace"))
    if text.rstrip(" ") != text.rstrip(" \t\n\r"):
        notes.append(("R07", "the header is padded with something else than spaces"))
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_int=_integer,
                              parse_float=_real, parse_constant=_constant)
    except RecursionError:
        raise ContainerError("R05", "the header is nested too deeply") from None
    except ValueError as error:
        raise ContainerError("R05", f"the header is not JSON: {error}", hint=_DOWNLOAD) from None
    if type(document) not in (dict, _Pairs):
        raise ContainerError("R08", "the header is not a JSON object")
    if isinstance(document, _Pairs):
        raise ContainerError("R10", "the key appears twice in the header", key=document.twice,
                             hint="Two parsers may read two different tensors here: do not use the file.")
    if "\\u" in text:
        _check_surrogates(text)
    return document  # type: ignore[no-any-return]


_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F])|.)")
"""An escape of a JSON string; group 1: half a surrogate pair without its other half."""


def _check_surrogates(text: str) -> None:
    if any(escape[1] for escape in _ESCAPE.finditer(text)):
        raise ContainerError("R05", "a string of the header holds half a surrogate pair")


def _metadata(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, _Pairs):
        raise ContainerError("R10", "the metadata key appears twice", key=value.twice)
    if type(value) is not dict:
        raise ContainerError("R09", "__metadata__ is not an object of strings")
    for key, text in value.items():
        if type(text) is not str:
            raise ContainerError("R09", f"the metadata value is {_json_type(text)}, not a string",
                                 key=key, hint="Save the file again with every value as text.")
    return value


def _shown(value: Any) -> str:
    return repr(value)[:80]


def _json_type(value: Any) -> str:
    return {dict: "an object", list: "a list", bool: "true/false", int: "a number",
            float: "a number", type(None): "null"}.get(type(value), "something else")


def _entry(name: str, value: Any) -> TensorInfo:
    if isinstance(value, _Pairs):
        raise ContainerError("R10", f"the field {value.twice!r} appears twice", key=name)
    if type(value) is not dict:
        raise ContainerError("R11", "the entry is not an object", key=name)
    try:
        dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    except KeyError as error:
        raise ContainerError("R11", f"the entry has no {error.args[0]}", key=name) from None
    if len(value) > 3:
        _check_depth(name, value)
    bits = BITS.get(dtype) if type(dtype) is str else None
    if bits is None:
        raise ContainerError("R12", f"unknown dtype {_shown(dtype)}", key=name)
    if type(shape) is not list:
        raise ContainerError("R13", "the shape is not a list", key=name)
    for size in shape:
        if type(size) is not int or not 0 <= size < LIMIT:
            raise ContainerError("R13", f"{_shown(size)} is not a size", key=name)
    if (type(offsets) is not list or len(offsets) != 2
            or not all(type(o) is int and 0 <= o < LIMIT for o in offsets)):
        raise ContainerError("R14", f"data_offsets {_shown(offsets)} are not two counts of bytes", key=name)
    begin, end = offsets
    if begin > end:
        raise ContainerError("R15", f"begins at {begin}, after its end {end}", key=name)
    _check_size(name, dtype, bits, shape, end - begin)
    return TensorInfo(name, dtype, tuple(shape), begin, end)


def _check_size(name: str, dtype: str, bits: int, shape: list[int], nbytes: int) -> None:
    count = 1
    for size in shape:
        count *= size
        if count >= LIMIT:
            raise ContainerError("R17", f"the shape {shape} has too many elements", key=name)
    if count * bits >= LIMIT:
        raise ContainerError("R18", f"the shape {shape} has too many bits", key=name)
    if count * bits % 8:
        raise ContainerError("R19", f"{count} elements of {dtype} do not fill whole bytes", key=name)
    if count * bits // 8 != nbytes:
        raise ContainerError("R20", f"{nbytes} bytes are reserved, {dtype} {shape} needs "
                             f"{count * bits // 8}", key=name)


def _check_depth(name: str, value: dict[str, Any]) -> None:
    # serde_json counts the whole document; an entry already stands at depth 2.
    level: list[Any] = [v for k, v in value.items() if k not in ("dtype", "shape", "data_offsets")]
    for _ in range(MAX_DEPTH - 2):
        nested: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                nested.extend(item.values())
            elif isinstance(item, list):
                nested.extend(item)
        level = nested
        if not level:
            return
    if any(isinstance(item, (dict, list)) for item in level):
        raise ContainerError("R05", "the entry is nested too deeply", key=name)


def _check_layout(tensors: dict[str, TensorInfo], size: int, data_start: int, file_size: int) -> None:
    position = 0
    for info in sorted(tensors.values(), key=lambda t: (t.begin, t.end)):
        if info.begin != position:
            what = "a hole of unused bytes" if info.begin > position else "an overlap"
            raise ContainerError("R16", f"{what}: the tensor begins at {info.begin}, the one before "
                                 f"ends at {position}", key=info.name,
                                 hint="Bytes may hide here or be read twice: do not trust the file.")
        position = info.end
    if position > size:
        need = data_start + position
        raise ContainerError("R21", f"truncated: has {file_size} of {need} bytes "
                             f"({_percent(file_size, need)})", hint=_DOWNLOAD)
    if position < size:
        raise ContainerError("R21", f"{size - position} bytes follow the last tensor",
                             hint="Something was appended to the file: download it again.")


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.0%}"
