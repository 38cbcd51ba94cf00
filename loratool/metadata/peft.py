"""PEFT's configuration: ``adapter_config.json``, or ``lora_adapter_metadata`` in the header.

Sources: peft ``LoraConfig`` and ``get_pattern_key``; diffusers ``_pack_dict_with_prefix``, which
puts the component's name before each key (``transformer.r``).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from ..naming.address import endings_of

HEADER_KEY = "lora_adapter_metadata"
CONFIG_NAME = "adapter_config.json"
MODEL_NAME = "adapter_model.safetensors"
WRAPPER = "base_model.model."
"""What PEFT's own files put before each module; a component's name may stand before it."""


def split_stem(stem: str) -> tuple[str, str]:
    """Component ("" for none) and module, as a configuration names them."""
    component, wrapper, module = stem.partition(WRAPPER)
    if wrapper:
        return component.rstrip("."), module
    component, _, module = stem.partition(".")
    return component, module


@dataclass(frozen=True)
class PeftConfig:
    """What of a configuration decides the update of a module."""

    r: int | None = None
    lora_alpha: float | None = None
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    use_rslora: bool = False
    use_dora: bool = False

    def alpha(self, module: str, rank: int) -> float | None:
        """The alpha whose ratio to ``rank`` is the module's scale; None when nothing says so.

        rsLoRA divides by the square root of the rank: its alpha is given as alpha * sqrt(rank),
        so that alpha / rank is the scale everywhere in this program.
        """
        value: float | None = _first(self.alpha_pattern, module, self.lora_alpha)
        if value is None:
            return None
        return value * math.sqrt(rank) if self.use_rslora else value

    def rank(self, module: str) -> int | None:
        """The rank that the configuration gives a module."""
        value: int | None = _first(self.rank_pattern, module, self.r)
        return value


def _first(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    for key, value in patterns.items():
        try:
            if re.match(rf"(.*\.)?({key})$", module):
                return value
        except re.error:
            if module.endswith(key):
                return value
    return default


def parse(text: str) -> dict[str, PeftConfig]:
    """Component (``unet``, ``transformer``, ``text_encoder``...; "" if unnamed) -> configuration.

    Text that is not what PEFT writes gives an empty answer; the checks report it.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    by_component: dict[str, dict[str, Any]] = {}
    for key, value in document.items():
        component, _, name = key.rpartition(".")
        by_component.setdefault(component, {})[name] = value
    return {c: _config(values) for c, values in by_component.items()
            if "r" in values or "lora_alpha" in values}


def fault(text: str) -> str | None:
    """Why a configuration's rank and alpha cannot be understood; None where they can, or where it has none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "it is not JSON"
    if not isinstance(document, dict):
        return "it is not an object"
    for key, value in document.items():
        name = key.rpartition(".")[2]
        if name in ("r", "lora_alpha", "alpha") and not _is_number(value):
            return f"{key} is {json.dumps(value)[:40]}, which is no number"
        if name in ("rank_pattern", "alpha_pattern") and value is not None and not (
                isinstance(value, dict) and all(map(_is_number, value.values()))):
            return f"{key} does not map names to numbers"
    return None


def _is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number; a whole one in JSON can be larger than any float."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _config(values: Mapping[str, Any]) -> PeftConfig:
    # LoHa's and LoKr's configurations say "alpha" where LoRA's says "lora_alpha".
    rank, alpha = values.get("r"), values.get("lora_alpha", values.get("alpha"))
    return PeftConfig(
        r=rank if isinstance(rank, int) else None,
        lora_alpha=float(alpha) if _is_number(alpha) else None,
        rank_pattern=_numbers(values.get("rank_pattern")),
        alpha_pattern=_numbers(values.get("alpha_pattern")),
        use_rslora=values.get("use_rslora") is True,
        use_dora=values.get("use_dora") is True)


def _numbers(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    return {str(k): v for k, v in value.items() if _is_number(v)}


def document(modules: Mapping[str, tuple[int, float]], lookalikes: Collection[str] = ()) -> dict[str, Any]:
    """The configuration of modules given as name -> (rank, alpha), as PEFT writes it.

    The commonest rank and alpha are the defaults; others go into the patterns by full name.
    ``lookalikes`` are other modules of the model whose names end alike: PEFT takes a target and a pattern as
    an ending, so they must be excluded by name, and patterns bound to the name's beginning.
    """
    endings = {ending for name in (*modules, *lookalikes) for ending in endings_of(name)}

    def exactly(module: str) -> str:
        return "^" + module if "." not in module or module in endings else module

    rank = _commonest(r for r, _ in modules.values())
    alpha = _commonest(a for _, a in modules.values())
    return {
        "peft_type": "LORA", "r": rank, "lora_alpha": _whole(alpha),
        "rank_pattern": {exactly(m): r for m, (r, _) in sorted(modules.items()) if r != rank},
        "alpha_pattern": {exactly(m): _whole(a) for m, (_, a) in sorted(modules.items()) if a != alpha},
        "target_modules": sorted(modules), "exclude_modules": sorted(lookalikes) or None,
        "bias": "none", "fan_in_fan_out": False, "inference_mode": True, "lora_dropout": 0.0,
        "init_lora_weights": True, "use_dora": False, "use_rslora": False, "lora_bias": False,
        "base_model_name_or_path": None, "task_type": None, "modules_to_save": None,
    }


def config_name(module: str) -> str:
    """A module's name as a target: transformers 5 leaves out the outer ``text_model``, older ones do not."""
    return module.removeprefix("text_model.")


def _commonest(values: Iterable[Any]) -> Any:
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return max(counts, key=lambda v: (counts[v], -v))


def _whole(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value
