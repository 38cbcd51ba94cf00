"""Whole adapters, made on the fly: 986 modules of SDXL, 504 of FLUX.1, through all five commands."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from loratool.cli.main import run

from .keysets import write

CASES = {
    "sdxl_kohya_lora": ("sdxl", "kohya", 986, "diffusers"),
    "flux1-dev_aitoolkit_lora_full": ("flux1", "diffusers", 504, "kohya"),
}


def call(capsys, *arguments):
    code = run([*map(str, arguments), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == document["exit_code"] == 0, document["errors"]
    return document["data"]


@pytest.mark.parametrize("name", CASES)
def test_a_whole_adapter_goes_through_every_command(tmp_path, capsys, name):
    family, dialect, count, other = CASES[name]
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    tensors = write(a, name, rank=2, alpha=1.0, seed=1)
    write(b, name, rank=3, alpha=3.0, seed=2)
    entry, = call(capsys, "inspect", a)
    assert (entry["base"]["family"], entry["base"]["confidence"]) == (family, "proved")
    assert entry["adapter"]["key_format"] == dialect
    assert sum(entry["adapter"]["modules"].values()) == count and entry["health"]["findings"] == []
    assert call(capsys, "validate", a)[0]["verdict"] == "ok"

    smaller = call(capsys, "resize", b, "--rank", 1, "-o", tmp_path / "r.safetensors")
    assert {m["rank"] for m in smaller["modules"]} == {1} and len(smaller["modules"]) == count
    assert smaller["error"] == pytest.approx(smaller["optimum"], rel=1e-3)

    merged = call(capsys, "merge", a, b, "--weights", "0.6,0.4", "-o", tmp_path / "m.safetensors")
    assert {m["rank"] for m in merged["modules"]} == {5} and merged["error"] < 1e-3
    assert list(load_file(tmp_path / "m.safetensors")) and merged["optimum"] == 0.0

    there = call(capsys, "convert", a, "--to", other, "-o", tmp_path / "c.safetensors")
    assert there["error"] < 1e-5
    back = call(capsys, "convert", tmp_path / "c.safetensors", "--to", dialect, "-o", tmp_path / "d.safetensors")
    assert back["exact"] and back["family"] == family
    returned = load_file(tmp_path / "d.safetensors")
    assert returned.keys() == tensors.keys()
    differing = [key for key in tensors if not np.array_equal(returned[key], tensors[key])]
    assert back["identical"] == (not differing)
    assert all(np.allclose(returned[key], tensors[key], rtol=0, atol=2.0 ** -23) for key in differing)
