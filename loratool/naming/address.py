"""The only name that is used inside the program."""

from __future__ import annotations

from typing import NamedTuple

Rows = tuple[tuple[int, int], ...]
"""Half-open ranges of the output axis, in order. A swap of halves is two ranges the other way round."""

DENOISER = "denoiser"


class Address(NamedTuple):
    """A weight, or some of its rows.

    ``component`` is ``denoiser`` or a text encoder's id (clip-l, t5-xxl); ``module`` the model's
    own native name; ``rows`` None for the whole weight. A fused projection and the split ones of
    another spelling share component and module, and differ in rows.
    """

    component: str
    module: str
    rows: Rows | None = None

    @property
    def whole(self) -> tuple[str, str]:
        return self.component, self.module

    def __str__(self) -> str:
        rows = "" if self.rows is None else "[" + ",".join(f"{a}:{b}" for a, b in self.rows) + "]"
        return f"{self.component}:{self.module}{rows}"


def full(size: int) -> Rows:
    return ((0, size),)


def height(rows: Rows) -> int:
    """How many rows the ranges hold."""
    return sum(end - begin for begin, end in rows)


def moves(source: Rows, target: Rows) -> list[tuple[int, int, int]]:
    """How the rows of ``source`` reach ``target``: (position in source, in target, count).

    Rows that only one of the two has are left out.
    """
    result: list[tuple[int, int, int]] = []
    placed = 0
    for t_begin, t_end in target:
        position = 0
        for s_begin, s_end in source:
            begin, end = max(t_begin, s_begin), min(t_end, s_end)
            if begin < end:
                result.append((position + begin - s_begin, placed + begin - t_begin, end - begin))
            position += s_end - s_begin
        placed += t_end - t_begin
    return sorted(result, key=lambda move: move[1])


def share_rows(one: Rows | None, other: Rows | None) -> bool:
    """Whether two addresses of one module have rows in common."""
    if one is None or other is None:
        return True
    return any(a < d and c < b for a, b in one for c, d in other)


def endings_of(name: str) -> list[str]:
    """What PEFT would take a dotted name for, besides itself: all that follows one of its dots."""
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(1, len(parts))]
