"""The help lists what works, with examples that work."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from loratool.cli.main import COMMANDS, cli

from .conftest import ROOT


def help_of(name):
    wide = {"terminal_width": 200, "max_content_width": 200}
    return CliRunner().invoke(cli, [name, "--help"], prog_name="loratool", **wide).output


def examples(name):
    text = re.sub(r"\\\n\s+", "", help_of(name))
    return [line.strip() for line in text.splitlines() if line.strip().startswith(f"loratool {name} ")]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_two_examples_at_least(name):
    assert len(examples(name)) >= 2


@pytest.mark.parametrize("line", [line for name in COMMANDS for line in examples(name)])
def test_each_example_of_the_help_runs(call, line):
    answer = call(*shlex.split(line)[1:])
    assert answer.code == (1 if "broken" in line or line == "loratool inspect fixtures -r" else 0), answer.err


def test_the_reference_pages_are_current():
    done = subprocess.run([sys.executable, "docs/make_reference.py", "--check"], cwd=ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout


def test_module_and_command_are_the_same():
    script = Path(sys.executable).with_name("loratool")
    shown = [subprocess.run([*start, "--help"], capture_output=True, text=True, check=True).stdout
             for start in ([sys.executable, "-m", "loratool"], [str(script)])]
    assert shown[0] == shown[1]


def test_abbreviated_commands_and_options_are_refused(call):
    assert call("insp", "fixtures/sdxl_shapes.safetensors").code == 2
    assert call("resize", "fixtures/sdxl_shapes.safetensors", "--ran", "4").code == 2


def shown_in_the_readme():
    """The command lines of the README's text block, with what it shows below each."""
    block = re.search(r"```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    return [(part.split("\n", 1)[0], part.split("\n", 1)[1].rstrip()) for part in block.split("$ ")[1:]]


@pytest.mark.parametrize(("line", "screen"), shown_in_the_readme())
def test_the_readme_shows_what_the_program_prints(call, line, screen):
    told = "\n".join(text.rstrip() for text in call(*shlex.split(line)[1:]).out.rstrip().splitlines())
    assert re.sub(r"\d+\.\d s$", "0.0 s", told, flags=re.MULTILINE) == screen
