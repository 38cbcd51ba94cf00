"""Entry point: a lazy table of commands, and the only ``try`` that turns errors into exits."""

from __future__ import annotations

import gc
import os
import signal
import sys
from importlib import import_module
from typing import Any

import click

from .. import __version__
from ..errors import InternalError, Interrupted, LoratoolError, OutputError, UsageError
from .console import asked_debug, complain, fill_envelope, write_what_fits

COMMANDS = {
    "inspect": "What a file is: base model, algorithm, rank, alpha, trigger, health.",
    "validate": "What is wrong with a file, by rule.",
    "resize": "Lower the rank; the strength in a prompt stays.",
    "merge": "Combine adapters: the exact weighted sum of their updates.",
    "convert": "Other key names, the same update.",
    "formats": "The dialects of adapter files, and the programs that read them.",
    "schema": "The JSON Schema of a command's output.",
}
BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class LazyGroup(click.Group):
    """Imports a command's module when it is called, not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__package__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="loratool")
def cli() -> None:
    """Inspect, validate, resize, merge and convert LoRA adapter files.

    \b
    loratool inspect style.safetensors
    loratool resize style.safetensors --rank 16

    Exit codes: 0 done, 1 the answer is no, 2 usage, 3 cannot be read or written, 4 refused, 70 a fault of
    loratool, 130 interrupted.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run and exit with the code of the contract."""
    write_what_fits()
    for variable in BLAS:
        # Workers are threads of their own; a second BLAS thread each makes them fight.
        os.environ.setdefault(variable, "1")
    # Millions of small objects live as long as the process: collecting them early only costs time.
    gc.set_threshold(200_000, 20, 20)
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, _interrupt)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """One command line; returns the exit code."""
    try:
        code: Any = cli.main(args=arguments, prog_name="loratool", standalone_mode=False, obj=arguments)
        sys.stdout.flush()
        return int(code or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return 2
    except click.ClickException as error:
        error.show()
        fill_envelope(UsageError(error.format_message()), arguments)
        return 2
    except (KeyboardInterrupt, click.exceptions.Abort):
        return _report(Interrupted("interrupted; nothing half-written was left behind"), arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except LoratoolError as error:
        return _report(error, arguments)
    except OSError as error:
        return _report(OutputError(error.strerror or str(error), path=error.filename), arguments, error)
    except Exception as error:
        told = InternalError(f"internal error: {type(error).__name__}: {error}",
                             hint="This is a fault of loratool: --debug shows where it happened.")
        return _report(told, arguments, error)


def _report(error: LoratoolError, arguments: list[str], raised: Exception | None = None) -> int:
    """``raised``: what ``error`` stands for, where that was another exception."""
    if asked_debug(arguments):
        import traceback

        traceback.print_exception(raised or error)
    complain(error)
    fill_envelope(error, arguments)
    return error.exit_code


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
