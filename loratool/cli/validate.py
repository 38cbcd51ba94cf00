"""loratool validate"""

from __future__ import annotations

import click

from ..checks.rules import LEVELS, RULES
from ..checks.run import Verdict, validate
from ..config import Settings
from ..errors import UsageError
from ..loaders import PROGRAMS
from ..report import ci, verdicts
from ..report.sanitise import clean
from . import options
from .console import Out, asked_format
from .inputs import expand, joint_code

FAIL_ON = {"error": ("broken",), "warn": ("broken", "warn")}


def _explain(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Answers without files, so it runs before they are asked for."""
    if not value or context.resilient_parsing:
        return
    rule = RULES.get(value.upper())
    if rule is None:
        raise UsageError(f"there is no rule {value!r}", hint="Known: " + ", ".join(RULES))
    name = value.upper()
    form = asked_format(context.obj or ())
    if form in ("json", "jsonl"):
        Out("validate", Settings(format=form)).json({"id": name, **rule._asdict()})
        context.exit()
    click.echo(f"{name}: {rule.title}  ({rule.severity}, level {rule.level})\n\n{rule.why}\n{rule.remedy}")
    context.exit()


@click.command("validate", short_help="What is wrong with a file.")
@options.reads
@click.option("--level", type=click.Choice(LEVELS), default="family", show_default=True,
              help="How far to look: each level includes those before it; loader: does each program load it?")
@click.option("--for", "wanted", type=click.Choice(tuple(PROGRAMS)),
              help="Also: does this program load all of it?")
@click.option("--fail-on", type=click.Choice(tuple(FAIL_ON)), default="error", show_default=True,
              help="The least severity that makes the exit code 1.")
@click.option("--explain", metavar="ID", callback=_explain, is_eager=True, expose_value=False,
              help="Explain a rule and exit.")
@options.shows("validate", computes=True, more_formats=ci.FORMATS)
def command(files: tuple[str, ...], recursive: bool, null: bool, level: str, wanted: str | None, fail_on: str,
            form: str | None, out: Out) -> int:
    """Check each FILE and name what is wrong with it: rule, place, reason, remedy.

    Exit 0: all fine. 1: something is wrong. 3: cannot be read as a safetensors file.

    \b
    loratool validate fixtures/sdxl_landscape.safetensors
    loratool validate -r fixtures/broken --format plain
    loratool validate --level header fixtures/flux1_digits.safetensors
    loratool validate --for sd-scripts fixtures/sd1_digits_tucker.safetensors
    loratool validate --explain R21
    """
    found = [validate(path, level, out.settings.workers, wanted) for path in expand(files, recursive, null)]
    code = joint_code(_code(verdict, FAIL_ON[fail_on]) for verdict in found)
    if form:
        out.lines(ci.render(form, found))
    elif out.is_json:
        out.json([verdicts.document(verdict) for verdict in found], (), code)
    elif out.quiet:
        out.lines(clean(v.path, 4096) for v in found if _code(v, FAIL_ON[fail_on]))
    elif out.format == "plain":
        for verdict in found:
            out.lines(verdicts.lines(verdict))
    else:
        from ..report import text

        for verdict in found:
            out.screen(text.verdict(verdict))
    return code


def _code(verdict: Verdict, failing: tuple[str, ...]) -> int:
    return 3 if verdict.verdict == "unreadable" else 1 if verdict.verdict in failing else 0
