"""Rank rules against their definitions, brute force and sd-scripts' own arithmetic."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loratool.adapter.spectrum import Spectrum
from loratool.errors import UsageError, WouldLose
from loratool.ops.rules import Bounds, Budget, FixedRank, PerLayer


def spectrum(sigma, out=64, inner=48, rank=None, dtype="F16", spatial=False, name="m"):
    sigma = np.sort(np.abs(np.asarray(sigma, float)))[::-1]
    return Spectrum(name, sigma, out, inner, rank or len(sigma), spatial, dtype, 2.0)


def sizes(spectra, overhead=1000):
    return lambda ranks: overhead + int(sum(r * s.cost for r, s in zip(ranks, spectra, strict=True)))


sigmas = st.lists(st.floats(1e-3, 10.0), min_size=1, max_size=24)
layers = st.lists(st.tuples(sigmas, st.integers(24, 80), st.integers(24, 80)), min_size=1, max_size=5)
FEW = settings(max_examples=150, deadline=None)


@given(sigmas, st.floats(0.01, 1.0))
@FEW
def test_energy_is_the_least_rank_that_keeps_the_share(sigma, share):
    s = spectrum(sigma)
    rank, = PerLayer("energy", share).ranks([s], sizes([s]))
    squares = np.square(s.sigma)
    assert squares[:rank].sum() >= share * squares.sum() * (1 - 1e-9)
    assert rank == 1 or squares[:rank - 1].sum() < share * squares.sum() * (1 + 1e-9)


@given(sigmas, st.floats(0.01, 1.0), st.floats(1.0, 50.0))
@FEW
def test_the_sv_rules_are_their_definitions(sigma, share, ratio):
    s = spectrum(sigma)
    values = s.sigma.tolist()
    assert PerLayer("sv-ratio", ratio).ranks([s], sizes([s])) == [sum(v > values[0] / ratio for v in values) or 1]
    for kind, power in (("sv-cumulative", 1), ("sv-fro", 2)):
        rank, = PerLayer(kind, share).ranks([s], sizes([s]))
        weights = [v ** power for v in values]
        need = share ** power * sum(weights)
        assert sum(weights[:rank]) >= need * (1 - 1e-9)
        assert rank == 1 or sum(weights[:rank - 1]) < need * (1 + 1e-9)


def sd_scripts_rank(kind, target, sigma, cap):
    """resize_lora.py 48d368fa, its index functions and ``rank_resize``, from their description."""
    s = torch.tensor(sigma, dtype=torch.float64)
    if kind == "sv-ratio":
        index = int((s > s[0] / target).sum())
    else:
        weights = s if kind == "sv-cumulative" else s ** 2
        goal = target if kind == "sv-cumulative" else target ** 2
        index = int(torch.searchsorted(torch.cumsum(weights, 0) / weights.sum(), goal)) + 1
    rank = max(1, min(index, len(s) - 1)) + 1
    return 1 if s[0] <= 1e-6 else min(rank, cap)


@pytest.mark.parametrize(("kind", "target"), [("sv-ratio", 2.0), ("sv-ratio", 30.0), ("sv-cumulative", 0.5),
                                              ("sv-cumulative", 0.97), ("sv-fro", 0.5), ("sv-fro", 0.99)])
def test_kohya_compat_gives_the_ranks_of_sd_scripts(kind, target):
    rng = np.random.default_rng(0)
    for _ in range(200):
        rank, out = int(rng.integers(1, 32)), int(rng.integers(32, 40))
        own = np.sort(rng.exponential(size=rank))[::-1]
        s = spectrum(own, out=out, inner=50, rank=rank)
        whole = np.concatenate([own, np.zeros(min(out, 50) - rank)])  # it takes the SVD of the full product
        rule = PerLayer(kind, target, kohya_compat=True, bounds=Bounds(most=rank))
        assert rule.ranks([s], sizes([s])) == [sd_scripts_rank(kind, target, whole, rank)]


@given(layers, st.floats(0.0, 0.9))
@FEW
def test_error_is_met_by_the_greedy_prefix_and_not_by_one_step_less(shapes, error):
    spectra = [spectrum(sigma, out, inner) for sigma, out, inner in shapes]
    ranks = Budget("error", error).ranks(spectra, sizes(spectra))
    whole = sum(s.energy for s in spectra)

    def dropped(ranks):
        return sum(float(np.square(s.sigma[r:]).sum()) for r, s in zip(ranks, spectra, strict=True))

    full = all(r == s.limit for r, s in zip(ranks, spectra, strict=True))
    assert full or dropped(ranks) <= error ** 2 * whole * (1 + 1e-9)
    raised = [n for n, r in enumerate(ranks) if r > 1]
    if raised:
        worst = min(raised, key=lambda n: float(spectra[n].sigma[ranks[n] - 1]) ** 2 / spectra[n].cost)
        fewer = [r - (n == worst) for n, r in enumerate(ranks)]
        assert dropped(fewer) > error ** 2 * whole * (1 - 1e-9)


@given(st.lists(st.tuples(st.lists(st.floats(1e-2, 10.0), min_size=1, max_size=4), st.integers(4, 40)), min_size=1,
                max_size=4), st.floats(0.0, 1.0))
@FEW
def test_the_budget_is_within_the_last_item_of_brute_force(shapes, part):
    spectra = [spectrum(sigma, out, 8, rank=len(sigma)) for sigma, out in shapes]
    limits = [s.limit for s in spectra]
    least, most = sum(s.cost for s in spectra), sum(r * s.cost for r, s in zip(limits, spectra, strict=True))
    budget = least + part * (most - least)
    ranks = Budget("size", 1000 + budget).ranks(spectra, sizes(spectra))

    def cost(ranks):
        return sum(r * s.cost for r, s in zip(ranks, spectra, strict=True))

    def kept(ranks):
        return sum(float(np.square(s.sigma[:r]).sum()) for r, s in zip(ranks, spectra, strict=True))

    assert sizes(spectra)(ranks) <= 1000 + budget
    best = max(kept(choice) for choice in itertools.product(*(range(1, n + 1) for n in limits))
               if cost(choice) <= budget + 1e-9)
    last = max(float(np.square(s.sigma[1:]).max(initial=0.0)) for s in spectra)
    assert best - kept(ranks) <= last + 1e-9


def test_size_is_never_exceeded_although_the_header_follows_the_ranks():
    spectra = [spectrum(np.arange(20, 0, -1), name=str(n)) for n in range(6)]

    def growing(ranks):
        return 500 + sum(3 * len(str(r)) for r in ranks) + int(sum(r * s.cost for r, s in zip(ranks, spectra,
                                                                                              strict=True)))
    for size in range(growing([1] * 6), growing([20] * 6), 997):
        ranks = Budget("size", size).ranks(spectra, growing)
        assert size - spectra[0].cost - 20 < growing(ranks) <= size


def test_a_size_that_no_rank_reaches_is_refused_with_the_least():
    spectra = [spectrum([1.0, 0.5])]
    with pytest.raises(WouldLose, match="1224"):
        Budget("size", 1000).ranks(spectra, sizes(spectra))


def test_budget_rank_takes_the_bytes_of_the_uniform_rank_and_keeps_more():
    rng = np.random.default_rng(1)
    spectra = [spectrum(np.arange(1, 33) ** -rng.uniform(0.3, 2.0) * rng.exponential(), out=o) for o in (40, 80, 320)]
    ranks = Budget("rank", 8).ranks(spectra, sizes(spectra))
    uniform = FixedRank(8).ranks(spectra, sizes(spectra))

    def kept(ranks):
        return sum(float(np.square(s.sigma[:r]).sum()) for r, s in zip(ranks, spectra, strict=True))

    assert sizes(spectra)(ranks) <= sizes(spectra)(uniform)
    assert kept(ranks) > kept(uniform)


@given(sigmas, st.integers(1, 30), st.integers(1, 30), st.sampled_from([1, 2, 4, 8]), st.floats(0.1, 1.0))
@FEW
def test_bounds_hold_for_every_rule(sigma, least, more, multiple, share):
    s = spectrum(sigma)
    bounds = Bounds(least, least + more, multiple)
    for rule in (PerLayer("energy", share, bounds=bounds), Budget("error", 1 - share, bounds),
                 Budget("rank", 4, bounds), PerLayer("lossless", bounds=bounds)):
        rank, = rule.ranks([s], sizes([s]))
        assert 1 <= rank <= min(s.limit, least + more)
        assert rank >= min(least, s.limit)
        assert rank % multiple == 0 or rank in (s.limit, least + more)


def test_lossless_drops_what_the_dtype_cannot_hold():
    sigma = [1.0, 0.5, 1e-6, 1e-7]
    for dtype, rank in (("F16", 2), ("BF16", 2), ("F32", 4)):
        s = spectrum(sigma, dtype=dtype)
        assert PerLayer("lossless").ranks([s], sizes([s])) == [rank]


def test_a_dead_layer_gets_the_least_rank():
    s = spectrum([0.0, 0.0, 0.0])
    for rule in (PerLayer("energy", 0.9), PerLayer("sv-fro", 0.9), PerLayer("sv-ratio", 4.0), Budget("error", 0.1),
                 PerLayer("sv-fro", 0.9, kohya_compat=True)):
        assert rule.ranks([s], sizes([s])) == [1]


@pytest.mark.parametrize("make", [
    lambda: FixedRank(0), lambda: PerLayer("energy", 0.0), lambda: PerLayer("energy", 1.5),
    lambda: PerLayer("sv-ratio", 0.5), lambda: Budget("error", 1.0), lambda: Budget("size", 0),
    lambda: Bounds(0), lambda: Bounds(4, 2), lambda: Bounds(multiple=0)])
def test_values_without_meaning_are_refused(make):
    with pytest.raises(UsageError):
        make()
