"""loratool merge"""

from __future__ import annotations

from contextlib import ExitStack

import click

from ..adapter.adapter import Adapter
from ..errors import UsageError
from ..naming.families import FAMILIES
from ..ops.merge import plan
from ..ops.resize import FixedRank
from ..tensors.place import Policy
from . import options
from .console import Out
from .inputs import expand
from .operate import run_plan
from .outputs import target


def parse_weights(text: str | None, count: int) -> list[float]:
    """``0.6,0.4`` as numbers; all 1 when nothing was said."""
    if text is None:
        return [1.0] * count
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--weights {text!r} are not numbers separated by commas",
                         hint="For example --weights 0.6,0.4") from None
    if not all(abs(weight) < 1e6 for weight in weights):
        raise UsageError(f"--weights {text!r} are no strengths")
    return weights


@click.command("merge", short_help="Combine adapters.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--weights", metavar="W,W...",
              help="A strength per file, as in a prompt: linear, may be negative. Default 1.")
@click.option("--rank", type=click.IntRange(min=1), help="Reduce the result to this rank; default: exact.")
@click.option("--conv-rank", type=click.IntRange(min=1), help="The rank of larger kernels; default: --rank.")
@click.option("--dtype", type=click.Choice(("F16", "BF16", "F32")), help="Store as; default: as the inputs.")
@click.option("--family", type=click.Choice(tuple(FAMILIES)), help="The base model, where the tensors fit several.")
@options.output
@options.display
def command(files: tuple[str, ...], weights: str | None, rank: int | None, conv_rank: int | None, dtype: str | None,
            family: str | None, output: str | None, overwrite: bool, in_place: bool, threads: int | None,
            form: str | None, as_json: bool, quiet: bool, color: str | None, debug: bool | None) -> int:
    """Write the weighted sum of the FILEs' effective updates, whatever their ranks, alphas and names.

    A weight means what a loader's strength means. Without --rank the sum is exact up to one
    rounding; directions that the inputs share are stored once. Names are those of the first FILE.

    \b
    loratool merge fixtures/sdxl_landscape.safetensors fixtures/sdxl_shapes.safetensors \\
        --weights 0.6,0.4 -o out/both.safetensors
    loratool merge fixtures/sdxl_landscape.safetensors fixtures/sdxl_shapes.safetensors --rank 8 \\
        -o out/both.r8.safetensors
    """
    if conv_rank is not None and rank is None:
        raise UsageError("--conv-rank needs --rank")
    out = Out("merge", options.settings(form, as_json, color, debug, threads), quiet)
    policy = Policy(overwrite, in_place)
    paths = expand(files)
    with ExitStack() as stack:
        adapters = [stack.enter_context(Adapter.open(path, family)) for path in paths]
        rule = FixedRank(rank, conv_rank) if rank is not None else None
        planned = plan(adapters, parse_weights(weights, len(paths)), rule, dtype, out.settings.workers)
        fields = {"rank": rank or "exact", "family": planned.family or "unknown", "dialect": planned.dialect}
        return run_plan(out, planned, target(output, paths[0], "{stem}.merged{ext}", fields, policy, planned.folder),
                        policy)
