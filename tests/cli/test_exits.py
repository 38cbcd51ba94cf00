"""Exit codes, refusals and what is left on the disk."""

import hashlib
import os
import signal
import subprocess
import sys

import pytest


def digests(folder):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(("arguments", "code"), [
    (("inspect", "fixtures/sdxl_shapes.safetensors"), 0),
    (("inspect", "fixtures"), 3),
    (("inspect", "nowhere.safetensors"), 3),
    (("inspect",), 2),
    (("inspect", "fixtures/broken/checkpoint.safetensors"), 0),
    (("validate", "fixtures/broken/zero_layer.safetensors"), 0),
    (("validate", "fixtures/broken/zero_layer.safetensors", "--fail-on", "warn"), 1),
    (("validate", "fixtures/broken/nan.safetensors"), 1),
    (("validate", "fixtures/broken/nan.safetensors", "--level", "structure"), 0),
    (("validate", "fixtures/broken/page.safetensors"), 3),
    (("validate", "fixtures/broken/page.safetensors", "fixtures/broken/empty.safetensors"), 3),
    (("validate", "fixtures/broken/page.safetensors", "fixtures/broken/nan.safetensors"), 1),
    (("validate", "--explain", "R99"), 2),
    (("resize", "fixtures/sdxl_shapes.safetensors", "--rank", "0"), 2),
    (("resize", "fixtures/broken/truncated.safetensors", "--rank", "2"), 3),
    (("resize", "fixtures/broken/nan.safetensors", "--rank", "1"), 4),
    (("resize", "fixtures/broken/checkpoint.safetensors", "--rank", "1"), 4),
    (("merge", "fixtures/sdxl_shapes.safetensors", "fixtures/sd1_shapes.safetensors"), 4),
    (("merge", "fixtures/sdxl_shapes.safetensors", "fixtures/sdxl_landscape.safetensors", "--weights", "1"), 2),
    (("merge", "fixtures/sdxl_shapes.safetensors", "--weights", "one"), 2),
    (("convert", "fixtures/sdxl_shapes.safetensors", "--to", "elsewhere"), 2),
    (("convert", "fixtures/broken/hostile_names.safetensors", "--to", "diffusers"), 4),
    (("resize", "fixtures/sdxl_shapes.safetensors", "--rank", "4", "-o", "no/such/folder.safetensors"), 3),
    (("resize", "fixtures/sdxl_shapes.safetensors", "--rank", "4", "-o", "{nothing}.safetensors"), 2),
])
def test_exit_codes_are_those_of_the_contract(call, place, arguments, code):
    before = digests(place)
    answer = call(*arguments)
    assert answer.code == code, answer.err
    if code:
        assert digests(place) == before
        assert code == 1 or answer.err or arguments[0] == "validate"
        assert "Traceback" not in answer.err


def test_an_error_names_file_key_reason_and_remedy(call):
    answer = call("resize", "fixtures/broken/half_missing.safetensors", "--rank", "1")
    first, *hint = answer.err.splitlines()
    assert first.startswith("loratool: fixtures/broken/half_missing.safetensors: lora_unet_") and "no up half" in first
    assert "validate" in " ".join(hint)
    assert all(line.startswith("  ") and len(line) <= 80 for line in hint)


@pytest.mark.parametrize("arguments", [("inspect", "fixtures/broken/page.safetensors"), ("validate", "--explain", "R99"),
                                       ("convert", "fixtures/broken/checkpoint.safetensors", "--to", "diffusers")])
def test_hints_fit_80_columns(call, arguments):
    _, *hint = call(*arguments).err.splitlines()
    assert hint and all(line.startswith("  ") and len(line) <= 80 for line in hint)


def test_nothing_is_overwritten_unless_asked(call, place):
    target = place / "out" / "small.safetensors"
    target.write_bytes(b"mine")
    arguments = ("resize", "fixtures/sdxl_shapes.safetensors", "--rank", "4", "-o", str(target))
    assert call(*arguments).code == 4 and target.read_bytes() == b"mine"
    assert call(*arguments, "--overwrite").code == 0 and target.stat().st_size > 1000


def test_the_input_is_replaced_only_in_place_and_kept_as_bak(call, place):
    source = place / "fixtures" / "sdxl_shapes.safetensors"
    before = source.read_bytes()
    assert call("resize", str(source), "--rank", "4", "-o", str(source), "--overwrite").code == 4
    assert source.read_bytes() == before
    assert call("resize", str(source), "--rank", "4", "--in-place").code == 0
    assert (place / "fixtures" / "sdxl_shapes.safetensors.bak").read_bytes() == before != source.read_bytes()


def test_a_peft_folder_never_replaces_what_is_no_adapter_folder(call, place):
    precious = place / "precious"
    precious.mkdir()
    (precious / "notes.txt").write_text("keep me")
    arguments = ("convert", "fixtures/sd1_shapes.safetensors", "--to", "peft")
    assert call(*arguments, "-o", "fixtures/sd1_shapes.safetensors", "--overwrite").code == 4
    assert call(*arguments, "--in-place", "--overwrite").code == 4
    assert call(*arguments, "-o", str(precious), "--overwrite").code == 0
    assert (precious / "notes.txt").read_text() == "keep me"
    assert (precious / "sd1_shapes.peft" / "adapter_config.json").exists()
    assert (place / "fixtures" / "sd1_shapes.safetensors").stat().st_size > 1000


