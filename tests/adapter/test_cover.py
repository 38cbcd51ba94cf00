"""Rows of fused and split projections: pieces, their moves, and the supports of joined layers."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loratool.adapter.cover import cover, height_of, live_columns, overlapping, split_supports
from loratool.naming.address import Address, moves


def _layer(rows, out):
    """Only what ``cover`` looks at."""
    height = out if rows is None else sum(b - a for a, b in rows)
    return SimpleNamespace(address=Address("denoiser", "m", rows), out=height)


def _rows(ranges):
    return np.concatenate([np.arange(a, b) for a, b in ranges])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_moves_carry_each_row_to_its_place(data):
    """Against an index array: position of every native row in both orders."""
    def ranges():
        edges = sorted(data.draw(st.sets(st.integers(0, 30), min_size=2, max_size=6)))
        pairs = list(zip(edges[::2], edges[1::2], strict=False))
        return tuple(data.draw(st.permutations(pairs)))

    source, target = ranges(), ranges()
    weight = np.arange(100, 131)
    got = np.full(len(_rows(target)), -1)
    held = weight[_rows(source)]
    for begin, place, count in moves(source, target):
        got[place:place + count] = held[begin:begin + count]
    expected = np.where(np.isin(_rows(target), _rows(source)), weight[_rows(target)], -1)
    assert (got == expected).all()


def test_split_parts_cover_a_fused_weight_in_order():
    parts = [_layer(((0, 4),), 12), _layer(((4, 8),), 12), _layer(((8, 12),), 12)]
    pieces = cover(parts, None, 12)
    placed = sum(p.place(np.full((4, 2), i + 1), 12) for i, p in enumerate(pieces))
    assert (placed[:, 0] == np.repeat([1, 2, 3], 4)).all()
    assert not overlapping(pieces, 12)


def test_swapped_halves_come_back_in_native_order():
    pieces = cover([_layer(((6, 12), (0, 6)), 12)], None, 12)
    assert (pieces[0].place(np.arange(12)[:, None], 12)[:, 0] == [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]).all()
    assert pieces[0].rows == 12


def test_a_missing_part_leaves_zero_rows_and_no_piece():
    pieces = cover([_layer(((0, 4),), 12)], None, 12)
    assert len(pieces) == 1 and pieces[0].rows == 4
    assert not pieces[0].place(np.ones((4, 2)), 12)[4:].any()
    assert cover([_layer(((0, 4),), 12)], ((4, 8),), 12) == []


def test_two_spellings_of_one_row_are_seen():
    assert overlapping(cover([_layer(None, 12), _layer(((4, 8),), 12)], None, 12), 12)


def test_the_supports_of_a_joined_layer_are_its_blocks():
    up = np.zeros((9, 6), np.uint16)
    up[0:3, 0:1], up[3:6, 1:4], up[6:9, 4:6] = 7, 7, 7
    parts = [((0, 3),), ((3, 6),), ((6, 9),)]
    supports = split_supports(up, parts, ((0, 9),))
    assert [np.flatnonzero(s).tolist() for s in supports] == [[0], [1, 2, 3], [4, 5]]


@pytest.mark.parametrize("spoil", ("shared column", "zero", "one part"))
def test_a_layer_that_was_not_joined_has_no_supports(spoil):
    up = np.zeros((9, 2), np.uint16)
    parts = [((0, 3),), ((3, 6),), ((6, 9),)]
    if spoil == "shared column":
        up[0:6, 0] = 7
    if spoil == "one part":
        up[0:3, 0], parts = 7, parts[:1]
    assert split_supports(up, parts, ((0, 9),)) is None


def test_minus_zero_is_zero():
    bits = np.array([[0x8000, 0x0000, 0x8001]], np.uint16)
    assert live_columns(bits).tolist() == [False, False, True]


def test_height_of_rows():
    assert height_of(None, 12) == 12 and height_of(((0, 4), (8, 10)), 12) == 6
