"""What the weights say: norms, spectra, blocks, and how small the file could be. Reads all weights once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import isfinite
from statistics import median
from typing import Any

import numpy as np

from ..adapter.adapter import Adapter
from ..adapter.factored import FactoredLayer
from ..adapter.spectrum import Spectrum
from ..checks.finding import Finding, finding
from ..errors import Unsound
from ..naming.address import DENOISER
from ..naming.blocks import block, order
from ..ops import gate, resize
from ..ops.rules import Budget, FixedRank
from ..ops.run import size_of

SHARES = (0.5, 0.9, 0.95, 0.99)
SUGGESTED_ERROR = 0.05
RANKS = (1, 2, 4, 8, 16, 32, 64, 128)
UNTRAINED = 1e-6
"""A layer whose norm is below this share of the median's does nothing."""


@dataclass(frozen=True)
class Weights:
    """The sections of inspect.schema.json that need the weights."""

    strength: Mapping[str, Any]
    spectrum: Mapping[str, Any]
    blocks: tuple[Mapping[str, Any], ...]
    layers: Mapping[str, Mapping[str, Any]]
    """Stem -> the figures of its layer."""
    encoders: Mapping[str, Mapping[str, Any]]
    findings: tuple[Finding, ...]


def weigh(adapter: Adapter, threads: int = 1) -> Weights | None:
    """Everything that the weights of layers with factors tell; None where there are none.

    The sections are empty where no layer has a spectrum; the findings say why.
    """
    layers = adapter.factored_layers
    if not layers:
        return None
    with ThreadPoolExecutor(max_workers=threads) as pool:
        found = list(pool.map(_spectrum, layers))
    sound = [(layer, s) for layer, s in zip(layers, found, strict=True) if s is not None]
    broken = [layer for layer, s in zip(layers, found, strict=True) if s is None]
    told = [finding("NONFINITE", "weights or alpha are NaN, infinite or too large", layer.stem) for layer in broken
            if not layer.odd_dtype]
    if not sound:
        return Weights({}, {}, (), {}, {}, tuple(told))
    usual = median(s.norm for _, s in sound)
    dead = {s.name for _, s in sound if s.norm <= UNTRAINED * usual}
    told += [finding("ZERO_LAYER", "changes nothing: created but not trained", name) for name in sorted(dead)]
    spectra = [s for _, s in sound]
    return Weights(_strength(spectra), _summary(adapter, spectra, not broken), _blocks(sound),
                   {s.name: _layer(s, s.name in dead) for s in spectra}, _encoders(sound), tuple(told))


def _spectrum(layer: FactoredLayer) -> Spectrum | None:
    """None where it has no finite one."""
    if not isfinite(layer.scale) or layer.odd_dtype:
        return None
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            found = resize.spectrum(layer)
            return found if isfinite(found.energy) else None
    except (Unsound, np.linalg.LinAlgError):
        return None


def _strength(spectra: Sequence[Spectrum]) -> dict[str, Any]:
    norms = np.array([s.norm for s in spectra])
    return {"fro_total": float(np.sqrt(np.square(norms).sum())), "fro_max": float(norms.max()),
            "fro_mean": float(norms.mean()), "keys_over_1": int((norms > 1.0).sum()), "relative_to_base": None,
            "library_percentile": None, "suggested": None}


def _summary(adapter: Adapter, spectra: Sequence[Spectrum], complete: bool) -> dict[str, Any]:
    alive = [s for s in spectra if s.energy] or list(spectra)
    by_rank = energy_by_rank(spectra)
    return {"effective_rank_median": median(s.effective_rank() for s in alive),
            "stable_rank_median": median(s.stable_rank() for s in alive),
            "energy_by_rank": by_rank,
            "rank_for": {f"{share:g}": rank_for(by_rank, share) for share in SHARES},
            "resize": _suggestions(adapter, spectra, by_rank) if complete and _resizable(adapter) else []}


