"""loratool resize"""

from __future__ import annotations

from typing import Any

import click

from ..adapter.adapter import Adapter
from ..errors import UsageError
from ..ops.resize import plan
from ..tensors.policy import Policy
from . import options
from .console import Out
from .operate import run_plan
from .outputs import target
from .rank_rules import name_fields, parse_rule, rank_rules, take
from .replay import replay


@click.command("resize", short_help="Lower the rank.")
@click.argument("file", metavar="FILE")
@rank_rules
@click.option("--alpha", type=click.Choice(("keep", "rank")), default="keep", show_default=True,
              help="keep: alpha/rank stays as it is; rank: alpha becomes the rank (scale 1).")
@click.option("--dry-run", is_flag=True, help="Say what would be written, to the byte, and write nothing.")
@click.option("--replay", "made", metavar="MADE", help="Make MADE again from FILE, by the recipe that it holds.")
@options.writes
@options.shows("resize", computes=True)
def command(file: str, alpha: str, dry_run: bool, made: str | None, output: str | None, policy: Policy, out: Out,
            **more: Any) -> int:
    """Write FILE with lower ranks: the best approximation of each layer that its rank allows.

    Give exactly one rule. The strength in a prompt stays as it was. Layers that have the rank
    already are copied bit for bit; LoHa and LoKr layers of a higher one become LoRA. The error of
    the file that was written is stated, beside the least possible one. --error, --size and
    --budget-rank share ranks across layers, which loses much less than one rank for all.

    \b
    loratool resize fixtures/sdxl_landscape.safetensors --rank 4 -o out/small.safetensors
    loratool resize fixtures/sd1_shapes.safetensors --rank 4 --conv-rank 2 --dry-run
    loratool resize fixtures/sdxl_landscape.safetensors --energy 99% -o out/energy.safetensors
    loratool resize fixtures/sdxl_landscape.safetensors --size 400kB -o out/size.safetensors
    loratool resize fixtures/sdxl_landscape.safetensors --error 10% --dry-run
    """
    told = take(more)
    rule = parse_rule(told)
    if made is not None:
        if rule is not None:
            raise UsageError("--replay takes its rule from the file")
        return replay(out, "resize", made, [file], output, policy)
    if rule is None:
        raise UsageError("no rule says how far to resize", hint="For example --rank 16, --energy 99% or --size 20MB.")
    with Adapter.open(file) as adapter:
        planned = plan(adapter, rule, alpha, out.settings.workers, predict=dry_run)
        fields = name_fields(told, planned.family, planned.dialect)
        return run_plan(out, planned, target(output, file, "{stem}.{rule}{ext}", fields, policy, planned.folder),
                        policy, dry_run)
