"""Inspections in plain text: ``key: value`` lines for one, tab-separated rows for several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..inspection.inspect import Inspection
from .facts import ROW_TITLES, facts, row
from .sanitise import clean


def inspection(found: Inspection) -> Iterator[str]:
    yield f"path: {clean(found.path, 4096)}"
    for fact in facts(found):
        yield f"{fact.key}: {fact.value}"
        for why in fact.why:
            yield f"{fact.key}.note: {why}"


def inspection_rows(found: Sequence[tuple[str, Inspection | str]]) -> Iterator[str]:
    """A row per path; an error instead of an inspection fills the last column."""
    yield "\t".join(("path", *ROW_TITLES))
    for path, what in found:
        cells = ("", "", "", "", "", what) if isinstance(what, str) else row(what)
        yield "\t".join((clean(path, 4096), *cells))
