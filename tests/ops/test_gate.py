"""What no operation accepts."""

import pytest
import torch

from loratool.checks.run import validate
from loratool.errors import Unsound

from .files import CROSS, Q, do_convert, do_merge, do_resize, save, sd1, tensors_of

OPERATIONS = {
    "resize": lambda source, target: do_resize(source, target, 2),
    "convert": lambda source, target: do_convert(source, target, "diffusers"),
    "merge": lambda source, target: do_merge([source, source], [1, 1], target),
}
every_operation = pytest.mark.parametrize("name", OPERATIONS)


def _spoiled(kind):
    tensors = sd1([Q, CROSS], 4, 2.0)
    up, down = f"{Q}.lora_up.weight", f"{Q}.lora_down.weight"
    if kind == "two tensors for one factor":
        return tensors | {f"{Q}.lora_B.weight": tensors[up] * 2}
    if kind == "no up":
        del tensors[up]
    if kind == "no down":
        del tensors[down]
    if kind == "ranks disagree":
        tensors[down] = tensors[down][:3]
    if kind == "halves exchanged":
        tensors[up], tensors[down] = tensors[down], tensors[up]
    if kind == "alpha is infinite":
        tensors[f"{Q}.alpha"] = torch.tensor(float("inf"))
    if kind == "alpha of two elements":
        tensors[f"{Q}.alpha"] = torch.tensor([2.0, 2.0])
    if kind == "alpha of no element":
        tensors[f"{Q}.alpha"] = torch.zeros(0)
    if kind == "alpha is true":
        tensors[f"{Q}.alpha"] = torch.tensor(True)
    if kind == "alpha is complex":
        tensors[f"{Q}.alpha"] = torch.tensor(2 + 0j)
    if kind == "alpha is NaN":
        tensors[f"{Q}.alpha"] = torch.tensor(float("nan"))
    if kind == "whole numbers as weights":
        tensors[up], tensors[down] = tensors[up].to(torch.int8), tensors[down].to(torch.int8)
    if kind == "NaN":
        tensors[up][0, 0] = float("nan")
    if kind == "no layer":
        return {"model.diffusion_model.weight": torch.ones(3)}
    return tensors


@every_operation
@pytest.mark.parametrize("kind", ("two tensors for one factor", "no up", "no down", "ranks disagree", "halves exchanged",
                                  "alpha is infinite", "alpha of two elements", "alpha of no element",
                                  "alpha is true", "alpha is complex", "alpha is NaN", "whole numbers as weights", "NaN",
                                  "no layer"))
def test_an_unsound_file_is_refused_and_nothing_is_written(tmp_path, name, kind):
    source = save(tmp_path / "a.safetensors", _spoiled(kind))
    with pytest.raises(Unsound) as error:
        OPERATIONS[name](source, tmp_path / "b.safetensors")
    assert error.value.exit_code == 4 and error.value.path == source
    assert kind == "no layer" or Q in error.value.key
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@every_operation
def test_a_sound_file_is_accepted(tmp_path, name):
    OPERATIONS[name](save(tmp_path / "a.safetensors", _spoiled("nothing")), tmp_path / "b.safetensors")
    assert tensors_of(tmp_path / "b.safetensors")


SETTINGS = ("not JSON", "[]", "null", '"x"', "", '{"unet.r": 4, "unet.lora_alpha": NaN}',
            '{"unet.r": 4, "unet.lora_alpha": 1' + 400 * "0" + "}", '{"unet.r": 4, "unet.lora_alpha": [2]}', '{"unet.r": 4, "unet.lora_alpha": 2, "unet.alpha_pattern": {"a": "b"}}')


@every_operation
@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_that_cannot_be_understood_are_no_scale_of_one(tmp_path, name, settings):
    """A diffusers file keeps its alphas in the header; where they cannot be read, the strength is unknown."""
    stem = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    tensors = {f"{stem}.lora_A.weight": torch.ones(4, 768), f"{stem}.lora_B.weight": torch.ones(320, 4)}
    source = save(tmp_path / "a.safetensors", tensors, {"lora_adapter_metadata": settings})
    with pytest.raises(Unsound, match="cannot be understood"):
        OPERATIONS[name](source, tmp_path / "b.safetensors")
    assert "SETTINGS_INVALID" in {f.id for f in validate(source).findings}


@every_operation
@pytest.mark.parametrize("settings", ("", "hello", "[]", "null", '"x"', '{"r": 4, "lora_alpha": NaN}',
                                      '{"r": 4, "lora_alpha": [2]}', '{"r": 4, "lora_alpha": 1' + 400 * "0" + "}"))
def test_the_settings_of_a_folder_that_cannot_be_understood_are_no_scale_of_one(tmp_path, name, settings):
    stem = "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    tensors = {f"{stem}.lora_A.weight": torch.ones(4, 768), f"{stem}.lora_B.weight": torch.ones(320, 4)}
    save(tmp_path / "a" / "adapter_model.safetensors", tensors)
    (tmp_path / "a" / "adapter_config.json").write_text(settings)
    with pytest.raises(Unsound, match="cannot be understood") as error:
        OPERATIONS[name](str(tmp_path / "a"), tmp_path / "b")
    assert error.value.path == str(tmp_path / "a") and error.value.key == stem and error.value.hint
    found = {f.id: f for f in validate(str(tmp_path / "a")).findings}
    assert (found["SETTINGS_INVALID"].severity, found["SETTINGS_INVALID"].key) == ("error", "adapter_config.json")


@every_operation
def test_bad_settings_beside_alphas_of_the_layers_own_are_a_warning(tmp_path, name):
    """The scale is known, so the file is used."""
    source = save(tmp_path / "a.safetensors", _spoiled("nothing"), {"lora_adapter_metadata": "[]"})
    OPERATIONS[name](source, tmp_path / "b.safetensors")
    found = validate(source)
    assert found.verdict == "warn" and "SETTINGS_INVALID" in {f.id for f in found.findings}


def test_a_shape_that_the_base_model_does_not_have_is_neither_merged_nor_converted(tmp_path):
    """Rows are right, columns are not: nothing in the file itself contradicts them."""
    tensors = sd1([Q, CROSS], 4, 2.0) | {f"{CROSS}.lora_down.weight": torch.ones(4, 999)}
    source = save(tmp_path / "a.safetensors", tensors)
    for name in ("convert", "merge"):
        with pytest.raises(Unsound) as error:
            OPERATIONS[name](source, tmp_path / "b.safetensors")
        assert error.value.key == CROSS and "999" in error.value.message
    assert [f.key for f in validate(source).findings if f.id == "SHAPE_MISMATCH"] == [CROSS]
