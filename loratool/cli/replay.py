"""Make a file again from its recipe, and compare."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from ..adapter.adapter import Adapter
from ..errors import Refused, UsageError
from ..ops import merge, recipe, resize
from ..ops.plan import Plan
from ..ops.rules import PerLayer, RankRule
from ..tensors.policy import Policy
from .console import Out
from .operate import execute, show
from .outputs import target


def replay(out: Out, command: str, made: str, files: Sequence[str], output: str | None, policy: Policy) -> int:
    """Exit 0 when the same bytes came out, 1 when not.

    Raises Refused when the inputs are not those of the recipe, UsageError when some are missing.
    """
    with ExitStack() as stack:
        original = stack.enter_context(Adapter.open(made))
        rule, told, parents = recipe.read(original, command)
        adapters = [stack.enter_context(Adapter.open(path, told.get("family"))) for path in files]
        ordered = _pair(adapters, parents, made)
        planned = _plan(command, ordered, rule, told, out.settings.workers)
        place = target(output, made, "{stem}.replay{ext}", {}, policy, planned.folder)
        start = time.monotonic()
        result = execute(out, planned, place, policy)
        with Adapter.open(place) as again:
            same = again.sha256 == original.sha256
    return show(out, replace(result, identical=same, exit_code=0 if same else 1), time.monotonic() - start)


def _plan(command: str, adapters: list[Adapter], rule: RankRule, told: dict[str, Any], threads: int) -> Plan:
    if command == "resize":
        return resize.plan(adapters[0], rule, told.get("alpha", "keep"), threads)
    exact = rule == PerLayer("lossless")
    return merge.plan(adapters, told["weights"], None if exact else rule, told.get("dtype"),
                      threads, told.get("components") or {})


def _pair(adapters: Sequence[Adapter], parents: Sequence[dict[str, Any]], made: str) -> list[Adapter]:
    """The adapters in the order of the recipe, found by their sha256."""
    found = {adapter.sha256: adapter for adapter in adapters}
    missing = [p["name"] for p in parents if p["sha256"] not in found]
    if missing:
        raise Refused(f"its recipe needs {missing[0]} as it was: none of the files given has that sha256", path=made,
                      hint="Give the very inputs; a file that was edited since cannot give the same bytes.")
    if len(found) > len({p["sha256"] for p in parents}):
        raise UsageError("more files were given than the recipe has inputs", path=made)
    return [replace(found[p["sha256"]], alias=p["name"]) for p in parents]


