"""Options that several commands share. Each decorator turns its options into one value for the command."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from ..config import COLORS, FORMATS, load
from ..tensors.policy import Policy
from .console import Out
from .memory import keep_freed_memory

Command = Callable[..., int]


def shows(name: str, computes: bool | str = False, more_formats: tuple[str, ...] = ()) -> Callable[[Command], Command]:
    """How results are shown: the command gets ``out``.

    ``computes``: it reads the weights (always, or with this flag), so it has workers.
    ``more_formats``: forms of its own, which arrive as ``form``.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def called(form: str | None, as_json: bool, quiet: bool, color: str | None, debug: bool | None,
                   threads: int | None = None, **arguments: Any) -> int:
            if arguments.get(computes) if isinstance(computes, str) else computes:
                keep_freed_memory()
            if more_formats:
                arguments["form"] = form if form in more_formats else None
            asked = "json" if as_json or form in more_formats else form
            settings = load(os.environ, format=asked, color=color, debug=debug, threads=threads)
            return command(out=Out(name, settings, quiet), **arguments)

        decorated: Command = called
        workers = [click.option("--threads", type=click.IntRange(min=1),
                                help="Worker threads; default: all usable cores.")] if computes else []
        for option in reversed((
            *workers,
            click.option("--format", "form", type=click.Choice((*FORMATS, *more_formats)),
                         help="How to print the answer."),
            click.option("--json", "as_json", is_flag=True, help="The same as --format json."),
            click.option("-q", "--quiet", is_flag=True, help="Print one path a line and nothing else."),
            click.option("--color", type=click.Choice(COLORS), help="Colour; auto: on a terminal only."),
            click.option("--debug", is_flag=True, default=None, help="Show a traceback with an error."),
        )):
            decorated = option(decorated)
        return decorated

    return decorate


def reads(command: Command) -> Command:
    """Which files are read, for commands that take several: ``files``, ``recursive``, ``null``."""
    for option in (
        click.option("-0", "--null", is_flag=True, help="Paths on stdin end with NUL."),
        click.option("-r", "--recursive", is_flag=True, help="Take the .safetensors files inside folders."),
        click.argument("files", nargs=-1, required=True, metavar="FILE..."),
    ):
        command = option(command)
    return command


def writes(command: Command) -> Command:
    """Where the result goes: the command gets ``output`` and ``policy``."""

    @wraps(command)
    def called(overwrite: bool, in_place: bool, **arguments: Any) -> int:
        return command(policy=Policy(overwrite, in_place), **arguments)

    decorated: Command = called
    for option in reversed((
        click.option("-o", "--output", metavar="FILE|DIR|TEMPLATE",
                     help="Where to write: a file, a folder, or a template such as '{stem}.r{rank}{ext}'."),
        click.option("--overwrite", is_flag=True, help="Replace a file that exists."),
        click.option("--in-place", is_flag=True, help="Replace the input; keeps NAME.bak."),
    )):
        decorated = option(decorated)
    return decorated
