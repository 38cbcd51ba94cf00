"""The singular values of an update, and what they tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spectrum:
    """One module's effective update: ``sigma`` descends and includes alpha / rank.

    ``rank`` is the stored one; ``sigma`` may be shorter (never longer) than it. ``itemsize``: bytes
    of a stored weight.
    """

    name: str
    sigma: np.ndarray
    out: int
    inner: int
    rank: int
    spatial: bool
    dtype: str
    itemsize: float

    @property
    def limit(self) -> int:
        """The highest rank that can make a difference."""
        return min(self.rank, self.out, self.inner)

    @property
    def cost(self) -> float:
        """Bytes that one more rank takes."""
        return (self.out + self.inner) * self.itemsize

    @property
    def energy(self) -> float:
        """The squared Frobenius norm."""
        return float(np.square(self.sigma).sum())

    @property
    def norm(self) -> float:
        return float(self.energy ** 0.5)

    def tail(self, rank: int) -> float:
        """The norm of what a cut at ``rank`` loses: the least possible error."""
        return float(np.sqrt(np.square(self.sigma[rank:]).sum()))

    def stable_rank(self) -> float:
        """|dW|_F^2 / sigma_1^2: 1 where one direction carries all. 0 for a zero update."""
        return self.energy / float(self.sigma[0]) ** 2 if self.energy else 0.0

    def effective_rank(self) -> float:
        """exp of the entropy of sigma_i^2 / sum (Roy and Vetterli 2007, on energies)."""
        if not self.energy:
            return 0.0
        share = np.square(self.sigma) / self.energy
        share = share[share > 0]
        return float(np.exp(-(share * np.log(share)).sum()))

    def rank_for(self, energy: float) -> int:
        """The least rank that keeps this share of the energy; 0 for a zero update."""
        if not self.energy:
            return 0
        kept = np.cumsum(np.square(self.sigma)) / self.energy
        return min(int(np.searchsorted(kept, energy * (1 - 1e-12))) + 1, len(self.sigma))
