"""Write a safetensors file that is either complete or not there at all.

The layout is fixed before the first tensor is computed. Tensors are then put at their place in
any order, read back, hashed, and only when all that agrees does the file get its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType

from ..errors import InputError, OutputError, ReadBackError
from . import header as headers
from .dtypes import BITS
from .place import Placement, reason
from .reader import TensorFile

BLOCK = 1 << 20
MetadataFor = Callable[["Written"], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor that will be written."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count * BITS[self.dtype] // 8


@dataclass(frozen=True, slots=True)
class Written:
    """What was read back from the disk: digests for the metadata that depends on the bytes."""

    sha256_tensors: str
    window: Callable[[int, int], bytes]
    """``window(start, end)``: bytes of the data section."""


def official_order(specs: Iterable[TensorSpec]) -> list[TensorSpec]:
    """Large dtypes first, then by name: the order that safetensors' own writer uses."""
    return sorted(specs, key=lambda s: (-_RANK[s.dtype], s.name))


_RANK = {name: position for position, name in enumerate(BITS)}


def header_text(specs: Iterable[TensorSpec], metadata: Mapping[str, str]) -> bytes:
    """The JSON text of a header, keys of the metadata sorted, padded to 8 bytes with spaces."""
    document: dict[str, object] = {}
    if metadata:
        document["__metadata__"] = dict(sorted(metadata.items()))
    position = 0
    for spec in specs:
        document[spec.name] = {"dtype": spec.dtype, "shape": list(spec.shape),
                               "data_offsets": [position, position + spec.nbytes]}
        position += spec.nbytes
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > headers.MAX_HEADER:
        raise OutputError(f"the header would be {len(text)} bytes long; readers refuse more than "
                          f"{headers.MAX_HEADER}", hint="Remove large metadata first.")
    return text


class Writer:
    """Put tensors into an unnamed file, then ``commit`` it under its name.

    ``metadata`` is final but for the values that ``finish`` in ``commit`` replaces by others of
    the same length (hashes of the bytes written). Leaving the ``with`` block without ``commit``
    leaves nothing behind.
    """

    def __init__(self, placement: Placement, specs: list[TensorSpec],
                 metadata: Mapping[str, str]) -> None:
        self.placement = placement
        self.specs = specs
        self._metadata = dict(metadata)
        text = header_text(specs, self._metadata)
        self.data_start = 8 + len(text)
        self.offsets: dict[str, int] = {}
        position = self.data_start
        for spec in specs:
            self.offsets[spec.name] = position
            position += spec.nbytes
        self.size = position
        self._sizes = {spec.name: spec.nbytes for spec in specs}
        self._checks: dict[str, int] = {}
        self._lock = threading.Lock()
        self._fd = -1

    def __enter__(self) -> Writer:
        self._fd = self.placement.open(self.size)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.placement.discard()

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Write one tensor. Safe from several threads."""
        if len(data) != self._sizes[name]:
            raise AssertionError(f"{name}: {len(data)} bytes for a place of {self._sizes[name]}")
        self._write(data, self.offsets[name])
        with self._lock:
            self._checks[name] = zlib.crc32(data)

    def _write(self, data: bytes | memoryview, position: int) -> None:
        view = memoryview(data).cast("B")
        try:
            while view:
                done = os.pwrite(self._fd, view[:1 << 30], position)
                view, position = view[done:], position + done
        except OSError as error:
            raise reason(error, self.placement.target) from error

    def commit(self, finish: MetadataFor | None = None) -> Mapping[str, str]:
        """Read the file back, complete the metadata, make it durable, give it its name.

        Returns the metadata as written. Raises ReadBackError when the disk holds other bytes
        than were put, OutputError when a step of the file system fails.
        """
        missing = self._sizes.keys() - self._checks.keys()
        if missing:
            raise AssertionError(f"not written: {sorted(missing)[:3]}")
        metadata = dict(self._metadata)
        try:
            written = self._read_back()
            if finish:
                metadata.update(finish(written))
        except OSError as error:
            raise reason(error, self.placement.target) from error
        text = header_text(self.specs, metadata)
        if len(text) != self.data_start - 8:
            raise AssertionError("the final metadata changed the header's length")
        self._write(len(text).to_bytes(8, "little") + text, 0)
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise reason(error, self.placement.target) from error
        self._check_container(metadata)
        self.placement.commit()
        return metadata

    def _read_back(self) -> Written:
        whole = hashlib.sha256()
        for spec in self.specs:
            check, position = 0, self.offsets[spec.name]
            end = position + spec.nbytes
            while position < end:
                block = os.pread(self._fd, min(BLOCK, end - position), position)
                if not block:
                    break
                whole.update(block)
                check = zlib.crc32(block, check)
                position += len(block)
            if position < end or check != self._checks[spec.name]:
                raise ReadBackError("the disk returned other bytes than were written",
                                    path=self.placement.target, key=spec.name,
                                    hint="Check the disk; nothing was replaced.")
        start, stop = self.data_start, self.size
        return Written(whole.hexdigest(),
                       lambda a, b: self._read(start + a, min(start + b, stop)))

    def _read(self, position: int, end: int) -> bytes:
        parts = []
        while position < end:
            part = os.pread(self._fd, end - position, position)
            if not part:
                break
            parts.append(part)
            position += len(part)
        return b"".join(parts)

    def _check_container(self, metadata: Mapping[str, str]) -> None:
        """Open what was written with our parser and with the official one."""
        from safetensors import SafetensorError, safe_open

        differs = ReadBackError("the header reads back differently", path=self.placement.target,
                                hint="Check the disk; nothing was replaced.")
        try:
            with TensorFile(self.placement.readable()) as file:
                seen = {name: (i.dtype, i.shape, file.offset(name)) for name, i in file.tensors.items()}
                if seen != {s.name: (s.dtype, s.shape, self.offsets[s.name]) for s in self.specs}:
                    raise differs
                if file.metadata != metadata:
                    raise differs
            with safe_open(self.placement.readable(), framework="numpy") as official:
                if set(official.keys()) != seen.keys():
                    raise differs
        except (InputError, SafetensorError, OSError) as error:
            raise differs from error
