"""Tensors that run along a weight's rows (differences, biases, norms), moved to other names bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..adapter.adapter import Source
from ..naming.address import Rows, full, moves
from ..tensors.codec import decode, encode
from ..tensors.dtypes import BITS
from ..tensors.writer import TensorSpec
from .plan import Carried

ROW_WISE = {"diff", "diff_b", "w_norm", "b_norm", "set_weight"}
"""Roles of whole layers whose first axis is the output of the module."""


@dataclass(frozen=True)
class Strip:
    """A stored tensor and the rows of the weight that it holds."""

    source: Source
    key: str
    rows: Rows | None
    factor: float = 1.0
    """What the values are multiplied by: a bias is scaled like the update beside it."""

    def bytes_of_rows(self, width: int) -> np.ndarray:
        """uint8 [height, width]"""
        raw, info = self.source.file.raw(self.key), self.source.file.tensors[self.key]
        if self.factor != 1.0:
            raw = encode(decode(raw, info.dtype, info.shape) * self.factor, info.dtype)
        return np.frombuffer(raw, np.uint8).reshape(self.height, width)

    @property
    def height(self) -> int:
        return self.source.file.tensors[self.key].shape[0]


@dataclass(frozen=True)
class Laid(Carried):
    """Strips laid out as the rows ``target``; rows that no strip has are zero, which adds nothing."""

    strips: tuple[Strip, ...] = ()
    target: Rows = ()

    @property
    def spec(self) -> TensorSpec:
        info = self.source.file.tensors[self.key]
        return TensorSpec(self.name, info.dtype, (sum(end - begin for begin, end in self.target), *info.shape[1:]))

    def raw(self) -> bytes:
        spec = self.spec
        width = spec.nbytes // spec.shape[0]
        laid = np.zeros((spec.shape[0], width), np.uint8)
        for strip in self.strips:
            stored = strip.bytes_of_rows(width)
            for source, place, count in moves(strip.rows or full(strip.height), self.target):
                laid[place:place + count] = stored[source:source + count]
        return laid.tobytes()


def lay(strips: Sequence[Strip], name: str, target: Rows | None, out: int) -> Carried | None:
    """The tensor ``name`` with the rows ``target`` of a weight of ``out`` rows; None where no strip reaches them.

    All strips have one dtype and width.
    """
    if len(strips) == 1 and strips[0].rows == target and strips[0].factor == 1.0:
        return Carried(strips[0].source, strips[0].key, name)
    wanted = target or full(out)
    reaching = tuple(s for s in strips if moves(s.rows or full(s.height), wanted))
    return Laid(reaching[0].source, reaching[0].key, name, reaching, wanted) if reaching else None


def alike(strips: Sequence[Strip]) -> bool:
    """Whether strips can lie in one tensor: same dtype of whole bytes, same width."""
    infos = [s.source.file.tensors[s.key] for s in strips]
    return len({(info.dtype, info.shape[1:]) for info in infos}) == 1 and BITS[infos[0].dtype] % 8 == 0
