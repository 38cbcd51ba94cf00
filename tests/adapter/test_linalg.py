"""The factor algebra against dense float64 numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loratool.adapter import linalg


def _orthonormal(rng, rows, columns):
    return np.linalg.qr(rng.standard_normal((rows, columns)))[0]


def _with_spectrum(sigma, m=60, n=70, seed=0, mix=True):
    """Factors of a matrix with the singular values ``sigma``, in a random gauge."""
    rng = np.random.default_rng(seed)
    rank = len(sigma)
    gauge = np.linalg.qr(rng.standard_normal((rank, rank)))[0] @ np.diag(rng.uniform(0.3, 3.0, rank)) if mix else np.eye(rank)
    up = _orthonormal(rng, m, rank) * np.asarray(sigma)
    return up @ gauge, np.linalg.inv(gauge) @ _orthonormal(rng, n, rank).T


def _cases():
    rng = np.random.default_rng(7)
    plain = rng.standard_normal((50, 8)), rng.standard_normal((8, 40))
    u, d = rng.standard_normal((50, 4)), rng.standard_normal((4, 40))
    yield "random", *plain
    yield "exact low rank", plain[0][:, :3] @ rng.standard_normal((3, 8)), plain[1]
    yield "spikes of 1e5", *_with_spectrum([1e5, 1e5, 3.0, 2.0, 1.0, 0.5])
    yield "decay to 1e-12", *_with_spectrum(np.logspace(0, -12, 9))
    yield "equal values", *_with_spectrum(np.ones(6))
    yield "up 1e-6, down 1e3", plain[0] * 1e-6, plain[1] * 1e3
    yield "up 1e3, down 1e-6", plain[0] * 1e3, plain[1] * 1e-6
    yield "columns out of balance", plain[0] * np.logspace(4, -4, 8), plain[1] * np.logspace(-4, 4, 8)[:, None]
    yield "nearly cancelling", np.hstack([u, u + 1e-6 * rng.standard_normal(u.shape)]), np.vstack([d, -d])
    yield "nearly dependent rows", plain[0], np.vstack([d, d + 1e-3 * rng.standard_normal(d.shape)])
    yield "rank above rows", rng.standard_normal((4, 9)), rng.standard_normal((9, 30))
    yield "rank above columns", rng.standard_normal((30, 9)), rng.standard_normal((9, 5))
    yield "one row", rng.standard_normal((1, 3)), rng.standard_normal((3, 20))
    yield "one column", rng.standard_normal((20, 3)), rng.standard_normal((3, 1))
    yield "rank one", rng.standard_normal((20, 1)), rng.standard_normal((1, 30))


CASES = {name: (up, down) for name, up, down in _cases()}
every_case = pytest.mark.parametrize("case", CASES)
both_routes = pytest.mark.parametrize("exact", (False, True), ids=("gram", "qr"))


@both_routes
@every_case
def test_singular_values_are_those_of_a_dense_svd(case, exact):
    up, down = CASES[case]
    true = np.linalg.svd(up @ down, compute_uv=False)
    got = linalg.core(up, down, exact).sigma
    kept = min(len(got), len(true))
    # Squares are what the Gram form computes: values below 1e-8 of the first one drown in rounding.
    tolerance = np.where(true[:kept] > 1e-6 * true[0], 1e-9, 1e-9 if exact else 1e-7) * true[0]
    assert (np.abs(got[:kept] - true[:kept]) <= tolerance).all()
    assert (got[kept:] <= 1e-7 * true[0]).all()
    assert (np.diff(got) <= 0).all()


@both_routes
@every_case
def test_truncation_attains_eckart_young_at_every_rank(case, exact):
    up, down = CASES[case]
    dense = up @ down
    true = np.linalg.svd(dense, compute_uv=False)
    core = linalg.core(up, down, exact)
    for rank in range(1, len(core.sigma) + 1):
        got_up, got_down = core.truncate(rank)
        assert got_up.shape == (up.shape[0], rank) and got_down.shape == (rank, down.shape[1])
        least = np.sqrt(np.square(true[rank:]).sum())
        error = np.linalg.norm(dense - got_up @ got_down)
        # The Gram form's floor, far under the rounding of the 16-bit outputs that it serves.
        floor = 1e-14 * np.linalg.norm(up, 2) * np.linalg.norm(down, 2) if exact else 5e-9 * true[0]
        assert error <= least * (1 + 1e-9) + floor


@both_routes
@every_case
def test_the_tail_is_the_least_error(case, exact):
    up, down = CASES[case]
    true = np.linalg.svd(up @ down, compute_uv=False)
    core = linalg.core(up, down, exact)
    assert core.norm == pytest.approx(np.linalg.norm(up @ down), rel=1e-9)
    for rank in range(len(core.sigma)):
        assert abs(core.tail(rank) - np.linalg.norm(true[rank:])) <= (1e-9 if exact else 3e-7) * true[0]


@pytest.mark.parametrize("exact", (False, True), ids=("gram", "qr"))
@pytest.mark.parametrize("zero", ("up", "down", "both"))
def test_a_zero_update_truncates_to_a_zero_update(zero, exact):
    """An untrained layer has a zero ``up``; no direction may come out of nothing."""
    rng = np.random.default_rng(1)
    up, down = rng.standard_normal((30, 4)), rng.standard_normal((4, 20))
    up = up * (zero == "down")
    down = down * (zero == "up")
    core = linalg.core(up, down, exact)
    assert not core.sigma.any()
    got_up, got_down = core.truncate(2)
    assert got_up.shape == (30, 2) and got_down.shape == (2, 20)
    assert not (got_up @ got_down).any()


def test_factors_share_the_singular_value_evenly():
    up, down = CASES["up 1e-6, down 1e3"]
    got_up, got_down = linalg.core(up, down).truncate(3)
    sigma = np.linalg.svd(up @ down, compute_uv=False)[:3]
    assert np.allclose(np.square(got_up).sum(axis=0), sigma, rtol=1e-9)
    assert np.allclose(np.square(got_down).sum(axis=1), sigma, rtol=1e-9)
    assert np.allclose(got_up.T @ got_up, np.diag(sigma), atol=1e-9 * sigma[0])


@both_routes
def test_the_largest_entry_of_each_column_is_positive(exact):
    for case in ("random", "decay to 1e-12", "rank above rows"):
        up, _ = linalg.core(*CASES[case], exact).truncate(3)
        assert (up[np.abs(up).argmax(axis=0), np.arange(3)] > 0).all()


@both_routes
def test_equal_input_gives_equal_bytes(exact):
    up, down = CASES["random"]
    first = linalg.core(up.copy(), down.copy(), exact).truncate(4)
    second = linalg.core(np.array(up, order="F"), np.array(down, order="C"), exact).truncate(4)
    again = linalg.core(up.copy(), down.copy(), exact).truncate(4)
    assert [a.tobytes() for a in first] == [a.tobytes() for a in again]
    assert np.allclose(first[0], second[0], rtol=0, atol=1e-12 * np.abs(first[0]).max())


@both_routes
@pytest.mark.parametrize("sign", (1.0, -1.0))
def test_another_gauge_of_the_same_update_gives_the_same_factors(sign, exact):
    """(U G, G^-1 D) is the same update: signs, balance and directions come out the same."""
    rng = np.random.default_rng(3)
    up, down = _with_spectrum([5.0, 3.0, 2.0, 1.0, 0.4], seed=4)
    left, right = _orthonormal(rng, 5, 5), _orthonormal(rng, 5, 5)
    gauge = sign * left @ np.diag([10.0, 6.0, 3.0, 2.0, 1.0]) @ right
    one = linalg.core(up, down, exact).truncate(3)
    other = linalg.core(up @ gauge, np.linalg.inv(gauge) @ down, exact).truncate(3)
    assert np.allclose(one[0], other[0], rtol=0, atol=1e-9)
    assert np.allclose(one[1], other[1], rtol=0, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 24), st.integers(1, 24), st.integers(1, 12), st.integers(0, 2**32 - 1), st.booleans(),
       st.sampled_from((1.0, 1e-6, 1e4)))
def test_any_shape_and_rank_is_cut_optimally(m, n, rank, seed, exact, imbalance):
    rng = np.random.default_rng(seed)
    up, down = rng.standard_normal((m, rank)) * imbalance, rng.standard_normal((rank, n)) / imbalance
    dense = up @ down
    true = np.linalg.svd(dense, compute_uv=False)
    core = linalg.core(up, down, exact)
    for cut in {1, (len(true) + 1) // 2, min(m, n, rank)}:
        got_up, got_down = core.truncate(cut)
        least = np.linalg.norm(true[cut:])
        assert np.linalg.norm(dense - got_up @ got_down) <= least * (1 + 1e-9) + 1e-9 * true[0]


@every_case
def test_norm_and_inner_are_the_dense_ones(case):
    if case == "nearly cancelling":
        return
    up, down = CASES[case]
    rng = np.random.default_rng(5)
    other = rng.standard_normal((up.shape[0], 3)), rng.standard_normal((3, down.shape[1]))
    dense, second = up @ down, other[0] @ other[1]
    assert linalg.norm(up, down) == pytest.approx(np.linalg.norm(dense), rel=1e-9)
    scale = np.linalg.norm(dense) * np.linalg.norm(second)
    assert abs(linalg.inner(up, down, *other) - np.sum(dense * second)) <= 1e-9 * scale


@pytest.mark.parametrize("size", (1.0, 1e-3, 1e-7, 1e-12))
def test_distance_keeps_its_digits_for_small_differences(size):
    rng = np.random.default_rng(6)
    up, down = rng.standard_normal((60, 8)), rng.standard_normal((8, 50))
    moved = up + size * rng.standard_normal(up.shape)
    true = np.linalg.norm((moved - up) @ down)
    # ``moved`` itself is rounded: at 1e-12 its difference is what is left, which is what is measured.
    assert linalg.distance(moved, down, up, down) == pytest.approx(true, rel=1e-6 if size > 1e-12 else 1e-2)


def test_distance_of_an_update_to_itself_is_nothing():
    rng = np.random.default_rng(8)
    up, down = rng.standard_normal((60, 8)), rng.standard_normal((8, 50))
    assert linalg.distance(up, down, up, down) <= 1e-13 * np.linalg.norm(up @ down)
    assert linalg.distance(2 * up, down / 2, up, down) <= 1e-13 * np.linalg.norm(up @ down)


@pytest.mark.parametrize("size", (1e-3, 1e-5, 1e-7))
def test_distance_is_right_where_the_factors_nearly_cancel(size):
    """A merge of nearly opposite adapters: the update is far smaller than its stacked factors."""
    rng = np.random.default_rng(9)
    u, d = rng.standard_normal((60, 4)), rng.standard_normal((4, 50))
    near = u + size * rng.standard_normal(u.shape)
    up, down = np.hstack([u, near]), np.vstack([d, -d])
    true = (u - near) @ d
    got_up, got_down = linalg.core(up, down).truncate(2)
    assert linalg.distance(got_up, got_down, up, down) == pytest.approx(
        np.linalg.norm(got_up @ got_down - true), rel=1e-3)


def test_numerical_rank_counts_what_is_above_the_tolerance():
    sigma = np.array([1.0, 1e-3, 1e-6, 1e-9])
    assert linalg.numerical_rank(sigma, 1e-8) == 3
    assert linalg.numerical_rank(sigma, 1e-5) == 2
    assert linalg.numerical_rank(sigma, 1e-2) == 1
    assert linalg.numerical_rank(sigma, 0.0) == 4
    assert linalg.numerical_rank(np.zeros(3), 1e-8) == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1e-12, 1e3), min_size=1, max_size=10), st.sampled_from((1e-8, 1e-5, 1e-4, 1e-2)))
def test_numerical_rank_is_the_least_that_keeps_the_norm(values, tolerance):
    sigma = np.sort(np.array(values))[::-1]
    rank = linalg.numerical_rank(sigma, tolerance)
    whole = np.linalg.norm(sigma)
    assert np.linalg.norm(sigma[rank:]) <= tolerance * whole * (1 + 1e-9)
    assert np.linalg.norm(sigma[rank - 1:]) > tolerance * whole * (1 - 1e-9)


def test_stacked_factors_are_the_sum():
    rng = np.random.default_rng(10)
    parts = [(rng.standard_normal((20, r)), rng.standard_normal((r, 30))) for r in (1, 4, 2)]
    up, down = linalg.stack(parts)
    assert up.shape == (20, 7)
    assert np.allclose(up @ down, sum(u @ d for u, d in parts), rtol=0, atol=1e-12)
