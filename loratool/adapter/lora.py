"""LoRA and LoCon: s * up @ down, s = alpha / rank.

Linear: ``up [out, r]``, ``down [r, in]``. Convolution: ``up [out, r, 1, 1]``,
``down [r, in, kh, kw]``, flattened to ``[r, in * kh * kw]``. With ``lora_mid [r, r, kh, kw]``
(CP/Tucker) ``down`` is ``[r, in, 1, 1]`` and the update is
``s * sum_mn mid[m, n, h, w] up[i, m] down[n, j]``. No alpha: s = 1.

Source: Hu et al. 2021, arXiv 2106.09685; LyCORIS ``locon.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..tensors.dtypes import FLOATS
from .layer import Alpha, Layer

if TYPE_CHECKING:
    import numpy as np


EXTRAS = ("bias", "diff_b")
"""Roles that a LoRA layer can hold beside its factors: both run along the rows. ``bias`` is scaled like the update."""


@dataclass(frozen=True)
class LoraLayer(Layer):
    """A sound LoRA layer: both halves there, ranks agree."""

    out: int
    inner: int
    """Input size: in, or in * kh * kw for a convolution."""
    rank: int
    kernel: tuple[int, ...]
    """Trailing axes of the update: () for a linear layer, (kh, kw) for a convolution."""
    alpha: Alpha

    @property
    def scale(self) -> float:
        return self.alpha.value / self.rank

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the update."""
        taps = 1
        for size in self.kernel:
            taps *= size
        return (self.out, self.inner // taps, *self.kernel)

    @property
    def is_spatial(self) -> bool:
        """A kernel larger than 1x1."""
        return any(size > 1 for size in self.kernel)

    @property
    def has_mid(self) -> bool:
        return "mid" in self.group.roles

    @property
    def dtype(self) -> str:
        return self.file.tensors[self.group.roles["up"]].dtype

    @property
    def extras(self) -> list[str]:
        """The roles of what stands beside the factors: a bias, a difference of the module's bias."""
        return [role for role in self.group.roles if role in EXTRAS]

    @property
    def odd_dtype(self) -> str | None:
        """The dtype of a factor that cannot be computed with, such as whole numbers."""
        found = {info.dtype for role in ("up", "down", "mid") if (info := self.info(role)) is not None}
        return next(iter(found - set(FLOATS)), None)

    def up(self) -> np.ndarray:
        """float64 [out, rank], as stored: without the scale."""
        matrix: np.ndarray = self.file.array(self.group.roles["up"]).reshape(self.out, self.rank)
        return matrix

    def down(self) -> np.ndarray:
        """float64 [rank, inner]; a ``lora_mid`` is folded in."""
        down = self.file.array(self.group.roles["down"])
        if self.has_mid:
            mid = self.file.array(self.group.roles["mid"]).reshape(self.rank, down.shape[0], -1)
            # [r, taps, r] @ [r, in] -> [r, taps, in] -> [r, in, taps]
            down = (mid.transpose(0, 2, 1) @ down.reshape(down.shape[0], -1)).transpose(0, 2, 1)
        matrix: np.ndarray = down.reshape(self.rank, self.inner)
        return matrix

    def delta(self) -> np.ndarray:
        """The update itself, float64 [out, inner]: the definition, for tests and small layers."""
        product: np.ndarray = self.scale * (self.up() @ self.down())
        return product


class Shapes(NamedTuple):
    """The sizes that a group's factors imply, or why they imply none."""

    out: int = 0
    inner: int = 0
    rank: int = 0
    kernel: tuple[int, ...] = ()
    fault: str = ""
    """"" or one of UNPAIRED, RANK_MISMATCH, SWAPPED, SHAPE."""
    message: str = ""


def read_shapes(up: tuple[int, ...] | None, down: tuple[int, ...] | None,
                mid: tuple[int, ...] | None) -> Shapes:
    """Judge the shapes of a LoRA's factors."""
    if up is None or down is None:
        lacking = "up" if up is None else "down"
        return Shapes(fault="UNPAIRED", message=f"has no {lacking} half")
    if len(up) < 2 or len(down) < 2 or 0 in up or 0 in down:
        return Shapes(fault="SHAPE", message=f"up {list(up)} and down {list(down)} are no matrices")
    spatial = mid[2:] if mid else down[2:]
    if _swapped(up, down, mid):
        return Shapes(fault="SWAPPED", message=f"up {list(up)} and down {list(down)} are exchanged")
    if mid is not None and (len(mid) < 3 or mid[0] != up[1] or mid[1] != down[0] or _size(down[2:]) != 1):
        return Shapes(fault="RANK_MISMATCH", message=f"mid {list(mid)} does not join up {list(up)} "
                      f"and down {list(down)}")
    if (mid is None and up[1] != down[0]) or _size(up[2:]) != 1:
        return Shapes(fault="RANK_MISMATCH", message=f"up {list(up)} and down {list(down)} disagree "
                      "about the rank")
    return Shapes(up[0], down[1] * _size(spatial), up[1], tuple(spatial))


def _swapped(up: tuple[int, ...], down: tuple[int, ...], mid: tuple[int, ...] | None) -> bool:
    if mid is not None or up[0] != down[1]:
        return False
    # As written the ranks disagree, or the rank of a square pair exceeds the sizes that it joins.
    return up[0] < max(up[1], down[0]) if up[1] != down[0] else up[1] > up[0]


def _size(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
