"""Reading single metadata values. All are strings; "None" is text; JSON may be broken."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

_NOTHING = {"", "None", "none", "null"}


def text(metadata: Mapping[str, str], *keys: str) -> str | None:
    """The first of ``keys`` that says something."""
    for key in keys:
        value = metadata.get(key)
        if value is not None and value.strip() not in _NOTHING:
            return value.strip()
    return None


def number(metadata: Mapping[str, str], key: str) -> float | None:
    value = text(metadata, key)
    try:
        found = float(value) if value is not None else None
    except ValueError:
        return None
    return found if found is not None and math.isfinite(found) else None


def whole(metadata: Mapping[str, str], key: str) -> int | None:
    found = number(metadata, key)
    return int(found) if found is not None and abs(found) < 1e15 else None


def document(metadata: Mapping[str, str], key: str) -> Any:
    """The JSON in a value; None when it is absent or broken. NaN and Infinity become None."""
    value = text(metadata, key)
    if value is None:
        return None
    try:
        return json.loads(value, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


JSON_KEYS = ("ss_tag_frequency", "ss_network_args", "ss_dataset_dirs", "ss_reg_dataset_dirs",
             "ss_bucket_info", "ss_datasets", "training_info", "software", "lora_adapter_metadata")


def unparsed(metadata: Mapping[str, str]) -> list[str]:
    """Keys whose value should be JSON and is not."""
    return [key for key in JSON_KEYS
            if text(metadata, key) is not None and document(metadata, key) is None]
