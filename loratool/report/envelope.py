"""The JSON that every command prints: one envelope, versioned, with stable error codes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..errors import LoratoolError

VERSION = 1


def envelope(command: str, data: Any, errors: Sequence[LoratoolError], exit_code: int) -> dict[str, Any]:
    status = "ok" if exit_code == 0 else "no" if exit_code == 1 else "error"
    return {"loratool": VERSION, "command": command, "status": status, "exit_code": exit_code, "data": data,
            "errors": [error(e) for e in errors]}


def error(found: LoratoolError) -> dict[str, Any]:
    message = found.message if not found.key else f"{found.key}: {found.message}"
    return {"code": found.code, "message": message, "path": found.path, "hint": found.hint}


def failed(path: str, found: LoratoolError) -> dict[str, Any]:
    """What stands in the place of an input that could not be read."""
    told = error(found)
    return {"path": path, "error": {key: told[key] for key in ("code", "message", "hint")}}


def dump(document: Any, indent: int | None = 1) -> str:
    separators = (",", ": ") if indent else (",", ":")
    return json.dumps(document, ensure_ascii=True, allow_nan=False, indent=indent, separators=separators)
