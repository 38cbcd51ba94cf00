"""Rules, predictions, certificates and replay, through the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open

A, B = "fixtures/sdxl_landscape.safetensors", "fixtures/sdxl_shapes.safetensors"


def data(answer):
    assert answer.code == 0, answer.err
    return json.loads(answer.out)["data"]


def updates(path):
    """Stem -> alpha / rank * up @ down in float64, by the official reader."""
    with safe_open(path, "numpy") as file:
        tensors = {key: file.get_tensor(key).astype(np.float64) for key in file.keys()}  # noqa: SIM118
    found = {}
    for key, down in tensors.items():
        if key.endswith(".lora_down.weight"):
            stem = key.removesuffix(".lora_down.weight")
            up = tensors[f"{stem}.lora_up.weight"]
            scale = float(tensors[f"{stem}.alpha"].reshape(())) / down.shape[0]
            found[stem] = scale * up.reshape(up.shape[0], -1) @ down.reshape(down.shape[0], -1)
    return found


def norm(values):
    return float(np.sqrt(sum(np.square(v).sum() for v in values)))


def error(made, true):
    return norm([made.get(k, 0) - true.get(k, 0) for k in made.keys() | true.keys()]) / norm(true.values())


@pytest.mark.parametrize("rule", [("--rank", "9"), ("--energy", "97%"), ("--error", "0.07"), ("--size", "300kB"),
                                  ("--budget-rank", "10"), ("--sv-fro", "0.95"), ("--sv-ratio", "12"), ("--lossless",),
                                  ("--sv-cumulative", "0.9", "--kohya-compat", "--max-rank", "20"),
                                  ("--error", "10%", "--multiple", "4", "--min-rank", "2", "--max-rank", "24")])
def test_a_rule_gives_what_its_dry_run_said_and_states_its_true_error(call, rule):
    told = data(call("resize", A, *rule, "-o", "out/r.safetensors", "--dry-run", "--json"))
    done = data(call("resize", A, *rule, "-o", "out/r.safetensors", "--json"))
    assert done["bytes"] == told["bytes"]
    assert [m["rank"] for m in done["modules"]] == [m["rank"] for m in told["modules"]]
    assert done["error"] == pytest.approx(error(updates("out/r.safetensors"), updates(A)), rel=1e-6, abs=1e-12)
    assert done["error"] == pytest.approx(done["optimum"], rel=1e-3, abs=1e-9)
    if rule[0] != "--rank":
        assert told["error"] == pytest.approx(done["error"], rel=1e-3, abs=1e-9)


def test_error_and_size_are_kept_and_size_is_hit_from_below(call, place):
    assert data(call("resize", A, "--error", "7%", "-o", "out/e.safetensors", "--json"))["error"] <= 0.0701
    for size in (200_000, 456_789, 1_000_000):
        target = place / "out" / f"{size}.safetensors"
        call("resize", A, "--size", str(size), "-o", str(target))
        assert 0.98 * size <= target.stat().st_size <= size


def test_a_shared_budget_beats_one_rank_for_all_at_equal_bytes(call):
    uniform = data(call("resize", A, "--rank", "8", "-o", "out/u.safetensors", "--json"))
    shared = data(call("resize", A, "--budget-rank", "8", "-o", "out/s.safetensors", "--json"))
    assert shared["bytes"] <= uniform["bytes"] + 200 and shared["error"] < 0.99 * uniform["error"]


@pytest.mark.parametrize("arguments", [
    (), ("--rank", "4", "--energy", "0.9"), ("--size", "1MB", "--error", "1%"), ("--energy", "much"),
    ("--size", "20 miles"), ("--rank", "4", "--min-rank", "2"), ("--energy", "0.9", "--conv-rank", "3"),
    ("--energy", "0.9", "--kohya-compat"), ("--lossless", "--sv-fro", "0.9"), ("--energy", "101%"),
    ("--energy", "0"), ("--rank", "4", "--energy", "0"), ("--sv-ratio", "nan")])
def test_no_rule_several_rules_and_senseless_values_are_usage_errors(call, place, arguments):
    assert call("resize", A, *arguments).code == 2
    assert not list((place / "fixtures").glob("*.r4*"))


def test_the_file_holds_its_certificate(call):
    done = data(call("resize", A, "--rank", "6", "-o", "out/r.safetensors", "--json"))
    with safe_open("out/r.safetensors", "numpy") as file:
        metadata = file.metadata()
    assert float(metadata["loratool.error"]) == pytest.approx(done["error"], rel=1e-5)
    assert float(metadata["loratool.bound"]) == pytest.approx(done["optimum"], rel=1e-5)
    parent, = json.loads(metadata["loratool.parents"])
    assert parent["name"] == "sdxl_landscape.safetensors" and len(parent["sha256"]) == 64
    assert str(json.loads(metadata["loratool.recipe"])["rule"]["rank"]) == "6"


@pytest.mark.parametrize(("command", "made"), [
    ("resize", (A, "--error", "8%", "--multiple", "2")), ("resize", (A, "--rank", "5", "--alpha", "rank")),
    ("merge", (A, B, "--weights", "0.6,-0.4", "--component", "te=0.5")), ("merge", (A, B, "--size", "500kB"))])
def test_replay_gives_the_same_bytes_after_checking_the_inputs(call, place, command, made):
    assert call(command, *made, "-o", "out/made.safetensors").code == 0
    inputs = [a for a in made if a.startswith("fixtures/")]
    moved = []
    for number, path in enumerate(reversed(inputs)):
        copy = place / f"elsewhere{number}.safetensors"
        copy.write_bytes((place / path).read_bytes())
        moved.append(str(copy))
    again = call(command, *moved, "--replay", "out/made.safetensors", "-o", "out/again.safetensors", "--json")
    assert data(again)["identical"] is True
    assert (place / "out/again.safetensors").read_bytes() == (place / "out/made.safetensors").read_bytes()
    edited = bytearray((place / inputs[0]).read_bytes())
    edited[-1] ^= 1
    (place / "edited.safetensors").write_bytes(edited)
    refused = call(command, "edited.safetensors", *moved[:-1], "--replay", "out/made.safetensors", "-o", "out/x")
    assert refused.code == 4 and "sha256" in refused.err and not (place / "out/x").exists()


def test_only_files_with_a_recipe_can_be_replayed(call):
    assert call("resize", A, "--replay", B).code == 4
    call("resize", A, "--rank", "4", "-o", "out/r.safetensors")
    wrong = call("merge", A, "--replay", "out/r.safetensors")
    assert wrong.code == 4 and "resize --replay" in wrong.err
    assert call("resize", A, "--replay", "out/r.safetensors", "--rank", "3").code == 2


def test_a_merge_tells_how_its_inputs_relate(call):
    conflict = data(call("merge", A, B, "--weights", "0.6,-0.4", "-o", "out/m.safetensors", "--json"))["conflict"]
    one, two = updates(A), updates(B)
    inner = sum(float(np.sum(one[k] * two[k])) for k in one.keys() & two.keys())
    sizes = 0.6 * norm(one.values()), 0.4 * norm(two.values())
    assert conflict["norms"] == pytest.approx(sizes)
    assert conflict["cosines"][0][1] == pytest.approx(-inner / (norm(one.values()) * norm(two.values())), abs=1e-9)
    same = data(call("merge", A, A, "--weights", "1,-1", "-o", "out/n.safetensors", "--json"))["conflict"]
    assert same["cosines"][0][1] == pytest.approx(-1.0) and same["gain"] == pytest.approx(0.0, abs=1e-7)
    assert "cancels" in call("merge", A, A, "--weights", "1,-0.9", "-o", "out/o.safetensors").out


def test_component_factors_multiply_the_weights(call):
    call("merge", A, B, "--weights", "0.6,0.4", "--component", "te=0,2", "--component", "clip-g=0.5",
         "--dtype", "F32", "-o", "out/m.safetensors")
    one, two = updates(A), updates(B)

    def factor(key, number):
        te = (0.0, 2.0)[number] if "lora_te" in key else 1.0
        return (0.6, 0.4)[number] * te * (0.5 if "lora_te2" in key else 1.0)

    true = {k: factor(k, 0) * one.get(k, 0) + factor(k, 1) * two.get(k, 0) for k in one.keys() | two.keys()}
    assert error(updates("out/m.safetensors"), true) < 1e-6
    assert call("merge", A, B, "--component", "te", "-o", "out/x").code == 2
    assert call("merge", A, B, "--component", "te=1,2,3", "-o", "out/x").code == 2
    assert call("merge", A, B, "--component", "tee=1", "-o", "out/x").code == 2


def test_a_merge_by_a_rule_is_the_best_of_that_size(call):
    done = data(call("merge", A, B, "--error", "6%", "-o", "out/m.safetensors", "--json"))
    one, two = updates(A), updates(B)
    true = {k: one.get(k, 0) + two.get(k, 0) for k in one.keys() | two.keys()}
    assert done["error"] == pytest.approx(error(updates("out/m.safetensors"), true), rel=1e-6)
    assert done["error"] <= 0.0601 and done["error"] == pytest.approx(done["optimum"], rel=1e-2)


def test_inspect_weights_agrees_with_dense_float64(call):
    entry, = data(call("inspect", "--weights", "--layers", "--json", A))
    true = updates(A)
    assert entry["depth"] == "weights"
    assert entry["strength"]["fro_total"] == pytest.approx(norm(true.values()))
    for layer in entry["layers"]:
        sigma = np.linalg.svd(true[layer["name"]], compute_uv=False)[:layer["rank"]]
        assert layer["singular_values"] == pytest.approx(sigma, rel=1e-6, abs=1e-7 * sigma[0])
        assert layer["fro"] == pytest.approx(np.linalg.norm(sigma))
        share = sigma ** 2 / (sigma ** 2).sum()
        assert layer["effective_rank"] == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-6)
        assert layer["stable_rank"] == pytest.approx(1 / share[0])
        assert layer["r95"] == int(np.searchsorted(np.cumsum(share), 0.95)) + 1
    assert sum(b["energy_share"] for b in entry["blocks"]) == pytest.approx(1.0)
    encoders = sum(e["energy_share"] for e in entry["adapter"]["text_encoders"].values())
    assert encoders == pytest.approx(norm(v for k, v in true.items() if "_te" in k) ** 2 / norm(true.values()) ** 2)


def test_resize_keeps_to_what_inspect_suggests(call):
    entry, = data(call("inspect", "--weights", "--json", A))
    for advice in entry["spectrum"]["resize"]:
        done = data(call("resize", A, *advice["rule"].split(), "-o", "out/r.safetensors", "--json", "--overwrite"))
        assert done["bytes"] == advice["bytes"]
        assert done["error"] == pytest.approx(advice["error"], rel=1e-3)
        assert 1 - done["error"] ** 2 == pytest.approx(advice["energy"], abs=1e-5)


def test_inspect_weights_finds_dead_and_broken_layers(call):
    dead, = data(call("inspect", "--weights", "--layers", "--json", "fixtures/broken/zero_layer.safetensors"))
    assert "ZERO_LAYER" in {f["code"] for f in dead["health"]["findings"]}
    assert ["UNTRAINED"] in [layer.get("flags") for layer in dead["layers"]]
    nan, = data(call("inspect", "--weights", "--json", "fixtures/broken/nan.safetensors"))
    assert nan["health"]["status"] == "broken" and nan["spectrum"]["resize"] == []


@pytest.mark.parametrize("name", ["half_missing", "rank_mismatch", "swapped"])
def test_inspect_weights_gives_the_figures_of_the_sound_layers(call, name):
    """A file that resize refuses has no suggestions, but it can be read, and hides no other."""
    entry, other = data(call("inspect", "--weights", "--layers", "--json", f"fixtures/broken/{name}.safetensors", A))
    assert entry["health"]["status"] == "broken" and entry["spectrum"]["resize"] == []
    assert any("fro" in layer for layer in entry["layers"])
    assert other["spectrum"]["resize"]


@pytest.mark.parametrize("kind", ("NaN weights", "huge alphas", "huge weights", "whole numbers"))
def test_figures_that_no_layer_has_are_left_out_and_the_reason_is_said(call, place, kind):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(A)
    for key, value in tensors.items():
        if key.endswith(".alpha"):
            tensors[key] = np.full(value.shape, 1e300) if kind == "huge alphas" else value
        elif kind == "NaN weights":
            tensors[key] = value * np.float16(np.nan)
        elif kind == "huge weights":
            tensors[key] = value.astype(np.float64) * 1e300
        elif kind == "whole numbers":
            tensors[key] = np.ones_like(value, np.int8)
    save_file(tensors, "out/a.safetensors")
    entry, other = data(call("inspect", "--weights", "--json", "out/a.safetensors", A))
    assert entry["depth"] == "weights" and entry["strength"] is None and entry["spectrum"] is None
    found = {f["code"]: f for f in entry["health"]["findings"]}
    assert len(found["ODD_DTYPE" if kind == "whole numbers" else "NONFINITE"]["modules"]) >= len(entry["layers"])
    assert other["strength"]["fro_total"] > 0
    assert call("inspect", "--weights", "out/a.safetensors").code == 0


def test_a_layer_with_an_alpha_that_is_no_number_is_left_out_of_the_figures(call, place):
    from safetensors.numpy import load_file, save_file

    tensors = load_file("fixtures/sdxl_landscape.safetensors")
    key = next(k for k in tensors if k.endswith(".alpha"))
    tensors[key] = np.full(tensors[key].shape, np.nan, tensors[key].dtype)
    save_file(tensors, "out/a.safetensors")
    answer = call("inspect", "--weights", "--json", "out/a.safetensors")
    assert answer.code == 0
    found = json.loads(answer.out)["data"][0]
    assert {"ALPHA_INVALID", "NONFINITE"} <= {f["code"] for f in found["health"]["findings"]}
    stem = key.removesuffix(".alpha")
    assert [("fro" in layer) for layer in found["layers"] if layer["name"] == stem] == [False]
    assert found["strength"]["fro_total"] > 0
