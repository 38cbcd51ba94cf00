"""What made a file, kept in it: the options and the inputs' digests, so that it can be made again.

``loratool.recipe`` holds the command and its options, ``loratool.parents`` each input's base name,
sha256 and main facts; never a folder, a time or the output's own name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..adapter.adapter import Adapter
from ..errors import Refused
from .rules import Bounds, Budget, FixedRank, PerLayer, RankRule
from .stamp import RECIPE

PARENTS = "loratool.parents"
KEPT = ("ss_output_name", "ss_sd_model_name", "ss_network_dim", "ss_network_alpha", "modelspec.title",
        "modelspec.trigger_phrase", "modelspec.license", "modelspec.author")
_FORMS: dict[str, type[RankRule]] = {"fixed": FixedRank, "per-layer": PerLayer, "budget": Budget}


def recipe(command: str, adapters: Sequence[Adapter], rule: RankRule, options: Mapping[str, Any]) -> dict[str, object]:
    """The recipe of an operation on ``adapters``."""
    form = next(name for name, of in _FORMS.items() if type(rule) is of)
    families = sorted({a.family for a in adapters if a.family})
    return {"command": command, "rule": {"form": form, **asdict(rule)}, **options,
            "family": families[0] if len(families) == 1 else None}


NO_DIGEST = "0" * 64


def parents(adapters: Sequence[Adapter], weights: Sequence[float] | None = None, hashed: bool = True) -> str:
    """The inputs as JSON: base name, sha256, weight, main facts. Not ``hashed``: a place for the digests."""
    told = []
    for number, adapter in enumerate(adapters):
        parent: dict[str, object] = {"name": adapter.name, "sha256": adapter.sha256 if hashed else NO_DIGEST}
        if weights is not None:
            parent["weight"] = weights[number]
        told.append(parent | {key: adapter.metadata[key] for key in KEPT if key in adapter.metadata})
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def read(adapter: Adapter, command: str) -> tuple[RankRule, dict[str, Any], list[dict[str, Any]]]:
    """The rule, the options and the parents of a file that ``command`` made.

    Raises Refused for a file without a recipe, or with the recipe of another command.
    """
    try:
        made = json.loads(adapter.metadata[RECIPE])
        told = json.loads(adapter.metadata[PARENTS])
        rule = dict(made["rule"])
        form = _FORMS[rule.pop("form")]
        if "bounds" in rule:
            rule["bounds"] = Bounds(**rule["bounds"])
        if made["command"] != command:
            raise Refused(f"was made by {made['command']}, not by {command}", path=adapter.path,
                          hint=f"Use `loratool {made['command']} --replay`.")
        return form(**rule), made, [{"name": str(p["name"]), "sha256": str(p["sha256"]), **p} for p in told]
    except (KeyError, ValueError, TypeError) as error:
        raise Refused("holds no recipe that can be replayed", path=adapter.path,
                      hint="Only files made by loratool's resize and merge hold one.") from error
