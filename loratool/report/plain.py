"""Plain output: ``key: value`` lines for one thing, tab-separated rows for several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..checks.run import Verdict
from ..inspection.inspect import Inspection
from ..ops.plan import Result
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


def verdict(found: Verdict) -> Iterator[str]:
    yield f"{clean(found.path, 4096)}: {found.verdict}"
    for f in found.findings:
        where = f" [{clean(f.key)}]" if f.key else ""
        yield f"  {f.severity} {f.id}{where}: {clean(f.message)}"
        if f.severity == "error" and f.hint:
            yield f"    {clean(f.hint)}"


def result(done: Result) -> Iterator[str]:
    yield f"output: {clean(done.output, 4096)}"
    yield f"bytes: {done.bytes}"
    yield f"family: {done.family or 'unknown'}"
    yield f"dialect: {done.dialect}"
    if not done.dry_run:
        yield f"error: {done.error:.6g}"
        yield f"optimum: {done.optimum:.6g}"
        yield f"exact: {'yes' if done.exact else 'no'}"
    if done.identical is not None:
        yield f"identical: {'yes' if done.identical else 'no'}"
    for note in done.notes:
        yield f"note: {clean(note)}"
