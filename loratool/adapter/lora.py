"""LoRA and LoCon: s * up @ down, s = alpha / rank.

Linear: ``up [out, r]``, ``down [r, in]``. Convolution: ``up [out, r, 1, 1]``,
``down [r, in, kh, kw]``, flattened to ``[r, in * kh * kw]``. With ``lora_mid [r, r, kh, kw]``
(CP/Tucker) ``down`` is ``[r, in, 1, 1]`` and the update is
``s * sum_mn mid[m, n, h, w] up[i, m] down[n, j]``. No alpha: s = 1.

Source: Hu et al. 2021, arXiv 2106.09685; LyCORIS ``locon.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from .factored import FactoredLayer, Shape, Shapes

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class LoraLayer(FactoredLayer):
    """A sound LoRA layer: both halves there, ranks agree. ``bias`` is scaled like the update."""

    FACTORS = ("up", "down", "mid")
    EXTRAS = ("bias", "diff_b")
    FLAT = False

    @staticmethod
    def read_shapes(roles: Mapping[str, Shape]) -> Shapes:
        return read_shapes(roles.get("up"), roles.get("down"), roles.get("mid"))

    @property
    def has_mid(self) -> bool:
        return "mid" in self.group.roles

    def as_lora(self, rank: int) -> tuple[Shape, Shape]:
        """As the factors are stored: a trainer may leave out the axes of a 1x1 kernel."""
        up, down = (self.file.tensors[self.group.roles[role]].shape for role in ("up", "down"))
        return (self.out, rank, *up[2:]), (rank, down[1], *(self.kernel if self.has_mid else down[2:]))

    def up(self) -> np.ndarray:
        """float64 [out, rank], as stored: without the scale."""
        return self._array("up")

    def down(self) -> np.ndarray:
        """float64 [rank, inner]; a ``lora_mid`` is folded in."""
        return self._folded("mid", "down") if self.has_mid else self._array("down")


def read_shapes(up: Shape | None, down: Shape | None, mid: Shape | None) -> Shapes:
    """Judge the shapes of a LoRA's factors."""
    if up is None or down is None:
        lacking = "up" if up is None else "down"
        return Shapes(fault="UNPAIRED", message=f"has no {lacking} half")
    if len(up) < 2 or len(down) < 2 or 0 in up or 0 in down:
        return Shapes(fault="SHAPE", message=f"up {list(up)} and down {list(down)} are no matrices")
    spatial = mid[2:] if mid else down[2:]
    if _swapped(up, down, mid):
        return Shapes(fault="SWAPPED", message=f"up {list(up)} and down {list(down)} are exchanged")
    if mid is not None and (len(mid) < 3 or mid[0] != up[1] or mid[1] != down[0] or prod(down[2:]) != 1):
        return Shapes(fault="RANK_MISMATCH", message=f"mid {list(mid)} does not join up {list(up)} "
                      f"and down {list(down)}")
    if (mid is None and up[1] != down[0]) or prod(up[2:]) != 1:
        return Shapes(fault="RANK_MISMATCH", message=f"up {list(up)} and down {list(down)} disagree "
                      "about the rank")
    return Shapes(up[0], down[1] * prod(spatial), up[1], tuple(spatial), up[1])


def _swapped(up: Shape, down: Shape, mid: Shape | None) -> bool:
    if mid is not None or up[0] != down[1]:
        return False
    # As written the ranks disagree, or the rank of a square pair exceeds the sizes that it joins.
    return up[0] < max(up[1], down[0]) if up[1] != down[0] else up[1] > up[0]