def _resizable(adapter: Adapter) -> bool:
    """Whether resize would take the file; where it would not, the sound layers still have their figures."""
    try:
        gate.require_sound(adapter)
    except Unsound:
        return False
    return True


def energy_by_rank(spectra: Sequence[Spectrum]) -> list[float]:
    """The share of the whole energy that a uniform rank 1, 2, ... keeps."""
    longest = max(len(s.sigma) for s in spectra)
    kept = np.zeros(longest)
    for s in spectra:
        energies = np.cumsum(np.square(s.sigma))
        kept += np.concatenate([energies, np.full(longest - len(energies), energies[-1])])
    return [float(share) for share in kept / kept[-1]] if kept[-1] else [1.0] * longest


def rank_for(by_rank: Sequence[float], share: float) -> int:
    return next(rank for rank, kept in enumerate(by_rank, 1) if kept >= share * (1 - 1e-12))


def _suggestions(adapter: Adapter, spectra: Sequence[Spectrum], by_rank: Sequence[float]) -> list[dict[str, Any]]:
    """Uniform ranks below the file's own, and the budget rule at 5 % error; `resize` keeps to both.

    What would be larger than the file is no suggestion: a LoKr is smaller than a LoRA of much less.
    """
    highest = max(s.rank for s in spectra)
    found = []
    for rank in (r for r in RANKS if r < highest):
        energy = by_rank[min(rank, len(by_rank)) - 1]
        found.append(_suggestion(rank, energy, size_of(resize.plan(adapter, FixedRank(rank))), f"--rank {rank}"))
    rule = Budget("error", SUGGESTED_ERROR)
    planned = resize.plan_from(adapter, rule, spectra)
    dropped = sum(r.error ** 2 for layer in planned.layers if (r := layer.predicted) is not None)
    whole = sum(s.energy for s in spectra)
    found.append(_suggestion(None, 1.0 - dropped / whole if whole else 1.0, size_of(planned),
                             f"--error {SUGGESTED_ERROR:.0%}"))
    size = sum(source.file.header.file_size for source in adapter.sources)
    plain = len(adapter.lora_layers) == len(adapter.factored_layers)
    return [suggestion for suggestion in found if plain or suggestion["bytes"] < size]


def _suggestion(rank: int | None, energy: float, size: int, rule: str) -> dict[str, Any]:
    return {"rank": rank, "energy": energy, "bytes": size, "error": float(np.sqrt(max(0.0, 1.0 - energy))),
            "rule": rule}


def _blocks(sound: Sequence[tuple[FactoredLayer, Spectrum]]) -> tuple[dict[str, Any], ...]:
    groups: dict[str, list[Spectrum]] = {}
    for layer, s in sound:
        groups.setdefault(block(layer.address), []).append(s)
    whole = sum(s.energy for _, s in sound)
    return tuple({"block": name, "modules": len(members),
                  "rms_fro": float(np.sqrt(np.mean([s.energy for s in members]))),
                  "energy_share": sum(s.energy for s in members) / whole if whole else 0.0}
                 for name, members in sorted(groups.items(), key=lambda item: order(item[0])))


def _encoders(sound: Sequence[tuple[FactoredLayer, Spectrum]]) -> dict[str, dict[str, Any]]:
    whole = sum(s.energy for _, s in sound)
    shares: dict[str, float] = {}
    for layer, s in sound:
        if layer.address is not None and layer.address.component != DENOISER:
            shares[layer.address.component] = shares.get(layer.address.component, 0.0) + s.energy
    return {name: {"trained": energy > 0.0, "energy_share": energy / whole if whole else 0.0}
            for name, energy in shares.items()}


def _layer(s: Spectrum, dead: bool) -> dict[str, Any]:
    return {"fro": s.norm, "spectral": float(s.sigma[0]), "stable_rank": s.stable_rank(),
            "effective_rank": s.effective_rank(), "r95": s.rank_for(0.95),
            "top1": float(s.sigma[0]) ** 2 / s.energy if s.energy else 0.0,
            "singular_values": [float(x) for x in s.sigma], "flags": ["UNTRAINED"] if dead else []}
