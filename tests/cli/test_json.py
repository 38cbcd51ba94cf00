"""The JSON of every command follows its published schema and the contract."""

import json

import jsonschema
import pytest

from loratool.report.schema import COMMANDS, schema

SOUND = ["sdxl_landscape", "sdxl_shapes", "sd1_shapes", "flux1_digits", "flux1_digits_diffusers", "sd1_digits_tucker"]


def parsed(answer, command):
    document = json.loads(answer.out)
    jsonschema.validate(document, schema(command))
    assert document["exit_code"] == answer.code
    return document


@pytest.mark.parametrize("command", COMMANDS)
def test_schema_prints_what_the_tests_check_against(call, command):
    assert json.loads(call("schema", command).out) == schema(command)
    jsonschema.Draft202012Validator.check_schema(schema(command))


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("more", [[], ["--layers"]])
def test_inspect_of_each_fixture_follows_the_schema(call, name, more):
    document = parsed(call("inspect", "--json", f"fixtures/{name}.safetensors", *more), "inspect")
    entry = document["data"][0]
    assert entry["base"]["family"] == name.split("_")[0]
    assert (entry["layers"] is not None) == bool(more)


def test_one_bad_file_never_hides_another(call):
    answer = call("inspect", "--json", "fixtures/broken/truncated.safetensors", "fixtures/sdxl_shapes.safetensors",
                  "nowhere.safetensors")
    document = parsed(answer, "inspect")
    assert answer.code == 1
    assert [("error" in entry, entry.get("path") or entry["file"]["path"]) for entry in document["data"]] == [
        (True, "fixtures/broken/truncated.safetensors"), (False, "fixtures/sdxl_shapes.safetensors"),
        (True, "nowhere.safetensors")]
    assert [e["code"] for e in document["errors"]] == ["CONTAINER", "NOT_FOUND"]


def test_jsonl_is_one_bare_entry_a_line(call):
    answer = call("inspect", "--format", "jsonl", "fixtures/sdxl_shapes.safetensors", "nowhere.safetensors")
    first, second = map(json.loads, answer.out.splitlines())
    assert first["schema"] == "loratool/inspect/1"
    assert second["path"] == "nowhere.safetensors" and second["error"]["code"] == "NOT_FOUND"


def test_validate_answers_about_every_path(call):
    answer = call("validate", "--json", "-r", "fixtures", "nowhere.safetensors")
    document = parsed(answer, "validate")
    verdicts = {entry["path"].rpartition("/")[2]: entry["verdict"] for entry in document["data"]}
    assert answer.code == 1 and document["status"] == "no"
    assert verdicts["sdxl_landscape.safetensors"] == "ok"
    assert verdicts["truncated.safetensors"] == verdicts["nowhere.safetensors"] == "unreadable"
    assert verdicts["nan.safetensors"] == "broken" and verdicts["zero_layer.safetensors"] == "warn"


@pytest.mark.parametrize("arguments", [
    ("resize", "fixtures/sdxl_landscape.safetensors", "--rank", "4"),
    ("resize", "fixtures/sdxl_landscape.safetensors", "--rank", "4", "--dry-run"),
    ("merge", "fixtures/sdxl_landscape.safetensors", "fixtures/sdxl_shapes.safetensors", "--weights", "0.6,-0.4"),
    ("convert", "fixtures/flux1_digits.safetensors", "--to", "diffusers"),
    ("convert", "fixtures/flux1_digits_diffusers.safetensors", "--to", "peft"),
])
def test_operations_follow_the_schema(call, place, arguments):
    output = place / "out" / "result"
    document = parsed(call(*arguments, "-o", str(output), "--json"), arguments[0])
    data = document["data"]
    assert data["output"] == str(output)
    assert data["inputs"] == [a for a in arguments if a.startswith("fixtures/")]
    assert output.exists() != data["dry_run"]
    if output.is_file():
        assert data["bytes"] == output.stat().st_size


def test_an_error_fills_the_envelope(call):
    answer = call("convert", "--json", "fixtures/broken/half_missing.safetensors", "--to", "diffusers")
    document = parsed(answer, "convert")
    assert (answer.code, document["status"], document["data"]) == (4, "error", None)
    assert document["errors"][0]["code"] == "UNSOUND"
    assert "no up half" in document["errors"][0]["message"]


@pytest.mark.parametrize("arguments", [("resize", "--nope"), ("inspect",), ("convert", "x.safetensors")])
def test_a_usage_error_of_the_parser_fills_the_envelope(call, arguments):
    document = parsed(call(*arguments, "--json"), arguments[0])
    assert (document["exit_code"], document["errors"][0]["code"]) == (2, "USAGE")


