"""The published JSON Schemas: the envelope, filled with each command's data."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

COMMANDS = ("inspect", "validate", "resize", "merge", "convert", "formats")
_NAMES = {"resize": "result", "merge": "result", "convert": "result"}


def schema(command: str) -> dict[str, Any]:
    """The schema of the whole output of a command in JSON."""
    data = _load(_NAMES.get(command, command))
    if command in ("inspect", "validate"):
        failed = {"type": "object", "required": ["path", "error"], "additionalProperties": False, "properties": {
            "path": {"type": "string"}, "error": {"type": "object", "required": ["code", "message", "hint"]}}}
        data = {"type": "array", "items": {"anyOf": [data, failed]}}
    if command == "validate":
        data = {"anyOf": [data, _load("rule")]}
    envelope = _load("envelope")
    envelope["$id"] = f"loratool/{command}/envelope/1"
    envelope["properties"]["command"] = {"const": command}
    envelope["properties"]["data"] = {"anyOf": [data, {"type": "null"}]}
    return envelope


def _load(name: str) -> dict[str, Any]:
    text = files(__package__).joinpath("schemas", f"{name}.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
