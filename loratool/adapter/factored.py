"""Layers whose update is a product of two matrices, whatever the algorithm that stores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from ..tensors.dtypes import FLOATS
from .layer import Alpha, Layer

if TYPE_CHECKING:
    import numpy as np

    from .linalg import Core


Shape = tuple[int, ...]


class Shapes(NamedTuple):
    """The sizes that a group's factors imply, or why they imply none."""

    out: int = 0
    inner: int = 0
    """Input size: in, or in * kh * kw for a convolution."""
    rank: int = 0
    """The width of ``up``: the highest rank that the update can have, as far as the factors say."""
    kernel: Shape = ()
    """Trailing axes of the update: () for a linear layer or where the factors are stored flat."""
    dim: int = 0
    """What alpha is divided by: the rank that a trainer was told. 0: alpha has no meaning."""
    fault: str = ""
    """"" or one of UNPAIRED, RANK_MISMATCH, SWAPPED, SHAPE."""
    message: str = ""

    @property
    def update(self) -> Shape | None:
        """The shape of the update; None where the factors imply none."""
        return None if self.fault else (self.out, self.inner // prod(self.kernel), *self.kernel)


@dataclass(frozen=True)
class FactoredLayer(Layer):
    """A sound layer with ``update = scale * up() @ down()``.

    Operations that work on factors need no more than this, so they take all such algorithms alike.
    The fields are those of Shapes.
    """

    FACTORS: ClassVar[tuple[str, ...]]
    """The roles that hold numbers of the update; the dtype is the first one's that is there."""
    EXTRAS: ClassVar[tuple[str, ...]] = ()
    """The roles that can stand beside the factors: a bias, a difference of the module's bias."""
    FLAT: ClassVar[bool] = True
    """Whether a convolution may be stored flat, so that only the base model knows its kernel."""

    out: int
    inner: int
    rank: int
    kernel: tuple[int, ...]
    dim: int
    alpha: Alpha

    @staticmethod
    def read_shapes(roles: Mapping[str, Shape]) -> Shapes:
        """Judge the shapes of a layer's tensors, given by role."""
        raise NotImplementedError

    @property
    def scale(self) -> float:
        return self.alpha.value / self.dim if self.dim else 1.0

    def up(self) -> np.ndarray:
        """float64 [out, rank], without the scale."""
        raise NotImplementedError

    def down(self) -> np.ndarray:
        """float64 [rank, inner]"""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the update."""
        return (self.out, self.inner // prod(self.kernel), *self.kernel)

    @property
    def is_spatial(self) -> bool:
        """A kernel larger than 1x1."""
        return any(size > 1 for size in self.kernel)

    @property
    def parts(self) -> list[str]:
        """The roles of FACTORS that this layer has."""
        return [role for role in self.FACTORS if role in self.group.roles]

    @property
    def dtype(self) -> str:
        return self.file.tensors[self.group.roles[self.parts[0]]].dtype

    @property
    def odd_dtype(self) -> str | None:
        """The dtype of a factor that cannot be computed with, such as whole numbers."""
        found = {self.file.tensors[self.group.roles[role]].dtype for role in self.parts}
        return next(iter(found - set(FLOATS)), None)

    @property
    def extras(self) -> list[str]:
        """The roles of EXTRAS that this layer has."""
        return [role for role in self.group.roles if role in self.EXTRAS]

    def as_lora(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of ``up`` and ``down`` of a LoRA of this rank for the same module."""
        return (self.out, rank, *(1,) * len(self.kernel)), (rank, *self.shape[1:])

    def core(self, exact: bool) -> Core:
        """The singular values of ``up() @ down()``, and how to cut it. ``exact``: see linalg.core."""
        from . import linalg

        return linalg.core(self.up(), self.down(), exact)

    def norm(self) -> float:
        """The Frobenius norm of ``up() @ down()``."""
        from . import linalg

        return linalg.norm(self.up(), self.down())

    def distance(self, up: np.ndarray, down: np.ndarray) -> float:
        """``|up @ down - up() @ down()|`` (Frobenius)."""
        from . import linalg

        return linalg.distance(up, down, self.up(), self.down())

    def delta(self) -> np.ndarray:
        """The update itself, float64 [out, inner], for tests and small layers."""
        product: np.ndarray = self.scale * (self.up() @ self.down())
        return product

    def _array(self, role: str) -> np.ndarray:
        """A factor in float64, trailing axes flattened."""
        array = self.file.array(self.group.roles[role])
        return array.reshape(array.shape[0], -1)

    def _folded(self, mid: str, down: str) -> np.ndarray:
        """CP/Tucker: ``mid [r, q, kh, kw]`` folded into ``down [q, in]`` gives float64 [r, in * kh * kw]."""
        core, inputs = self.file.array(self.group.roles[mid]), self._array(down)
        taps = core.reshape(core.shape[0], inputs.shape[0], -1).transpose(0, 2, 1)
        # [r, taps, q] @ [q, in] -> [r, taps, in] -> [r, in, taps]
        folded: np.ndarray = (taps @ inputs).transpose(0, 2, 1).reshape(core.shape[0], -1)
        return folded
