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
