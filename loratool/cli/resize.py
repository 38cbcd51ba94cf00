"""loratool resize"""

from __future__ import annotations

import click

from ..adapter.adapter import Adapter
from ..ops.resize import FixedRank, plan
from ..tensors.place import Policy
from . import options
from .console import Out
from .operate import run_plan
from .outputs import target


@click.command("resize", short_help="Lower the rank.")
@click.argument("file", metavar="FILE")
@click.option("--rank", type=click.IntRange(min=1), required=True,
              help="The rank of linear layers and 1x1 convolutions.")
@click.option("--conv-rank", type=click.IntRange(min=1), help="The rank of larger kernels; default: --rank.")
@click.option("--alpha", type=click.Choice(("keep", "rank")), default="keep", show_default=True,
              help="keep: alpha/rank stays as it is; rank: alpha becomes the rank (scale 1).")
@click.option("--dry-run", is_flag=True, help="Say what would be written, to the byte, and write nothing.")
@options.output
@options.display
def command(file: str, rank: int, conv_rank: int | None, alpha: str, dry_run: bool, output: str | None,
            overwrite: bool, in_place: bool, threads: int | None, form: str | None, as_json: bool, quiet: bool,
            color: str | None, debug: bool | None) -> int:
    """Write FILE with a lower rank: the best approximation of each layer that the rank allows.

    The strength in a prompt stays as it was. Layers that have the rank already are copied bit for
    bit. The error of the file that was written is stated, beside the least possible one.

    \b
    loratool resize fixtures/sdxl_landscape.safetensors --rank 4 -o out/small.safetensors
    loratool resize fixtures/sd1_shapes.safetensors --rank 4 --conv-rank 2 --dry-run
    """
    out = Out("resize", options.settings(form, as_json, color, debug, threads), quiet)
    policy = Policy(overwrite, in_place)
    with Adapter.open(file) as adapter:
        planned = plan(adapter, FixedRank(rank, conv_rank), alpha)
        fields = {"rank": rank, "family": adapter.family or "unknown", "dialect": adapter.key_format}
        return run_plan(out, planned, target(output, file, "{stem}.r{rank}{ext}", fields, policy, planned.folder),
                        policy, dry_run)
