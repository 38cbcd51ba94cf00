"""loratool merge"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import click

from ..adapter.adapter import Adapter
from ..errors import UsageError
from ..naming.families import FAMILIES
from ..ops.merge import plan
from ..tensors.policy import Policy
from . import options
from .console import Out
from .inputs import expand
from .operate import run_plan
from .outputs import target
from .rank_rules import name_fields, parse_rule, rank_rules, take
from .replay import replay


def parse_weights(text: str | None, count: int) -> list[float]:
    """``0.6,0.4`` as numbers; all 1 when nothing was said. Raises UsageError."""
    if text is None:
        return [1.0] * count
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{text!r} are not numbers separated by commas",
                         hint="For example --weights 0.6,0.4") from None
    if not all(abs(weight) < 1e6 for weight in weights):
        raise UsageError(f"{text!r} are no strengths")
    return weights


def parse_components(told: tuple[str, ...], count: int) -> dict[str, list[float]]:
    """``te=0.5`` (for all inputs) or ``clip-l=1,0`` (for each). Raises UsageError."""
    found: dict[str, list[float]] = {}
    for text in told:
        name, equals, numbers = text.partition("=")
        if not equals:
            raise UsageError(f"--component {text!r} has no factor", hint="For example --component te=0.5")
        factors = parse_weights(numbers, count)
        found[name.strip()] = factors * count if len(factors) == 1 else factors
    return found


@click.command("merge", short_help="Combine adapters.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--weights", metavar="W,W...",
              help="A strength per file, as in a prompt: linear, may be negative. Default 1.")
@click.option("--component", "component", multiple=True, metavar="NAME=F[,F...]",
              help="A factor for denoiser, clip-l, clip-g, t5-xxl, or te (all text encoders).")
@click.option("--exact", is_flag=True, help="Lose nothing but one rounding; the default.")
@rank_rules
@click.option("--dtype", type=click.Choice(("F16", "BF16", "F32")), help="Store as; default: as the inputs.")
@click.option("--family", type=click.Choice(tuple(FAMILIES)), help="The base model, where the tensors fit several.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, to the byte, and write nothing.")
@click.option("--replay", "made", metavar="MADE", help="Make MADE again from the FILEs, by the recipe that it holds.")
@options.writes
@options.shows("merge", computes=True)
def command(files: tuple[str, ...], weights: str | None, component: tuple[str, ...], exact: bool, dtype: str | None,
            family: str | None, dry_run: bool, made: str | None, output: str | None, policy: Policy, out: Out,
            **more: Any) -> int:
    """Write the weighted sum of the FILEs' effective updates, whatever their ranks, alphas and names,
    as a LoRA: LoRA, LoCon, LoHa and LoKr can be added to one another.

    A weight means what a loader's strength means. Without a rule for ranks the sum is exact up to
    one rounding; directions that the inputs share are stored once. Names are those of the first FILE.

    \b
    loratool merge fixtures/sdxl_landscape.safetensors fixtures/sdxl_shapes.safetensors \\
        --weights 0.6,0.4 -o out/both.safetensors
    loratool merge fixtures/sdxl_landscape.safetensors fixtures/sdxl_shapes.safetensors --rank 8 \\
        -o out/both.r8.safetensors
    loratool merge fixtures/sdxl_landscape.safetensors fixtures/sdxl_shapes.safetensors \\
        --component te=0,1 --error 5% -o out/both.small.safetensors
    """
    told = take(more)
    rule = parse_rule(told)
    if exact and rule is not None:
        raise UsageError("--exact and a rule for ranks exclude one another")
    paths = expand(files)
    if made is not None:
        if rule is not None or weights is not None or component:
            raise UsageError("--replay takes weights and rule from the file")
        return replay(out, "merge", made, paths, output, policy)
    with ExitStack() as stack:
        adapters = [stack.enter_context(Adapter.open(path, family)) for path in paths]
        planned = plan(adapters, parse_weights(weights, len(paths)), rule, dtype,
                       out.settings.workers, parse_components(component, len(paths)))
        fields = name_fields(told, planned.family, planned.dialect)
        return run_plan(out, planned, target(output, paths[0], "{stem}.merged{ext}", fields, policy, planned.folder),
                        policy, dry_run)
