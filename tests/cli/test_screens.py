"""Golden screens at 80 columns. ``LORATOOL_UPDATE=1 pytest tests/cli/test_screens.py`` writes them anew."""

import os
import re
from pathlib import Path

import pytest

SCREENS = Path(__file__).parent / "screens"
SHOWN = {
    "inspect_sdxl": "inspect fixtures/sdxl_landscape.safetensors",
    "inspect_flux1": "inspect fixtures/flux1_digits_diffusers.safetensors",
    "inspect_sd1_layers": "inspect fixtures/sd1_digits_tucker.safetensors --layers",
    "inspect_folder": "inspect -r fixtures",
    "inspect_plain": "inspect fixtures/sdxl_shapes.safetensors --format plain",
    "inspect_rows_plain": "inspect fixtures/sdxl_shapes.safetensors fixtures/broken/page.safetensors --format plain",
    "inspect_hostile": "inspect fixtures/broken/hostile_names.safetensors",
    "validate_broken": "validate -r fixtures/broken",
    "validate_plain": "validate fixtures/broken/wrong_shape.safetensors --format plain",
    "validate_for": "validate --for sd-scripts fixtures/sd1_digits_tucker.safetensors",
    "formats": "formats",
    "formats_family": "formats --family wan",
    "explain": "validate --explain ALPHA_MISSING",
    "resize": "resize fixtures/sdxl_landscape.safetensors --rank 16 -o out/r.safetensors",
    "resize_dry": "resize fixtures/sd1_shapes.safetensors --rank 4 --conv-rank 2 -o out/r.safetensors --dry-run",
    "merge": "merge fixtures/sdxl_landscape.safetensors fixtures/sdxl_shapes.safetensors --weights 0.6,0.4 "
             "-o out/m.safetensors",
    "convert": "convert fixtures/flux1_digits.safetensors --to diffusers -o out/c.safetensors",
    "convert_joined": "convert fixtures/flux1_digits_diffusers.safetensors --to kohya -o out/c.safetensors",
    "convert_plain": "convert fixtures/sdxl_landscape.safetensors --to peft -o out/p --format plain",
}


@pytest.mark.parametrize("name", SHOWN)
def test_screen_is_the_golden_one_and_fits_80_columns(call, name):
    text = re.sub(r"\d+\.\d s\b", "0.0 s", call(*SHOWN[name].split()).out)
    text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    if "plain" not in name:
        assert max(map(len, text.splitlines())) <= 80
    golden = SCREENS / f"{name}.txt"
    if os.environ.get("LORATOOL_UPDATE"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("arguments", [
    ("inspect",), ("inspect", "--layers"), ("inspect", "--metadata"), ("inspect", "--keys"),
    ("validate",), ("validate", "--format", "plain"), ("validate", "--format", "github")])
def test_hostile_text_never_reaches_the_terminal(call, arguments):
    command, *more = arguments
    answer = call(command, "fixtures/broken/hostile_names.safetensors", *more)
    shown = answer.out + answer.err
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]",
                         shown.replace("\t", " "))
    assert len(shown) < 100_000


def test_an_ascii_terminal_gets_ascii(place, monkeypatch):
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-m", "loratool", "inspect", "fixtures/sdxl_landscape.safetensors"],
                          env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True)
    assert done.returncode == 0 and done.stdout.isascii(), done.stderr


def test_no_colour_unless_a_terminal_or_asked(call):
    assert "\x1b[" not in call("validate", "fixtures/broken/nan.safetensors").out
    assert "\x1b[" in call("validate", "fixtures/broken/nan.safetensors", "--color", "always").out
