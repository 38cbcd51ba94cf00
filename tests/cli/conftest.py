import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from loratool.cli.main import run

ROOT = Path(__file__).parents[2]


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the fixtures and an empty ``out``, as the help's examples expect."""
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def call(place, capsys):
    """Run one command line in ``place``."""
    def called(*arguments: str) -> Answer:
        code = run(list(arguments))
        told = capsys.readouterr()
        return Answer(code, told.out, told.err)
    return called
