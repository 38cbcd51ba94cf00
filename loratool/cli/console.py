"""The one sink: answers to stdout, progress and warnings to stderr, in the format that was asked for."""

from __future__ import annotations

import codecs
import io
import os
import sys
import time
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ..config import Settings, load
from ..errors import LoratoolError
from ..report import envelope
from ..report.sanitise import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

PROGRESS_AFTER = 0.5


class Out:
    """Prints a command's answer. ``quiet``: paths only."""

    def __init__(self, command: str, settings: Settings, quiet: bool = False) -> None:
        self.command = command
        self.settings = settings
        self.quiet = quiet

    @property
    def format(self) -> str:
        return self.settings.format

    @property
    def is_json(self) -> bool:
        return self.format in ("json", "jsonl")

    def json(self, data: Any, errors: Sequence[LoratoolError] = (), exit_code: int = 0) -> None:
        """The envelope; with jsonl the bare entries, one a line."""
        if self.format == "jsonl":
            for entry in data if isinstance(data, list) else [data]:
                write(envelope.dump(entry, None))
        else:
            write(envelope.dump(envelope.envelope(self.command, data, errors, exit_code)))

    def lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            write(line)

    def screen(self, parts: Iterable[RenderableType]) -> None:
        from ..report.text import console

        screen = console(self.settings.color)
        for part in parts:
            screen.print(part)


_ASCII = {"→": "->", "·": "|", "×": "x", "…": "...", "³": "3"}


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start:error.end]
    return "".join(_ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text), error.end


def write_what_fits() -> None:
    """Let stdout and stderr replace the characters that they cannot encode."""
    codecs.register_error("loratool", _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="loratool")


def write(line: str) -> None:
    sys.stdout.write(line + "\n")


def complain(error: LoratoolError) -> None:
    """One line and a hint on stderr."""
    where = ": ".join(clean(part, 4096) for part in (error.path, error.key) if part)
    print(f"loratool: {where + ': ' if where else ''}{clean(error.message, 2000)}", file=sys.stderr)
    if error.hint:
        for line in wrap(clean(error.hint, 2000), 78, break_long_words=False, break_on_hyphens=False):
            print(f"  {line}", file=sys.stderr)


def fill_envelope(error: LoratoolError, arguments: Sequence[str]) -> None:
    """The answer on stdout where JSON was asked for and the command gave none."""
    asked = asked_format(arguments)
    command = next((a for a in arguments if not a.startswith("-")), "")
    if asked == "json":
        write(envelope.dump(envelope.envelope(command, None, [error], error.exit_code)))
    elif asked == "jsonl":
        write(envelope.dump(envelope.failed(error.path or "", error), None))


def asked_format(arguments: Sequence[str]) -> str:
    """The format that the flags, the environment or the settings ask for."""
    if "--json" in arguments:
        return "json"
    for number, argument in enumerate(arguments):
        if argument.startswith("--format="):
            return argument.partition("=")[2]
        if argument == "--format" and number + 1 < len(arguments):
            return arguments[number + 1]
    return _stored().format


def asked_debug(arguments: Sequence[str]) -> bool:
    """Whether the flags, the environment or the settings ask for tracebacks."""
    return "--debug" in arguments or _stored().debug


def _stored() -> Settings:
    """The settings without flags; the defaults where they are what is wrong."""
    try:
        return load(os.environ)
    except LoratoolError:
        return Settings()


class Progress:
    """A counter on stderr, on a terminal only and only after half a second."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._start = time.monotonic()
        self._shown = False
        self._next = PROGRESS_AFTER

    def __call__(self, done: int, total: int) -> None:
        passed = time.monotonic() - self._start
        if passed < self._next or not sys.stderr.isatty():
            return
        self._next = passed + 0.1
        self._shown = True
        left = passed / done * (total - done) if done else 0.0
        print(f"\r{self._what}: {done}/{total} layers, {done / passed:.0f} a second, {left:.0f} s left ",
              end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._shown:
            print("\r" + " " * 70 + "\r", end="", file=sys.stderr, flush=True)
