"""loratool convert"""

from __future__ import annotations

import click

from ..adapter.adapter import Adapter
from ..naming.dialect import ALIASES, TARGETS
from ..naming.families import FAMILIES
from ..ops.convert import plan
from ..tensors.policy import Policy
from . import options
from .console import Out
from .operate import run_plan
from .outputs import target


@click.command("convert", short_help="Other key names.")
@click.argument("file", metavar="FILE")
@click.option("--to", "to", type=click.Choice((*TARGETS, *ALIASES)), required=True, help="The dialect to write.")
@click.option("--family", type=click.Choice(tuple(FAMILIES)), help="The base model, where the tensors fit several.")
@click.option("--drop-unsupported", is_flag=True, help="Leave out what the dialect cannot hold, and list it.")
@options.writes
@options.shows("convert", computes=True)
def command(file: str, to: str, family: str | None, drop_unsupported: bool, output: str | None, policy: Policy,
            out: Out) -> int:
    """Write FILE under the key names of another program, with the same effect.

    Fused projections are split and joined exactly. Where a dialect has no alpha, it is folded into
    the weights. A name that no table holds is refused, not dropped. peft writes a folder with
    adapter_config.json: the denoiser's adapter in it, text encoders in folders of their own.

    \b
    loratool convert fixtures/sdxl_landscape.safetensors --to diffusers -o out/d.safetensors
    loratool convert fixtures/flux1_digits.safetensors --to peft -o out/peft
    """
    to = ALIASES.get(to, to)
    with Adapter.open(file, family) as adapter:
        planned = plan(adapter, to, drop_unsupported)
        derived = "{stem}.{dialect}{ext}"
        fields = {"dialect": to, "family": adapter.family or "unknown"}
        return run_plan(out, planned, target(output, file, derived, fields, policy, planned.folder),
                        policy)
