"""What no operation accepts."""

import pytest
import torch

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
    if kind == "NaN":
        tensors[up][0, 0] = float("nan")
    if kind == "no layer":
        return {"model.diffusion_model.weight": torch.ones(3)}
    return tensors


@every_operation
@pytest.mark.parametrize("kind", ("two tensors for one factor", "no up", "no down", "ranks disagree", "halves exchanged",
                                  "alpha is infinite", "NaN", "no layer"))
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
