"""LoKr: s * kron(w1, w2).

``lokr_w1 [a, c]`` or ``lokr_w1_a [a, r] @ lokr_w1_b [r, c]``; ``lokr_w2 [b, d(, kh, kw)]`` or
``lokr_w2_a [b, r] @ lokr_w2_b [r, d * kh * kw]``, or with ``lokr_t2 [r, r, kh, kw]`` (CP/Tucker) ``w2_a [r, b]``,
``w2_b [r, d]`` and ``w2 = sum_ij t2[i, j, h, w] w2_a[i, :] w2_b[j, :]``. a * b = out, c * d = in.

s = alpha / r, r of ``w2_b``, else of ``w1_b``; s = 1 where neither is factorised, whatever the alpha tensor says.
PEFT has no alpha tensors: its configuration's alpha / r holds for two full matrices as well.

The singular values of a Kronecker product are all products of those of its parts, so neither it nor its
factors are formed where a rank is looked for or cut.

Source: Edalati et al. 2022, arXiv 2212.10650; LyCORIS ``lokr.py``; peft ``LoKrLayer.get_delta_weight``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from .factored import FactoredLayer, Shape, Shapes

if TYPE_CHECKING:
    import numpy as np

    from .linalg import Core


@dataclass(frozen=True)
class LokrLayer(FactoredLayer):
    """A sound LoKr layer: both parts there, whole or factorised."""

    FACTORS = ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")

    @staticmethod
    def read_shapes(roles: Mapping[str, Shape]) -> Shapes:
        for role in roles.keys() & set(LokrLayer.FACTORS):
            if len(roles[role]) < 2 or 0 in roles[role]:
                return Shapes(fault="SHAPE", message=f"lokr_{role} {list(roles[role])} is no matrix")
        one, other = _part(roles, "w1"), _part(roles, "w2")
        for part in (one, other):
            if part.fault:
                return part
        return Shapes(one.out * other.out, one.inner * other.inner, one.rank * other.rank, other.kernel,
                      other.dim or one.dim)

    def up(self) -> np.ndarray:
        """float64 [out, rank]"""
        return _kron(self._factors("w1")[0], self._factors("w2")[0])

    def down(self) -> np.ndarray:
        """float64 [rank, inner]"""
        return _kron(self._factors("w1")[1], self._factors("w2")[1])

    def core(self, exact: bool) -> Core:
        from . import linalg

        one, other = (linalg.core(*self._factors(part), exact) for part in ("w1", "w2"))
        return linalg.kronecker_core(one, other)

    def norm(self) -> float:
        return self.core(exact=False).norm

    def distance(self, up: np.ndarray, down: np.ndarray) -> float:
        import numpy as np

        (left, right), (left2, right2) = self._factors("w1"), self._factors("w2")
        one, other = left @ right, left2 @ right2
        square = 0.0
        for row, part in zip(one, up.reshape(*one.shape[:1], -1, up.shape[1]), strict=True):
            square += float(np.square(part @ down - _kron(row[None], other)).sum())
        return float(np.sqrt(square))

    def _factors(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """A part as a product; a whole one times the identity on its shorter side."""
        import numpy as np

        roles = self.group.roles
        if part in roles:
            whole = self._array(part)
            rows, columns = whole.shape
            return (whole, np.eye(columns)) if columns <= rows else (np.eye(rows), whole)
        if part == "w2" and "t2" in roles:
            return self._array("w2_a").T, self._folded("t2", "w2_b")
        return self._array(f"{part}_a"), self._array(f"{part}_b")


def _kron(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    product: np.ndarray = (one[:, None, :, None] * other[None, :, None, :]).reshape(
        one.shape[0] * other.shape[0], one.shape[1] * other.shape[1])
    return product


def _part(roles: Mapping[str, Shape], part: str) -> Shapes:
    """The sizes of ``w1`` or ``w2``; ``dim`` is 0 where it is whole."""
    if part in roles:
        whole = roles[part]
        inner = prod(whole[1:])
        return Shapes(whole[0], inner, min(whole[0], inner), whole[2:])
    left, right, mid = roles.get(f"{part}_a"), roles.get(f"{part}_b"), roles.get("t2") if part == "w2" else None
    if left is None or right is None:
        lacking = f"lokr_{part}" if left is right else f"lokr_{part}_{'a' if left is None else 'b'}"
        return Shapes(fault="UNPAIRED", message=f"has no {lacking}")
    if mid is not None and len(left) == len(right) == 2 and mid[:2] == (left[0], right[0]):
        return Shapes(left[1], right[1] * prod(mid[2:]), left[0], mid[2:], right[0])
    if mid is not None or left[1] != right[0] or prod(left[2:]) != 1:
        return Shapes(fault="RANK_MISMATCH", message=f"has lokr_{part}_a {list(left)} and lokr_{part}_b {list(right)}"
                      ", which disagree about the rank")
    return Shapes(left[0], prod(right[1:]), right[0], right[2:], right[0])
