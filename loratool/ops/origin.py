"""What a conversion remembers, so that the way back returns the very same tensors.

Dialects without alpha get it folded into the factors as powers of two where that is exact. The
``loratool.origin`` entry says which powers, how alpha was stored and what the content was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..metadata.bases import ORIGIN

KEY = ORIGIN
Fold = tuple[float, float]
"""What ``up`` and ``down`` were multiplied by."""


@dataclass(frozen=True)
class Origin:
    """``folds`` lists the layers whose fold is not ``fold``; None: not exact, or no alpha before."""

    dialect: str
    content: str
    alpha_dtype: str | None = None
    alpha_shape: tuple[int, ...] = ()
    fold: Fold | None = None
    folds: Mapping[str, Fold | None] = field(default_factory=dict)
    configuration: str | None = None
    """The ``lora_adapter_metadata`` that the file had."""
    said: Mapping[str, str] = field(default_factory=dict)
    """Metadata about ranks and alphas, as it was spelled."""
    model: str | None = None
    """The base model, where it was known: a part of a file can fit others too."""
    spelling: str | None = None
    """The spelling of its modules, where it is not the one that its dialect writes."""
    axes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Layer -> axes of up and down, where these are not the base model's."""
    style: str = ""
    """The suffixes that its factors had, for dialects that allow several."""

    def of(self, stem: str) -> Fold | None:
        return self.folds.get(stem, self.fold)

    def text(self) -> str:
        document: dict[str, Any] = {"dialect": self.dialect, "content": self.content, "style": self.style}
        if self.alpha_dtype:
            document |= {"alpha_dtype": self.alpha_dtype, "alpha_shape": list(self.alpha_shape),
                         "fold": self.fold, "folds": dict(sorted(self.folds.items()))}
        if self.configuration:
            document["configuration"] = self.configuration
        if self.model:
            document["model"] = self.model
        if self.spelling:
            document["spelling"] = self.spelling
        if self.axes:
            document["axes"] = dict(sorted(self.axes.items()))
        if self.said:
            document["said"] = dict(self.said)
        return json.dumps(document, sort_keys=True, separators=(",", ":"))


def with_folds(origin: Origin, folds: Mapping[str, Fold | None]) -> Origin:
    """``origin`` with the folds of each layer; the commonest one is the default."""
    counted = Counter(folds.values()).most_common(1)
    usual = counted[0][0] if counted else None
    return replace(origin, fold=usual, folds={stem: fold for stem, fold in folds.items() if fold != usual})


def recall(metadata: Mapping[str, str]) -> Origin | None:
    """The origin that a file's metadata tells; None when it tells none that can be used."""
    try:
        found = json.loads(metadata.get(KEY, "null"))
        if not isinstance(found, dict):
            return None
        return Origin(str(found["dialect"]), str(found["content"]), found.get("alpha_dtype"),
                      tuple(int(n) for n in found.get("alpha_shape", [])), _fold(found.get("fold")),
                      {str(k): _fold(v) for k, v in found.get("folds", {}).items()}, found.get("configuration"),
                      {str(k): str(v) for k, v in found.get("said", {}).items()}, found.get("model"),
                      found.get("spelling"), {str(k): (int(u), int(d)) for k, (u, d) in found.get("axes", {}).items()},
                      str(found.get("style", "")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _fold(value: Any) -> Fold | None:
    if value is None:
        return None
    up, down = float(value[0]), float(value[1])
    if up <= 0 or down <= 0:
        raise ValueError("a fold is a positive factor")
    return up, down