def test_json_never_holds_nan(call, place):
    import numpy as np
    from safetensors.numpy import save_file

    stem = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    save_file({f"{stem}.lora_down.weight": np.ones((2, 768), np.float16),
               f"{stem}.lora_up.weight": np.ones((3072, 2), np.float16),
               f"{stem}.alpha": np.array(np.nan, np.float16)}, place / "n.safetensors",
              metadata={"ss_learning_rate": "NaN", "ss_tag_frequency": '{"1_x": {"x": NaN}}'})
    text = call("inspect", "--json", "--layers", "n.safetensors").out
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in the output"))


def test_weights_in_json_list_the_layers_with_their_singular_values(call):
    document = parsed(call("inspect", "--weights", "--json", "fixtures/sdxl_landscape.safetensors"), "inspect")
    layers = document["data"][0]["layers"]
    assert layers and all(len(layer["singular_values"]) == layer["rank"] for layer in layers)


def test_a_batch_that_failed_in_part_is_a_no_for_every_command(call):
    for command in ("inspect", "validate"):
        answer = call(command, "--json", "fixtures/sdxl_landscape.safetensors", "nowhere.safetensors")
        document = parsed(answer, command)
        assert (answer.code, document["status"]) == (1, "no")


def test_a_rule_is_explained_in_json_too(call):
    document = parsed(call("validate", "--explain", "r21", "--json"), "validate")
    assert (document["command"], document["status"]) == ("validate", "ok")
    assert document["data"]["id"] == "R21" and document["data"]["severity"] == "error" and document["data"]["remedy"]
    line, = call("validate", "--explain", "r21", "--format", "jsonl").out.splitlines()
    assert json.loads(line) == document["data"]


def test_an_error_follows_the_settings_file(call, place, monkeypatch):
    (place / "home").mkdir()
    (place / "home" / "config.toml").write_text('format = "json"\n')
    monkeypatch.setenv("LORATOOL_HOME", str(place / "home"))
    answer = call("resize", "nowhere.safetensors", "--rank", "2")
    assert json.loads(answer.out)["errors"][0]["code"] == "NOT_FOUND"


def test_a_fault_of_the_program_is_one_line_and_an_envelope(call, monkeypatch):
    def fails(*_):
        raise RuntimeError("a fault")

    monkeypatch.setattr("loratool.cli.inspect.inspect", fails)
    answer = call("inspect", "--json", "fixtures/sdxl_landscape.safetensors")
    assert answer.code == 70
    assert parsed(answer, "inspect")["errors"][0]["code"] == "INTERNAL"
    first, hint = answer.err.splitlines()
    assert first == "loratool: internal error: RuntimeError: a fault" and "--debug" in hint


@pytest.mark.parametrize("asked", ("flag", "variable"))
@pytest.mark.parametrize("kind", (RuntimeError, OSError))
def test_debug_shows_where_a_fault_is_and_changes_nothing_else(call, monkeypatch, kind, asked):
    def fails(*_):
        raise kind("a fault")

    monkeypatch.setattr("loratool.cli.inspect.inspect", fails)
    plain = call("inspect", "--json", "fixtures/sdxl_landscape.safetensors")
    if asked == "variable":
        monkeypatch.setenv("LORATOOL_DEBUG", "1")
    answer = call("inspect", "--json", "fixtures/sdxl_landscape.safetensors", *(["--debug"] if asked == "flag" else []))
    assert (answer.code, answer.out) == (plain.code, plain.out) and plain.code in (3, 70)
    assert "Traceback" in answer.err and "in fails" in answer.err and answer.err.endswith(plain.err)


@pytest.mark.parametrize(("rank", "more", "exact"), [("99", (), True), ("99", ("--alpha", "rank"), False),
                                                     ("4", (), False)])
def test_a_dry_run_promises_no_more_than_the_file_keeps(call, rank, more, exact):
    """Exact is what is copied bit for bit; all else is rounded once."""
    arguments = ("resize", "fixtures/sdxl_landscape.safetensors", "--rank", rank, "-o", "out/a.safetensors", *more)
    for dry in (("--dry-run",), ()):
        assert parsed(call(*arguments, *dry, "--json"), "resize")["data"]["exact"] is exact
    plain = dict(line.split(": ", 1) for line in call(*arguments, "--dry-run", "--format", "plain").out.splitlines())
    assert plain["exact"] == ("yes" if exact else "no") and float(plain["error"]) < 0.5
    assert "Predicted" in call(*arguments, "--dry-run").out


@pytest.mark.parametrize(("rank", "more"), [("4", ()), ("8", ("--alpha", "rank"))])
def test_a_dry_run_predicts_the_error_of_the_file(call, rank, more):
    arguments = ("resize", "fixtures/sdxl_landscape.safetensors", "--rank", rank, "--json", "-o", "out/a.safetensors", *more)
    planned = parsed(call(*arguments, "--dry-run"), "resize")["data"]
    made = parsed(call(*arguments), "resize")["data"]
    assert planned["error"] == pytest.approx(made["error"], rel=1e-3) and planned["error"] > 0.01
    assert planned["bytes"] == made["bytes"]
    assert [m["rank_before"] for m in planned["modules"]] == [m["rank_before"] for m in made["modules"]]
