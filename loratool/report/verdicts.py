"""Verdicts as JSON and plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..checks.run import Verdict
from .sanitise import clean


def document(found: Verdict) -> dict[str, Any]:
    return {"path": found.path, "verdict": found.verdict,
            "findings": [{"id": f.id, "severity": f.severity, "key": f.key, "message": f.message, "hint": f.hint}
                         for f in found.findings]}


def lines(found: Verdict) -> Iterator[str]:
    yield f"{clean(found.path, 4096)}: {found.verdict}"
    for f in found.findings:
        where = f" [{clean(f.key)}]" if f.key else ""
        yield f"  {f.severity} {f.id}{where}: {clean(f.message)}"
        if f.severity == "error" and f.hint:
            yield f"    {clean(f.hint)}"
