"""The options that choose ranks, for every command that cuts them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..errors import UsageError
from ..ops.rules import Bounds, Budget, FixedRank, PerLayer, RankRule

F = TypeVar("F", bound=Callable[..., Any])
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>|[kMG]?B|[KMG]iB)", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kb": 10 ** 3, "mb": 10 ** 6, "gb": 10 ** 9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def parse_share(text: str) -> float:
    """``99%`` or ``0.99``. Raises UsageError."""
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise UsageError(f"{text!r} is no share", hint="Write 99% or 0.99.") from None


def parse_size(text: str) -> int:
    """``20MB`` (10^6 bytes), ``20MiB`` (2^20), ``500kB`` or plain bytes. Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no size", hint="Write 20MB, 20MiB, 500kB or a number of bytes.")
    return int(float(found["number"]) * _UNITS[found["unit"].lower()])


class _Typed(click.ParamType[float]):
    """A value that a function of this module parses."""

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return self._parse(value) if isinstance(value, str) else value


SHARE, SIZE = _Typed("SHARE", parse_share), _Typed("SIZE", parse_size)
RULES = ("rank", "energy", "error", "size", "budget_rank", "lossless", "sv_ratio", "sv_fro", "sv_cumulative")


def rank_rules(function: F) -> F:
    """--rank and its alternatives; they arrive as one dict, ``rank_options``."""
    positive = click.IntRange(min=1)
    for option in reversed((
        click.option("--rank", type=positive, help="This rank for linear layers and 1x1 convolutions."),
        click.option("--conv-rank", type=positive, help="With --rank: the rank of larger kernels; default: --rank."),
        click.option("--energy", type=SHARE, help="Per layer, the least rank that keeps this share of its energy."),
        click.option("--error", type=SHARE, help="The smallest file whose whole error is at most this share."),
        click.option("--size", type=SIZE, help="The best file of at most this size, such as 20MB (10^6) or 20MiB."),
        click.option("--budget-rank", type=positive, help="The bytes of this uniform rank, shared across layers."),
        click.option("--lossless", is_flag=True, help="Drop only what the dtype could not hold anyway."),
        click.option("--sv-ratio", type=float, help="Keep singular values above the largest divided by this."),
        click.option("--sv-fro", type=SHARE, help="Keep this share of each layer's Frobenius norm."),
        click.option("--sv-cumulative", type=SHARE, help="Keep this share of each layer's sum of singular values."),
        click.option("--kohya-compat", is_flag=True, help="With --sv-*: the ranks of sd-scripts' resize_lora."),
        click.option("--min-rank", type=positive, help="No layer below this rank (not with --rank)."),
        click.option("--max-rank", type=positive, help="No layer above this rank (not with --rank)."),
        click.option("--multiple", type=positive, help="Round ranks up to multiples of this (not with --rank)."),
    )):
        function = option(function)
    return function


NAMES = (*RULES, "conv_rank", "kohya_compat", "min_rank", "max_rank", "multiple")


def take(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the rank options from a command's arguments and return them."""
    return {name: options.pop(name) for name in NAMES}


def parse_rule(told: dict[str, Any]) -> RankRule | None:
    """The one rule that was given; None when none was. Raises UsageError for several."""
    given = [name for name in RULES if _given(told[name])]
    if len(given) > 1:
        raise UsageError(f"{_flag(given[0])} and {_flag(given[1])} exclude one another", hint="Give exactly one rule.")
    rule = given[0] if given else None
    _check_companions(rule, told)
    bounds = Bounds(told["min_rank"] or 1, told["max_rank"], told["multiple"] or 1)
    if rule is None:
        return None
    if rule == "rank":
        return FixedRank(told["rank"], told["conv_rank"])
    if rule in ("error", "size", "budget_rank"):
        return Budget("rank" if rule == "budget_rank" else rule, float(told[rule]), bounds)
    return PerLayer(rule.replace("_", "-"), float(told[rule]), told["kohya_compat"], bounds)


def _check_companions(rule: str | None, told: dict[str, Any]) -> None:
    limits = [name for name in ("min_rank", "max_rank", "multiple") if told[name] is not None]
    if told["conv_rank"] is not None and rule != "rank":
        raise UsageError("--conv-rank needs --rank")
    if told["kohya_compat"] and not (rule or "").startswith("sv_"):
        raise UsageError("--kohya-compat needs --sv-ratio, --sv-fro or --sv-cumulative")
    if limits and rule in (None, "rank"):
        raise UsageError(f"{_flag(limits[0])} needs a rule that chooses ranks, such as --energy or --size")


def _given(value: Any) -> bool:
    """0 is a value too (and refused as one); it equals False."""
    return value is not None and value is not False


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def name_fields(told: dict[str, Any], family: str | None, dialect: str) -> dict[str, object]:
    """What a template of an output's name can hold."""
    word = _label(told)
    return {"rank": word.removeprefix("r"), "rule": word, "family": family or "unknown", "dialect": dialect}


def _label(told: dict[str, Any]) -> str:
    """A short word for the rule, for derived names: r16, energy0.99, 20000000b."""
    rule = next((name for name in RULES if _given(told[name])), "exact")
    if rule in ("rank", "exact", "lossless"):
        return f"r{told['rank']}" if rule == "rank" else rule
    return f"{int(told[rule])}b" if rule == "size" else f"{rule.replace('_', '-')}{told[rule]:g}"
