"""The committed files in fixtures/: current, small, and what their names say."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save

from loratool.adapter.adapter import Adapter
from loratool.checks.run import validate
from loratool.tensors.reader import TensorFile
from tests.keysets import keys_of

FIXTURES = Path(__file__).parent.parent / "fixtures"
BROKEN = FIXTURES / "broken"

# file -> family, key format, layers, key set of a real program that holds all its modules
SOUND = {
    "sdxl_landscape": ("sdxl", "kohya", 10, "sdxl_kohya_lora"),
    "sdxl_shapes": ("sdxl", "kohya", 8, "sdxl_kohya_lora"),
    "sd1_shapes": ("sd1", "kohya", 19, "sd15_kohya_locon"),
    "sd1_digits_tucker": ("sd1", "kohya", 8, "sd15_kohya_locon"),
    "flux1_digits": ("flux1", "kohya", 5, "flux1dev_kohya_lora"),
    "flux1_digits_diffusers": ("flux1", "diffusers", 7, "flux1-dev_aitoolkit_lora"),
}

# file -> verdict, ids of the findings
FAULTS = {
    "truncated": ("unreadable", {"R21"}),
    "trailing": ("unreadable", {"R21"}),
    "empty": ("unreadable", {"R01"}),
    "page": ("unreadable", {"R02"}),
    "lfs_pointer": ("unreadable", {"R02"}),
    "duplicate_key": ("unreadable", {"R10"}),
    "nan": ("broken", {"NONFINITE"}),
    "zero_layer": ("warn", {"ZERO_LAYER"}),
    "half_missing": ("broken", {"UNPAIRED"}),
    "swapped": ("broken", {"SWAPPED"}),
    "rank_mismatch": ("broken", {"RANK_MISMATCH"}),
    "no_alpha": ("warn", {"ALPHA_MISSING"}),
    "two_spellings": ("broken", {"DUPLICATE_MODULE", "MIXED_DIALECTS"}),
    "wrong_shape": ("broken", {"SHAPE_MISMATCH"}),
    "checkpoint": ("warn", {"NO_ADAPTER"}),
    "hostile_names": ("warn", {"UNKNOWN_KEYS", "UNKNOWN_MODULE", "METADATA_BAD_JSON"}),
}


def path(name):
    return str(FIXTURES / f"{name}.safetensors")


def test_files_are_those_that_make_makes():
    made = subprocess.run([sys.executable, str(FIXTURES / "make.py"), "--check"], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr


def test_together_at_most_five_megabytes():
    assert sum(p.stat().st_size for p in FIXTURES.rglob("*.safetensors")) <= 5_000_000


def test_tables_name_every_file():
    assert {p.stem for p in FIXTURES.glob("*.safetensors")} == SOUND.keys()
    assert {p.stem for p in BROKEN.iterdir()} == FAULTS.keys()


@pytest.mark.parametrize("name", SOUND)
def test_sound_file_is_identified(name):
    family, key_format, layers, _ = SOUND[name]
    with safe_open(path(name), framework="numpy") as official, Adapter.open(path(name)) as adapter:
        assert set(official.keys()) == set(adapter.file.tensors)
        assert official.metadata() == adapter.metadata
        assert (adapter.family, adapter.key_format) == (family, key_format)
        assert adapter.identification.confidence == "likely"
        assert len(adapter.lora_layers) == len(adapter.layers) == layers
    assert validate(path(name)).findings == ()


def size(key, shape):
    """A factor's shape without the rank."""
    if key.endswith(("lora_down.weight", "lora_A.weight")):
        return [shape[1], *shape[2:]]
    return [shape[0], *shape[2:]] if key.endswith(("lora_up.weight", "lora_B.weight")) else list(shape)


@pytest.mark.parametrize("name", SOUND)
def test_names_and_shapes_are_those_of_real_programs(name):
    known = keys_of(SOUND[name][3])
    with TensorFile(path(name)) as file:
        for key, info in file.tensors.items():
            stem, _, factor = key.partition(".lora_")
            if f"{stem}.lora_mid.weight" not in file.tensors:
                assert size(key, info.shape) == size(key, known[key]), key
            elif factor == "down.weight":
                assert info.shape == (4, known[key][1], 1, 1)
            elif factor == "mid.weight":
                assert info.shape == (4, 4, *known[f"{stem}.lora_down.weight"][2:])


@pytest.mark.parametrize("name", SOUND)
def test_updates_fall_as_a_power_law(name):
    with Adapter.open(path(name)) as adapter:
        for layer in adapter.lora_layers:
            if layer.has_mid:
                continue
            up, down = layer.up(), layer.down()
            sigma = np.linalg.svd(np.linalg.qr(up)[1] @ np.linalg.qr(down.T)[1].T, compute_uv=False)
            slope, *_ = np.polyfit(np.log(np.arange(1, layer.rank + 1)), np.log(sigma), 1)
            assert 0.45 < -slope < 1.25, layer.stem
            assert np.sqrt(np.mean(up**2)) == pytest.approx(0.01, rel=0.02)
            assert np.sqrt(np.mean(down**2)) == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("name", [n for n in SOUND if n != "flux1_digits"])
def test_hashes_are_those_of_sd_scripts(name):
    """numpy has no BF16, so the official writer cannot make ``flux1_digits`` here."""
    with TensorFile(path(name)) as file:
        metadata = file.metadata
    made = save(load_file(path(name)), {k: v for k, v in metadata.items() if k.startswith("ss_")})
    start = 8 + int.from_bytes(made[:8], "little")
    assert metadata["sshs_model_hash"] == hashlib.sha256(made[start:]).hexdigest()
    assert metadata["sshs_legacy_hash"] == hashlib.sha256(made[0x100000:0x110000]).hexdigest()[:8]


def test_legacy_hash_covers_weights():
    assert Path(path("sdxl_landscape")).stat().st_size > 0x110000


def test_two_files_share_some_modules():
    with Adapter.open(path("sdxl_landscape")) as one, Adapter.open(path("sdxl_shapes")) as two:
        assert len(one.layers.keys() & two.layers.keys()) == 4


@pytest.mark.parametrize("name", FAULTS)
def test_broken_file_is_judged(name):
    verdict, rules = FAULTS[name]
    found = validate(str(BROKEN / f"{name}.safetensors"))
    assert (found.verdict, {f.id for f in found.findings}) == (verdict, rules)


@pytest.mark.parametrize("name", ["nan", "half_missing", "swapped", "rank_mismatch", "zero_layer", "wrong_shape"])
def test_only_one_layer_is_broken(name):
    assert len(validate(str(BROKEN / f"{name}.safetensors")).findings) == 1
