"""What starts without what: the start-up of header-only work stays small."""

import subprocess
import sys

import pytest

HEAVY = {"numpy", "torch", "rich", "sqlite_utils", "huggingface_hub", "yaml", "diffusers", "safetensors"}


def loaded(code, cwd=None):
    """Which of the heavy packages are imported after ``code``."""
    script = f"{code}\nimport sys\nprint('\\n' + ' '.join(sorted({HEAVY!r} & sys.modules.keys())))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=cwd, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("code", [
    "import loratool.tensors.header, loratool.tensors.reader, loratool.tensors.writer",
    "import loratool.naming.keymap, loratool.naming.detect",
    "import loratool.cli.main",
    "import loratool.adapter.adapter, loratool.checks.run, loratool.inspection.inspect",
])
def test_these_rooms_start_without_numpy_and_torch(code):
    assert loaded(code) == set()


@pytest.mark.parametrize(("arguments", "allowed"), [
    (["inspect", "--format", "plain", "fixtures/sdxl_landscape.safetensors"], set()),
    (["inspect", "--json", "fixtures/sdxl_landscape.safetensors"], set()),
    (["inspect", "fixtures/sdxl_landscape.safetensors"], {"rich"}),
    (["validate", "--level", "structure", "--format", "plain", "fixtures/sdxl_landscape.safetensors"], set()),
    (["validate", "--format", "plain", "fixtures/sdxl_landscape.safetensors"], {"numpy"}),
    (["convert", "fixtures/sdxl_shapes.safetensors", "--to", "diffusers", "--format", "plain", "-o", "{tmp}/x"],
     {"numpy", "safetensors"}),
])
def test_a_command_imports_only_what_it_needs(arguments, allowed, tmp_path, pytestconfig):
    filled = [a.replace("{tmp}", str(tmp_path)) for a in arguments]
    assert loaded(f"from loratool.cli.main import run\nassert run({filled!r}) == 0", pytestconfig.rootpath) <= allowed


def test_the_heavy_extras_are_extras():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    heavy = ("torch", "diffusers", "transformers", "peft", "Pillow")
    assert not any(d.startswith(heavy) for d in project["dependencies"])
    assert any(d.startswith("torch") for d in project["optional-dependencies"]["verify"])
