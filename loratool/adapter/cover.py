"""Which layers make up a weight's rows: fused and split spellings of one projection.

Works on the stored bits (unsigned integers of the tensor's width), so that moving rows is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from ..naming.address import Rows, full, height, moves
from .factored import FactoredLayer
from .lora import LoraLayer

WIDTH = {"F64": "<u8", "F32": "<u4", "F16": "<u2", "BF16": "<u2", "F8_E4M3": "u1", "F8_E5M2": "u1"}


L = TypeVar("L", bound=FactoredLayer)


@dataclass(frozen=True)
class Piece(Generic[L]):
    """A layer that contributes to the target, and how its rows get there."""

    layer: L
    moves: tuple[tuple[int, int, int], ...]

    @property
    def rows(self) -> int:
        return sum(count for _, _, count in self.moves)

    def place(self, up: np.ndarray, out: int) -> np.ndarray:
        """``up [layer.out, r]`` moved into ``[out, r]``; rows that it does not reach are zero."""
        if self.moves == ((0, 0, out),) and up.shape[0] == out:
            return up
        placed = np.zeros((out, up.shape[1]), up.dtype)
        for source, target, count in self.moves:
            placed[target:target + count] = up[source:source + count]
        return placed


def cover(layers: Sequence[L], target: Rows | None, out: int) -> list[Piece[L]]:
    """The pieces of ``layers`` (all of one module) that reach the rows ``target``.

    ``out`` is the height of the whole weight.
    """
    wanted = target or full(out)
    found = []
    for layer in layers:
        rows = (layer.address.rows if layer.address else None) or full(layer.out)
        moved = tuple(moves(rows, wanted))
        if moved:
            found.append(Piece(layer, moved))
    return found


def overlapping(pieces: Sequence[Piece[L]], out: int) -> bool:
    """Whether two pieces reach one row: the module is there twice."""
    reached = np.zeros(out, np.int64)
    for piece in pieces:
        for _, target, count in piece.moves:
            reached[target:target + count] += 1
    return bool((reached > 1).any())


def bits(layer: LoraLayer, role: str) -> np.ndarray:
    """The stored numbers of a factor as unsigned integers, in two axes."""
    info = layer.info(role)
    assert info is not None
    flat = np.frombuffer(layer.file.raw(info.name), WIDTH[info.dtype])
    return flat.reshape(info.shape[0], -1)


def live_columns(up: np.ndarray) -> np.ndarray:
    """Which columns of ``up`` (as bits) hold anything but zero (of either sign)."""
    sign = up.dtype.type(1 << (8 * up.dtype.itemsize - 1))
    return np.asarray((up & ~sign).any(axis=0))


def split_supports(up: np.ndarray, parts: Sequence[Rows], whole: Rows) -> list[np.ndarray] | None:
    """The columns that each part of a fused ``up`` uses, where no two parts share one.

    This is how fused layers look that were joined from split ones; None for any other layer.
    """
    supports = []
    for part in parts:
        rows = np.concatenate([np.arange(s, s + n) for s, _, n in moves(whole, part)] or [np.arange(0)])
        supports.append(live_columns(up[rows]))
    counts = np.sum(supports, axis=0)
    if len(parts) < 2 or counts.max(initial=0) != 1:
        return None
    return supports


def height_of(rows: Rows | None, out: int) -> int:
    return out if rows is None else height(rows)
