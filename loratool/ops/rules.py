"""Which rank each layer gets. Pure functions of the spectra.

Per-layer rules look at one spectrum; budget rules share ranks across layers by energy per byte:
taking single directions in order of sigma^2 / (bytes of one rank) is optimal up to the last one,
because each layer's sigma descend. Definitions of sv_ratio, sv_fro and sv_cumulative: sd-scripts
``resize_lora.py``; ``kohya_compat`` adds the one that its index arithmetic adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..adapter import linalg
from ..adapter.spectrum import Spectrum
from ..errors import UsageError, WouldLose

Ranks = list[int]
SizeOf = Callable[[Ranks], int]
"""The exact size of the output file for these ranks."""

LOSSLESS = {"F64": 1e-8, "F32": 1e-8, "F16": 1e-5, "BF16": 1e-4}
"""The relative norm that may be dropped as nothing: a tenth of the dtype's rounding at most."""


@dataclass(frozen=True)
class Bounds:
    """Limits of every rank. ``multiple``: ranks are rounded up to it, up to the stored rank."""

    least: int = 1
    most: int | None = None
    multiple: int = 1

    def __post_init__(self) -> None:
        if self.least < 1 or self.multiple < 1 or (self.most is not None and self.most < self.least):
            raise UsageError("--min-rank, --max-rank and --multiple do not fit together")

    def apply(self, rank: int, spectrum: Spectrum) -> int:
        rank = max(rank, self.least)
        rank = -(-rank // self.multiple) * self.multiple
        if self.most is not None:
            rank = min(rank, self.most)
        return max(1, min(rank, spectrum.limit))


@dataclass(frozen=True)
class FixedRank:
    """``rank`` for linear layers and 1x1 convolutions, ``conv_rank`` for larger kernels."""

    rank: int
    conv_rank: int | None = None

    def __post_init__(self) -> None:
        if self.rank < 1 or (self.conv_rank is not None and self.conv_rank < 1):
            raise UsageError("a rank is at least 1")

    def of(self, rank: int, limit: int, spatial: bool) -> int:
        """Never above the rank that a layer has; a lowered one never above what its shape allows."""
        wanted = self.conv_rank if spatial and self.conv_rank is not None else self.rank
        return rank if wanted >= rank else min(wanted, limit)

    def ranks(self, spectra: Sequence[Spectrum], size_of: SizeOf) -> Ranks:
        return [self.of(s.rank, s.limit, s.spatial) for s in spectra]


@dataclass(frozen=True)
class PerLayer:
    """A rule that looks at one layer: ``energy``, ``lossless``, ``sv-ratio``, ``sv-fro``, ``sv-cumulative``."""

    kind: str
    value: float = 0.0
    kohya_compat: bool = False
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        share = self.kind in ("energy", "sv-fro", "sv-cumulative")
        if share and not 0.0 < self.value <= 1.0:
            raise UsageError(f"--{self.kind} is a share between 0 and 1 (or 0% and 100%)")
        if self.kind == "sv-ratio" and not self.value >= 1.0:
            raise UsageError("--sv-ratio is at least 1: it keeps directions above sigma_1 / ratio")

    def ranks(self, spectra: Sequence[Spectrum], size_of: SizeOf) -> Ranks:
        return [self._of(s) for s in spectra]

    def _of(self, spectrum: Spectrum) -> int:
        if self.kohya_compat and self.kind.startswith("sv-"):
            found = kohya_rank(self.kind, self.value, spectrum.sigma, min(spectrum.out, spectrum.inner))
            return min(found, self.bounds.most or found, spectrum.limit)
        if spectrum.energy == 0.0:
            return self.bounds.apply(1, spectrum)
        if self.kind == "energy":
            return self.bounds.apply(spectrum.rank_for(self.value), spectrum)
        if self.kind == "lossless":
            return self.bounds.apply(lossless_rank(spectrum), spectrum)
        return self.bounds.apply(sv_count(self.kind, self.value, spectrum.sigma), spectrum)


def lossless_rank(spectrum: Spectrum) -> int:
    """The rank below which nothing is lost that the dtype could hold; 0 for a zero update."""
    return linalg.numerical_rank(spectrum.sigma, LOSSLESS.get(spectrum.dtype, 1e-4))


def sv_count(kind: str, value: float, sigma: np.ndarray) -> int:
    """sd-scripts' three counts by their definitions: how many singular values stay."""
    if kind == "sv-ratio":
        return int(np.count_nonzero(sigma > sigma[0] / value))
    weights, share = _counted(kind, value, sigma)
    kept = np.cumsum(weights) / weights.sum()
    return min(int(np.searchsorted(kept, share * (1 - 1e-12))) + 1, len(sigma))


def _counted(kind: str, value: float, sigma: np.ndarray) -> tuple[np.ndarray, float]:
    """What sv-cumulative and sv-fro add up, and the share of it that stays."""
    return (sigma, value) if kind == "sv-cumulative" else (np.square(sigma), value * value)


def kohya_rank(kind: str, value: float, sigma: np.ndarray, length: int) -> int:
    """The rank that sd-scripts' resize_lora writes before its cap.

    ``length`` is the number of singular values of the full matrix, min(out, in): it bounds the
    index, to which one is added.
    """
    if sigma[0] <= 1e-6:
        return 1
    if kind == "sv-ratio":
        index = int(np.count_nonzero(sigma > sigma[0] / value))
    else:
        weights, share = _counted(kind, value, sigma)
        index = int(np.searchsorted(np.cumsum(weights / weights.sum()), share)) + 1
    return max(1, min(index, length - 1)) + 1


@dataclass(frozen=True)
class Budget:
    """Ranks shared across layers. ``kind``: error (relative, of the whole), size (bytes), rank (uniform)."""

    kind: str
    value: float
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if self.kind == "error" and not 0.0 <= self.value < 1.0:
            raise UsageError("--error is a share between 0 and 1 (or 0% and 100%)")
        if self.kind != "error" and self.value < 1:
            raise UsageError(f"--{'size' if self.kind == 'size' else 'budget-rank'} must be positive")

    def ranks(self, spectra: Sequence[Spectrum], size_of: SizeOf) -> Ranks:
        steps = _steps(spectra, self.bounds)
        start = [self.bounds.apply(self.bounds.least, s) for s in spectra]
        if self.kind == "error":
            return _until_error(spectra, start, steps, self.value)
        if self.kind == "rank":
            uniform = [min(int(self.value), s.limit) for s in spectra]
            return _within_bytes(spectra, start, steps, sum(r * s.cost for r, s in zip(uniform, spectra, strict=True)))
        return _within_size(spectra, start, steps, int(self.value), size_of)


@dataclass(frozen=True)
class _Step:
    """Raising one layer's rank: to which rank, at what cost, for which gain in energy."""

    layer: int
    rank: int
    cost: float
    gain: float


def _steps(spectra: Sequence[Spectrum], bounds: Bounds) -> list[_Step]:
    """All raises above the least rank, the most energy per byte first."""
    found: list[_Step] = []
    for number, s in enumerate(spectra):
        most = s.limit if bounds.most is None else min(bounds.most, s.limit)
        rank = bounds.apply(bounds.least, s)
        energies = np.square(s.sigma)
        while rank < most:
            target = min((rank // bounds.multiple + 1) * bounds.multiple, most)
            found.append(_Step(number, target, (target - rank) * s.cost, float(energies[rank:target].sum())))
            rank = target
    return sorted(found, key=lambda step: (-step.gain / step.cost, step.layer, step.rank))


def _until_error(spectra: Sequence[Spectrum], start: Ranks, steps: list[_Step], error: float) -> Ranks:
    ranks = list(start)
    allowed = error * error * sum(s.energy for s in spectra)
    dropped = sum(float(np.square(s.sigma[r:]).sum()) for r, s in zip(ranks, spectra, strict=True))
    for step in steps:
        if dropped <= allowed:
            break
        ranks[step.layer] = step.rank
        dropped -= step.gain
    return ranks


def _within_bytes(spectra: Sequence[Spectrum], start: Ranks, steps: list[_Step], budget: float) -> Ranks:
    """Take steps while they fit; a step that does not fit closes its layer, the next ones may still fit."""
    ranks, closed = list(start), set()
    left = budget - sum(r * s.cost for r, s in zip(ranks, spectra, strict=True))
    for step in steps:
        if step.layer in closed:
            continue
        if step.cost <= left:
            ranks[step.layer], left = step.rank, left - step.cost
        else:
            closed.add(step.layer)
    return ranks


def _within_size(spectra: Sequence[Spectrum], start: Ranks, steps: list[_Step], size: int, size_of: SizeOf) -> Ranks:
    """The budget whose file is at most ``size`` bytes: the header's length follows the ranks."""
    least = size_of(start)
    if least > size:
        raise WouldLose(f"the file cannot be smaller than {least} bytes at the lowest ranks",
                        hint=f"Ask for --size {least} or more.")
    base = sum(r * s.cost for r, s in zip(start, spectra, strict=True))
    budget = base + size - least
    while True:
        ranks = _within_bytes(spectra, start, steps, budget)
        over = size_of(ranks) - size
        if over <= 0:
            return ranks
        budget -= over


RankRule = FixedRank | PerLayer | Budget
