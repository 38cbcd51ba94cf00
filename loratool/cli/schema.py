"""loratool schema"""

from __future__ import annotations

import json

import click

from ..report.schema import COMMANDS, schema


@click.command("schema", short_help="The JSON Schema of a command's output.")
@click.argument("name", metavar="COMMAND", type=click.Choice(COMMANDS))
def command(name: str) -> int:
    """Print the JSON Schema of what COMMAND prints with --json.

    \b
    loratool schema inspect
    loratool schema resize
    """
    click.echo(json.dumps(schema(name), indent=1))
    return 0
