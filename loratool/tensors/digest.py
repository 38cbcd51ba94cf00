"""Hashes of a file and of its weights, in one pass over its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from .reader import TensorFile

BLOCK = 1 << 20
LEGACY_START, LEGACY_END = 0x100000, 0x110000


@dataclass(frozen=True, slots=True)
class Digests:
    """sha256 of the whole file and of everything after its header.

    The second is AutoV3 or the AddNet hash: kohya's ``sshs_model_hash`` when the file's tensors
    stand in the order of the official writer.
    """

    sha256: str
    sha256_tensors: str


def digest(file: TensorFile) -> Digests:
    """Read the open file once; cost: one sha256 of the file and one of its tensor bytes."""
    import hashlib

    whole, tensors = hashlib.sha256(), hashlib.sha256()
    start, size = file.header.data_start, file.header.file_size
    position = 0
    while position < size:
        stop = start if position < start else size
        block = file.pread(min(BLOCK, stop - position), position)
        whole.update(block)
        if position >= start:
            tensors.update(block)
        position += len(block)
    return Digests(whole.hexdigest(), tensors.hexdigest())
