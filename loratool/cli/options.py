"""Options that several commands share, and the settings they make."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..config import COLORS, FORMATS, Settings, load
from .memory import keep_freed_memory

F = TypeVar("F", bound=Callable[..., Any])


def display(function: F) -> F:
    """How results are shown."""
    for option in (
        click.option("--debug", is_flag=True, default=None, help="Show a traceback with an error."),
        click.option("--color", type=click.Choice(COLORS), help="Colour; auto: on a terminal only."),
        click.option("-q", "--quiet", is_flag=True, help="Print one path a line and nothing else."),
        click.option("--json", "as_json", is_flag=True, help="The same as --format json."),
        click.option("--format", "form", type=click.Choice(FORMATS), help="How to print the answer."),
    ):
        function = option(function)
    return function


def inputs(function: F) -> F:
    """Which files are read, for commands that take several."""
    for option in (
        click.option("-0", "--null", is_flag=True, help="Paths on stdin end with NUL."),
        click.option("-r", "--recursive", is_flag=True, help="Take the .safetensors files inside folders."),
        click.argument("files", nargs=-1, required=True, metavar="FILE..."),
    ):
        function = option(function)
    return function


def output(function: F) -> F:
    """Where the result goes."""
    for option in (
        click.option("--threads", type=click.IntRange(min=1), help="Worker threads; default: all usable cores."),
        click.option("--in-place", is_flag=True, help="Replace the input; keeps NAME.bak."),
        click.option("--overwrite", is_flag=True, help="Replace a file that exists."),
        click.option("-o", "--output", metavar="FILE|DIR|TEMPLATE",
                     help="Where to write: a file, a folder, or a template such as '{stem}.r{rank}{ext}'."),
    ):
        function = option(function)
    return function


def working(form: str | None, as_json: bool, color: str | None, debug: bool | None, threads: int | None) -> Settings:
    """The settings of a command that computes with the weights; prepares the process for that."""
    keep_freed_memory()
    return settings(form, as_json, color, debug, threads)


def settings(form: str | None, as_json: bool, color: str | None, debug: bool | None,
             threads: int | None = None) -> Settings:
    return load(os.environ, format="json" if as_json else form, color=color, debug=debug, threads=threads)
