"""PEFT's configuration in the header, made to agree with the layers of an output."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..metadata import peft
from ..naming.keymap import keymap
from .plan import Carried, OutLayer

FOLLOWED = {"r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "exclude_modules",
            "use_rslora"}
"""The fields that ranks and alphas decide; the others of an earlier text are kept."""


def has_bias(carried: Sequence[Carried]) -> bool:
    """Whether some of the tensors are biases of LoRA layers."""
    return any(tensor.name.endswith(".lora_B.bias") for tensor in carried)


def configuration(layers: Sequence[OutLayer], model: str | None, before: str | None = None,
                  biased: bool = False) -> str:
    """The text of ``lora_adapter_metadata``: per component, as diffusers packs it."""
    document: dict[str, object] = {}
    for component in sorted({layer.component for layer in layers}):
        prefix = component + "." if component else ""
        made = _document([layer for layer in layers if layer.component == component], model, biased)
        document |= {prefix + key: value for key, value in made.items()}
    return json.dumps(document | _kept(before), sort_keys=True, separators=(",", ":"))


def config_file(layers: Sequence[OutLayer], model: str | None, before: str | None = None,
                biased: bool = False) -> str:
    """The text of an ``adapter_config.json``; as it was ("" for none) where no layer concerns it."""
    if not layers:
        return before or ""
    return json.dumps(_document(layers, model, biased) | _kept(before), indent=2) + "\n"


def _document(layers: Sequence[OutLayer], model: str | None, biased: bool) -> dict[str, object]:
    modules = {peft.config_name(layer.module): (layer.rank, layer.alpha) for layer in layers}
    made = peft.document(modules, keymap(model).lookalikes(modules) if model else ())
    return made | {"lora_bias": biased}


def _kept(before: str | None) -> dict[str, object]:
    """What an earlier text says beside ranks and alphas; nothing where it is of another algorithm than LoRA."""
    fields = _fields(before)
    if any(key.rpartition(".")[2] == "peft_type" and value != "LORA" for key, value in fields.items()):
        return {}
    return {key: value for key, value in fields.items() if key.rpartition(".")[2] not in FOLLOWED}


def _fields(text: str | None) -> dict[str, object]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
