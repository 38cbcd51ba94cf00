"""Results of operations as JSON and plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..naming.blocks import order
from ..ops.plan import Conflict, Report, Result
from .sanitise import clean


def document(done: Result) -> dict[str, Any]:
    return {"inputs": list(done.inputs), "output": done.output, "bytes": done.bytes, "family": done.family,
            "dialect": done.dialect, "error": done.error, "optimum": done.optimum, "exact": done.exact,
            "identical": done.identical, "dry_run": done.dry_run, "notes": list(done.notes),
            "conflict": _conflict(done.conflict),
            "modules": [_module(report) for report in done.modules]}


def ranks_per_block(done: Result) -> list[tuple[str, str]]:
    """Block -> its ranks, lowest and highest, in the order of the model."""
    found: dict[str, list[int]] = {}
    for report in done.modules:
        found.setdefault(report.block, []).append(report.rank)
    return [(name, str(min(r)) if min(r) == max(r) else f"{min(r)}-{max(r)}")
            for name, r in sorted(found.items(), key=lambda item: order(item[0]))]


def _conflict(found: Conflict | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"norms": list(found.norms), "cosines": [list(row) for row in found.cosines], "gain": found.gain}


def _module(report: Report) -> dict[str, Any]:
    told: dict[str, Any] = {"name": report.name, "rank_before": report.rank_before, "rank": report.rank}
    if report.exact:
        return told | {"error": 0.0, "optimum": 0.0}
    norm = report.norm or 0.0
    return told | {"error": report.error / norm if norm else 0.0, "optimum": report.optimum / norm if norm else 0.0}


def lines(done: Result) -> Iterator[str]:
    yield f"output: {clean(done.output, 4096)}"
    yield f"bytes: {done.bytes}"
    yield f"family: {done.family or 'unknown'}"
    yield f"dialect: {done.dialect}"
    yield f"error: {done.error:.6g}"
    yield f"optimum: {done.optimum:.6g}"
    yield f"exact: {'yes' if done.exact else 'no'}"
    if done.dry_run:
        yield from (f"ranks.{name}: {told}" for name, told in ranks_per_block(done))
    if done.identical is not None:
        yield f"identical: {'yes' if done.identical else 'no'}"
    for note in done.notes:
        yield f"note: {clean(note)}"
