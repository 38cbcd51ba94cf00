"""loratool convert"""

from __future__ import annotations

from dataclasses import replace

import click

from ..adapter.adapter import Adapter
from ..errors import UsageError, WouldLose
from ..loaders import PROGRAMS, program
from ..loaders.judge import target as dialect_for
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
@click.option("--to", "to", type=click.Choice((*TARGETS, *ALIASES)), help="The dialect to write.")
@click.option("--for", "reader", type=click.Choice(tuple(PROGRAMS)),
              help="The program to write for: it picks the dialect.")
@click.option("--family", type=click.Choice(tuple(FAMILIES)), help="The base model, where the tensors fit several.")
@click.option("--drop-unsupported", is_flag=True, help="Leave out what the dialect cannot hold, and list it.")
@options.writes
@options.shows("convert", computes=True)
def command(file: str, to: str | None, reader: str | None, family: str | None, drop_unsupported: bool,
            output: str | None, policy: Policy, out: Out) -> int:
    """Write FILE under the key names of another program, with the same effect.

    Fused projections are split and joined exactly. Where a dialect has no alpha, it is folded into
    the weights. A name that no table holds is refused, not dropped. peft writes a folder with
    adapter_config.json: the denoiser's adapter in it, text encoders in folders of their own.

    \b
    loratool convert fixtures/sdxl_landscape.safetensors --to diffusers -o out/d.safetensors
    loratool convert fixtures/flux1_digits.safetensors --to peft -o out/peft
    loratool convert fixtures/flux1_digits.safetensors --for diffusers -o out/f.safetensors
    """
    if (to is None) == (reader is None):
        raise UsageError("say either --to DIALECT or --for PROGRAM", hint="`loratool formats` lists both.")
    with Adapter.open(file, family) as adapter:
        to, notes = (ALIASES.get(to, to), []) if to else _dialect_for(adapter, reader or "")
        planned = plan(adapter, to, drop_unsupported)
        planned = replace(planned, notes=[*planned.notes, *notes])
        derived = "{stem}.{dialect}{ext}"
        fields = {"dialect": to, "family": adapter.family or "unknown"}
        return run_plan(out, planned, target(output, file, derived, fields, policy, planned.folder),
                        policy)


def _dialect_for(adapter: Adapter, reader: str) -> tuple[str, list[str]]:
    """The dialect, and what the program ignores even so."""
    of = program(reader)
    found = dialect_for(adapter, of)
    if found.dialect is None:
        raise WouldLose(f"{of.title} {of.version} {found.why}", path=adapter.path,
                        hint="`loratool inspect` says which programs load it, `loratool formats` who reads what.")
    return found.dialect, [f"{of.title} {of.version} ignores {found.ignored} of the layers, whatever their names: "
                           f"`loratool validate --for {of.id}` lists them"] if found.ignored else []
