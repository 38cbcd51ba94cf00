"""Write docs/reference/ and a table of README.md from the program: ``--help``, rules, families and dialects.

``python docs/make_reference.py`` writes, ``--check`` fails when a page is not current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from click.testing import CliRunner

from loratool.checks.rules import LEVELS, RULES
from loratool.cli.main import COMMANDS, cli
from loratool.naming.dialect import DIALECTS
from loratool.naming.families import FAMILIES, family
from loratool.report.formats import table

FOLDER = Path(__file__).parent / "reference"
README = Path(__file__).parents[1] / "README.md"


def commands() -> str:
    """Every command's help, at 80 columns."""
    parts = ["# Commands\n\nMade from `--help`; do not edit.\n"]
    for name in ("", *COMMANDS):
        arguments = [name, "--help"] if name else ["--help"]
        shown = CliRunner().invoke(cli, arguments, prog_name="loratool", terminal_width=80, max_content_width=80)
        parts.append(f"## loratool {name}".rstrip() + f"\n\n```text\n{shown.output.rstrip()}\n```\n")
    return "\n".join(parts)


def rules() -> str:
    """Every rule id, by level."""
    parts = ["# Rules\n\nMade from `loratool/checks/rules.py`; do not edit. `loratool validate --explain ID` says the "
             "same.\n"]
    for level in LEVELS:
        parts.append(f"## {level}\n\n| id | severity | what must hold | why | what to do |\n|---|---|---|---|---|")
        parts += [f"| {rule} | {r.severity} | {r.title} | {r.why} | {r.remedy} |"
                  for rule, r in RULES.items() if r.level == level]
        parts.append("")
    return "\n".join(parts)


def names() -> str:
    """Families and dialects, with an example of each spelling."""
    parts = ["# Families and dialects\n\nMade from `loratool/naming/`; do not edit.\n",
             "| family | title | denoiser modules | text encoders | variants |\n|---|---|---|---|---|"]
    for name in FAMILIES:
        f = family(name)
        parts.append(f"| {name} | {f.title} | {len(next(iter(f.trees.values())).modules)} | {', '.join(f.encoders)} | "
                     f"{', '.join(f.variants)} |")
    parts.append("\n| dialect | written by | denoiser prefix | spelling | alpha | `--to` |\n|---|---|---|---|---|---|")
    parts += [f"| {d.id} | {d.title} | `{d.prefix or '(none)'}` | {d.spelling} | {d.alpha} | "
              f"{'yes' if d.written else ''} |" for d in DIALECTS.values()]
    return "\n".join(parts) + "\n"


MARKS = "<!-- families by dialects -->\n", "<!-- end -->"


def readme() -> str:
    """README.md with its table of families and dialects made anew."""
    head, _, rest = README.read_text(encoding="utf-8").partition(MARKS[0])
    return head + MARKS[0] + "\n" + table() + "\n\n" + MARKS[1] + rest.partition(MARKS[1])[2]


PAGES = {"commands.md": commands, "rules.md": rules, "names.md": names}


def main(check: bool) -> int:
    stale = []
    for name, make in PAGES.items():
        path, text = FOLDER / name, make()
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            stale.append(name)
        elif not check:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    text = readme()
    if check and README.read_text(encoding="utf-8") != text:
        stale.append("README.md")
    elif not check:
        README.write_text(text, encoding="utf-8")
    if stale:
        print("not current: " + ", ".join(stale))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
