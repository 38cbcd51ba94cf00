"""loratool formats"""

from __future__ import annotations

import click

from ..naming.families import FAMILIES
from ..report import formats
from . import options
from .console import Out


@click.command("formats", short_help="Dialects, and the programs that read them.")
@click.option("--family", type=click.Choice(tuple(FAMILIES)),
              help="One base model: a key in each dialect, and who loads it.")
@options.shows("formats")
def command(family: str | None, out: Out) -> int:
    """List the dialects of adapter files and which programs read each; * marks those that convert writes.

    With --family: how that base model's modules are spelled in each, and which programs load every
    module of it. What programs do was read in, or tried with, the versions that `--json` of inspect
    names.

    \b
    loratool formats --family z-image
    loratool formats --format plain
    """
    if out.is_json:
        out.json(formats.document(family))
    elif out.quiet:
        out.lines(row[0].rstrip(" *") for row in formats.rows(family)[1:])
    elif out.format == "plain":
        out.lines("\t".join(row) for row in formats.rows(family))
    else:
        from ..report import text

        out.screen([text.table(formats.rows(family))])
    return 0
