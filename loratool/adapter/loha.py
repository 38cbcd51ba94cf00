"""LoHa: s * (w1_a @ w1_b) * (w2_a @ w2_b), element by element, s = alpha / r.

``hada_w*_a [out, r]``, ``hada_w*_b [r, in]``; a convolution's ``w*_b`` is flat, ``[r, in * kh * kw]``, or
``[r, in, kh, kw]`` beside ``w*_a [out, r, 1, 1]`` (OneTrainer). With ``hada_t1, hada_t2 [r, r, kh, kw]``
(CP/Tucker) ``w*_a`` is ``[r, out]``, ``w*_b`` is ``[r, in]`` and each side is
``sum_ij t[i, j, h, w] a[i, :] b[j, :]``.

The product of two matrices element by element has the row-wise Khatri-Rao products of their factors as its
factors: its rank is at most r squared, and the update itself is never formed.

Source: Hyeon-Woo et al. 2021, arXiv 2108.06098; LyCORIS ``loha.py``.
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
class LohaLayer(FactoredLayer):
    """A sound LoHa layer: four factors that fit."""

    FACTORS = ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")

    @staticmethod
    def read_shapes(roles: Mapping[str, Shape]) -> Shapes:
        for role in ("w1_a", "w1_b", "w2_a", "w2_b", *(("t1", "t2") if {"t1", "t2"} & roles.keys() else ())):
            if role not in roles:
                return Shapes(fault="UNPAIRED", message=f"has no hada_{role}")
            if len(roles[role]) < 2 or 0 in roles[role]:
                return Shapes(fault="SHAPE", message=f"hada_{role} {list(roles[role])} is no matrix")
        one, other = _side(roles, "1"), _side(roles, "2")
        told = ", ".join(f"hada_{role} {list(shape)}" for role, shape in roles.items() if role in LohaLayer.FACTORS)
        if one is None or other is None:
            return Shapes(fault="RANK_MISMATCH", message=f"has factors that disagree about the rank: {told}")
        if (one.out, one.inner) != (other.out, other.inner):
            return Shapes(fault="SHAPE", message=f"has two sides of different sizes: {told}")
        return one._replace(rank=one.rank * other.rank)

    def up(self) -> np.ndarray:
        """float64 [out, r * r]"""
        one, other = self._left("1"), self._left("2")
        product: np.ndarray = (one[:, :, None] * other[:, None, :]).reshape(self.out, self.rank)
        return product

    def down(self) -> np.ndarray:
        """float64 [r * r, inner]"""
        one, other = self._right("1"), self._right("2")
        product: np.ndarray = (one[:, None, :] * other[None, :, :]).reshape(self.rank, self.inner)
        return product

    def _left(self, side: str) -> np.ndarray:
        stored = self._array(f"w{side}_a")
        return stored.T if f"t{side}" in self.group.roles else stored

    def _right(self, side: str) -> np.ndarray:
        mid, stored = f"t{side}", f"w{side}_b"
        return self._folded(mid, stored) if mid in self.group.roles else self._array(stored)


def _side(roles: Mapping[str, Shape], side: str) -> Shapes | None:
    """The sizes of one of the two matrices; None where its factors do not fit."""
    left, right, mid = roles[f"w{side}_a"], roles[f"w{side}_b"], roles.get(f"t{side}")
    if mid is not None:
        if len(left) > 2 or len(right) > 2 or mid[:2] != (left[0], right[0]):
            return None
        return Shapes(left[1], right[1] * prod(mid[2:]), left[0], mid[2:], right[0])
    if left[1] != right[0] or prod(left[2:]) != 1:
        return None
    return Shapes(left[0], prod(right[1:]), right[0], right[2:], right[0])
