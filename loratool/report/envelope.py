"""The JSON that every command prints: one envelope, versioned, with stable error codes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..checks.run import Verdict
from ..errors import LoratoolError
from ..ops.plan import Report, Result

VERSION = 1


def envelope(command: str, data: Any, errors: Sequence[LoratoolError], exit_code: int) -> dict[str, Any]:
    status = "ok" if exit_code == 0 else "no" if exit_code == 1 and not errors else "error"
    return {"loratool": VERSION, "command": command, "status": status, "exit_code": exit_code, "data": data,
            "errors": [error(e) for e in errors]}


def error(found: LoratoolError) -> dict[str, Any]:
    message = found.message if not found.key else f"{found.key}: {found.message}"
    return {"code": found.code, "message": message, "path": found.path, "hint": found.hint}


def failed(path: str, found: LoratoolError) -> dict[str, Any]:
    """What stands in the place of an input that could not be read."""
    told = error(found)
    return {"path": path, "error": {key: told[key] for key in ("code", "message", "hint")}}


def verdict(found: Verdict) -> dict[str, Any]:
    return {"path": found.path, "verdict": found.verdict,
            "findings": [{"id": f.id, "severity": f.severity, "key": f.key, "message": f.message, "hint": f.hint}
                         for f in found.findings]}


def result(done: Result) -> dict[str, Any]:
    return {"inputs": list(done.inputs), "output": done.output, "bytes": done.bytes, "family": done.family,
            "dialect": done.dialect, "error": done.error, "optimum": done.optimum, "exact": done.exact,
            "identical": done.identical, "dry_run": done.dry_run, "notes": list(done.notes),
            "modules": [_module(report) for report in done.modules]}


def _module(report: Report) -> dict[str, Any]:
    told: dict[str, Any] = {"name": report.name, "rank_before": report.rank_before, "rank": report.rank}
    if report.exact:
        return told | {"error": 0.0, "optimum": 0.0}
    norm = report.norm or 0.0
    return told | {"error": report.error / norm if norm else 0.0, "optimum": report.optimum / norm if norm else 0.0}


def dump(document: Any, indent: int | None = 1) -> str:
    separators = (",", ": ") if indent else (",", ":")
    return json.dumps(document, ensure_ascii=True, allow_nan=False, indent=indent, separators=separators)