def test_names_follow_input_template_and_folder(call, place):
    source = "fixtures/sdxl_shapes.safetensors"
    assert call("resize", source, "--rank", "4", "-q").out == "fixtures/sdxl_shapes.r4.safetensors\n"
    assert call("resize", source, "--rank", "4", "-q", "-o", "out").out == "out/sdxl_shapes.r4.safetensors\n"
    assert call("resize", source, "--rank", "5", "-q", "-o", "out/{family}-{stem}-{rank}{ext}").out == (
        "out/sdxl-sdxl_shapes-5.safetensors\n")
    assert call("convert", source, "--to", "a1111", "-q", "-o", "out/").out == "out/sdxl_shapes.kohya.safetensors\n"


def test_globs_stdin_and_literal_brackets(call, place, monkeypatch):
    import io

    (place / "a[1].safetensors").write_bytes((place / "fixtures" / "sdxl_shapes.safetensors").read_bytes())
    assert call("inspect", "-q", "a[1].safetensors").out == "a[1].safetensors\n"
    assert call("inspect", "-q", "fixtures/sdxl*.safetensors").out == (
        "fixtures/sdxl_landscape.safetensors\nfixtures/sdxl_shapes.safetensors\n")

    class Stdin:
        buffer = io.BytesIO(b"a[1].safetensors\0fixtures/sd1_shapes.safetensors\0")

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert call("inspect", "-q", "-0", "-").out == "a[1].safetensors\nfixtures/sd1_shapes.safetensors\n"


def test_the_same_work_gives_the_same_bytes_anywhere(call, place):
    for name, threads in (("one", "1"), ("two", "3")):
        folder = place / name
        folder.mkdir()
        copy = folder / "in.safetensors"
        copy.write_bytes((place / "fixtures" / "sdxl_landscape.safetensors").read_bytes())
        assert call("resize", str(copy), "--rank", "7", "-o", f"{name}/r.safetensors", "--threads", threads).code == 0
        assert call("merge", str(copy), "fixtures/sdxl_shapes.safetensors", "--weights", "0.6,0.4", "-o",
                    f"{name}/m.safetensors", "--threads", threads).code == 0
    one, two = place / "one", place / "two"
    for file in ("r.safetensors", "m.safetensors"):
        assert (one / file).read_bytes() == (two / file).read_bytes()


def test_interrupted_work_leaves_nothing(place):
    script = ("import os, signal, sys\nfrom loratool.ops import run\nfrom loratool.cli.main import main\n"
              "run._totals = lambda reports: os.kill(os.getpid(), signal.SIGTERM)\n"
              "main(['resize', 'fixtures/sdxl_landscape.safetensors', '--rank', '4', '-o', 'out/x.safetensors'])")
    done = subprocess.run([sys.executable, "-c", script], cwd=place, capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    assert os.listdir(place / "out") == []
    assert "interrupted" in done.stderr and signal.SIGTERM


def test_settings_come_from_flag_then_environment_then_file(call, place, monkeypatch):
    home = place / "home"
    home.mkdir()
    monkeypatch.setenv("LORATOOL_HOME", str(home))
    (home / "config.toml").write_text('format = "plain"\n')
    assert call("inspect", "fixtures/sdxl_shapes.safetensors").out.startswith("path: ")
    monkeypatch.setenv("LORATOOL_FORMAT", "jsonl")
    assert call("inspect", "fixtures/sdxl_shapes.safetensors").out.startswith("{")
    assert call("inspect", "fixtures/sdxl_shapes.safetensors", "--format", "plain").out.startswith("path: ")
    (home / "config.toml").write_text("colour = 3\n")
    wrong = call("inspect", "fixtures/sdxl_shapes.safetensors")
    assert wrong.code == 2 and "colour" in wrong.err


def test_sarif_and_github_forms(call):
    import json

    sarif = json.loads(call("validate", "--format", "sarif", "fixtures/broken/nan.safetensors").out)
    assert sarif["runs"][0]["results"][0]["ruleId"] == "NONFINITE"
    assert call("validate", "--format", "github", "fixtures/broken/nan.safetensors").out.startswith(
        "::error file=fixtures/broken/nan.safetensors,title=NONFINITE::")


def test_metadata_and_keys_can_be_printed(call):
    assert call("inspect", "fixtures/sdxl_landscape.safetensors", "--metadata", "ss_network_dim").out == "32\n"
    assert call("inspect", "fixtures/sdxl_landscape.safetensors", "--metadata", "nothing").code == 2
    keys = call("inspect", "fixtures/sdxl_landscape.safetensors", "--keys").out.splitlines()
    assert len(keys) == 30 and all(len(line.split("\t")) == 3 for line in keys)
