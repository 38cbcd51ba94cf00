"""PEFT's configuration in the header, made to agree with the layers of an output."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..metadata import peft
from .plan import OutLayer


def configuration(layers: Sequence[OutLayer], before: str | None = None) -> str:
    """The text of ``lora_adapter_metadata``: per component, as diffusers packs it.

    Fields of an earlier text that do not concern ranks, alphas and targets are kept.
    """
    document: dict[str, object] = {}
    for component in sorted({layer.component for layer in layers}):
        modules = {layer.module: (layer.rank, layer.alpha) for layer in layers if layer.component == component}
        prefix = component + "." if component else ""
        document |= {prefix + key: value for key, value in peft.document(modules).items()}
    kept = _fields(before)
    followed = {"r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "use_rslora"}
    document |= {key: value for key, value in kept.items() if key.rpartition(".")[2] not in followed}
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _fields(text: str | None) -> dict[str, object]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
