"""Execution: complete or not there at all, progress, folders and what may be replaced."""

import json
import os
import stat
import threading

import pytest
import torch

from loratool.adapter.adapter import Adapter
from loratool.errors import LoratoolError, OutputError, Refused, Unsound, WouldOverwrite
from loratool.ops import convert, resize, run
from loratool.ops.plan import Produced
from loratool.ops.rules import FixedRank
from loratool.tensors.policy import Policy

from .files import CONV, CROSS, SHAPES, TE, K, Q, do_convert, do_resize, layer, same, save, sd1, sha256, tensors_of

STEMS = [Q, K, CROSS, CONV, TE]
NEW = Policy()
OVER = Policy(overwrite=True)


def _source(tmp_path, **options):
    return save(tmp_path / "a.safetensors", sd1(STEMS, 6, 3.0, **options))


def _tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _names(folder):
    return sorted(p.name for p in folder.iterdir())


def _failing(plan, number):
    """The plan with a layer that raises when it is computed."""
    from dataclasses import replace

    def fail() -> Produced:
        raise Unsound("broken on purpose", key="k")

    layers = list(plan.layers)
    layers[number] = replace(layers[number], compute=fail)
    return replace(plan, layers=layers)


@pytest.mark.parametrize("threads", (1, 3))
@pytest.mark.parametrize("number", (0, 2, 4))
def test_a_failing_layer_leaves_no_output(tmp_path, number, threads):
    source = _source(tmp_path)
    with Adapter.open(source) as adapter:
        planned = _failing(resize.plan(adapter, FixedRank(2)), number)
        with pytest.raises(Unsound, match="on purpose"):
            run.execute(planned, str(tmp_path / "b.safetensors"), NEW, threads)
    assert _names(tmp_path) == ["a.safetensors"]


def test_a_failing_layer_leaves_the_old_output_as_it_was(tmp_path):
    source = _source(tmp_path)
    target = save(tmp_path / "b.safetensors", sd1([Q]))
    before = sha256(target)
    with Adapter.open(source) as adapter:
        planned = _failing(resize.plan(adapter, FixedRank(2)), 3)
        with pytest.raises(Unsound):
            run.execute(planned, target, OVER)
        with pytest.raises(Unsound):
            run.execute(planned, source, Policy(in_place=True))
    assert sha256(target) == before and _names(tmp_path) == ["a.safetensors", "b.safetensors"]


def test_an_interrupt_in_the_progress_callback_leaves_no_output(tmp_path):
    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with Adapter.open(_source(tmp_path)) as adapter, pytest.raises(KeyboardInterrupt):
        run.execute(resize.plan(adapter, FixedRank(2)), str(tmp_path / "b.safetensors"), NEW, 2, interrupt)
    assert _names(tmp_path) == ["a.safetensors"]


@pytest.mark.parametrize("threads", (1, 4))
def test_progress_counts_every_layer_and_carried_tensor_once(tmp_path, threads):
    source = save(tmp_path / "a.safetensors", sd1(STEMS, 6, 3.0) | {"some.loose.key": torch.ones(2)})
    seen, where = [], set()

    def note(done, total):
        seen.append((done, total))
        where.add(threading.get_ident())

    with Adapter.open(source) as adapter:
        run.execute(resize.plan(adapter, FixedRank(2)), str(tmp_path / "b.safetensors"), NEW, threads, note)
    assert seen == [(n, 6) for n in range(1, 7)]
    assert where == {threading.get_ident()}, "the callback is never called from a worker"


def test_reports_stand_in_the_order_of_the_file_whatever_the_threads(tmp_path):
    source = _source(tmp_path)
    one, four = (do_resize(source, tmp_path / f"{n}.safetensors", 2, threads=n) for n in (1, 4))
    assert [m.name for m in one.modules] == [m.name for m in four.modules]
    assert (one.error, one.optimum) == (four.error, four.optimum)


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    source, target = _source(tmp_path), tmp_path / "b.safetensors"
    target.write_bytes(b"mine")
    with pytest.raises(WouldOverwrite):
        do_resize(source, target, 2)
    assert target.read_bytes() == b"mine"
    do_resize(source, target, 2, overwrite=True)
    assert target.stat().st_size > 4 and _names(tmp_path) == ["a.safetensors", "b.safetensors"]


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(OutputError):
        do_resize(_source(tmp_path), tmp_path / "no" / "b.safetensors", 2)
    with pytest.raises(OutputError):
        do_convert(tmp_path / "a.safetensors", tmp_path / "no" / "folder", "peft")


def test_a_link_to_the_input_is_the_input(tmp_path):
    source = _source(tmp_path)
    before = sha256(source)
    (tmp_path / "link.safetensors").symlink_to("a.safetensors")
    with pytest.raises(Refused):
        do_resize(source, tmp_path / "link.safetensors", 2, overwrite=True)
    assert sha256(source) == before


def test_the_size_in_the_result_is_that_of_the_file(tmp_path):
    result = do_resize(_source(tmp_path), tmp_path / "b.safetensors", 2)
    assert result.bytes == os.path.getsize(result.output)
    assert (result.command, result.inputs, result.dry_run) == ("resize", (str(tmp_path / "a.safetensors"),), False)


@pytest.mark.parametrize("trailing", ("", "/"))
def test_a_folder_is_written_whole(tmp_path, trailing):
    result = do_convert(_source(tmp_path), str(tmp_path / "out") + trailing, "peft")
    files = _tree(tmp_path / "out")
    assert set(files) == {"adapter_model.safetensors", "adapter_config.json",
                          "text_encoder/adapter_model.safetensors", "text_encoder/adapter_config.json"}
    assert result.bytes == sum(map(len, files.values()))
    assert _names(tmp_path) == ["a.safetensors", "out"]
    assert json.loads(files["adapter_config.json"])["peft_type"] == "LORA"
    mode = stat.S_IMODE((tmp_path / "out").stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    assert mode == 0o777 & ~umask


@pytest.mark.parametrize("number", (0, -1))
def test_a_failing_layer_leaves_no_folder(tmp_path, number):
    """-1: the second file of the folder fails, after the first is complete."""
    with Adapter.open(_source(tmp_path)) as adapter:
        planned = _failing(convert.plan(adapter, "peft"), number)
        with pytest.raises(Unsound):
            run.execute(planned, str(tmp_path / "out"), NEW)
    assert _names(tmp_path) == ["a.safetensors"]


def test_an_existing_folder_is_kept_unless_asked(tmp_path):
    source = _source(tmp_path)
    do_convert(source, tmp_path / "out", "peft")
    before = _tree(tmp_path / "out")
    with pytest.raises(WouldOverwrite):
        do_convert(source, tmp_path / "out", "peft")
    assert _tree(tmp_path / "out") == before
    other = save(tmp_path / "b.safetensors", sd1([Q, CROSS], 2, 2.0))
    do_convert(other, tmp_path / "out", "peft", overwrite=True)
    assert set(_tree(tmp_path / "out")) == {"adapter_model.safetensors", "adapter_config.json"}
    assert _names(tmp_path) == ["a.safetensors", "b.safetensors", "out"]


def test_a_failing_layer_leaves_the_old_folder_as_it_was(tmp_path):
    source = _source(tmp_path)
    do_convert(source, tmp_path / "out", "peft")
    before = _tree(tmp_path / "out")
    with Adapter.open(source) as adapter, pytest.raises(Unsound):
        run.execute(_failing(convert.plan(adapter, "peft"), -1), str(tmp_path / "out"), OVER)
    assert _tree(tmp_path / "out") == before and _names(tmp_path) == ["a.safetensors", "out"]


def test_a_folder_that_is_no_adapter_is_never_replaced(tmp_path):
    source = _source(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(Refused):
        do_convert(source, tmp_path / "mine", "peft", overwrite=True)
    assert _tree(tmp_path / "mine") == {"thesis.txt": b"x"}


def test_other_files_in_an_adapter_folder_are_not_lost(tmp_path):
    """A training run leaves checkpoints beside the adapter: to refuse or to keep them, never to delete them."""
    source = _source(tmp_path)
    do_convert(source, tmp_path / "out", "peft")
    (tmp_path / "out" / "checkpoint-500").mkdir()
    (tmp_path / "out" / "checkpoint-500" / "optimizer.pt").write_bytes(b"days of work")
    try:
        do_convert(source, tmp_path / "out", "peft", overwrite=True)
    except LoratoolError as error:
        assert error.exit_code == 4
    assert (tmp_path / "out" / "checkpoint-500" / "optimizer.pt").read_bytes() == b"days of work"


def test_the_input_folder_is_never_the_output(tmp_path):
    do_convert(_source(tmp_path), tmp_path / "out", "peft")
    before = _tree(tmp_path / "out")
    (tmp_path / "link").symlink_to("out")
    for target in ("out", "out/", "./out", "link"):
        with pytest.raises(Refused):
            do_resize(tmp_path / "out", f"{tmp_path}/{target}", 2, overwrite=True)
    with pytest.raises(Refused):
        do_resize(tmp_path / "out", tmp_path / "out", 2, in_place=True)
    assert _tree(tmp_path / "out") == before


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "out").mkdir()
    do_convert(_source(tmp_path), tmp_path / "out", "peft")
    assert "adapter_config.json" in _tree(tmp_path / "out")


@pytest.mark.parametrize("step", (0, 1))
def test_a_rename_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch, step):
    """The old folder moves away, the new one takes its place: either step may fail."""
    source = _source(tmp_path)
    do_convert(source, tmp_path / "out", "peft")
    before = _tree(tmp_path / "out")
    real, calls = os.rename, []

    def rename(*arguments, **options):
        calls.append(arguments)
        if len(calls) == step + 1:
            raise OSError(5, "Input/output error")
        return real(*arguments, **options)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OutputError):
        do_convert(source, tmp_path / "out", "peft", overwrite=True)
    monkeypatch.undo()
    assert _tree(tmp_path / "out") == before
    assert _names(tmp_path) == ["a.safetensors", "out"]


def test_no_numbers_in_a_component_that_is_only_copied_leave_no_folder(tmp_path):
    """The NaN is in the text encoder's file, whose rank is low enough already."""
    te = "base_model.model.text_model.encoder.layers.0.self_attn.q_proj"
    bad = layer(te, SHAPES[TE], 2, style="peft")
    bad[f"{te}.lora_B.weight"][0, 0] = float("nan")
    unet = "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    save(tmp_path / "in" / "unet" / "adapter_model.safetensors", layer(unet, SHAPES[CROSS], 6, style="peft"))
    save(tmp_path / "in" / "text_encoder" / "adapter_model.safetensors", bad)
    with pytest.raises(Unsound):
        do_resize(tmp_path / "in", tmp_path / "out", 3)
    assert _names(tmp_path) == ["in"]


def test_the_components_of_a_folder_stay_in_their_folders(tmp_path):
    te = "base_model.model.text_model.encoder.layers.0.self_attn.q_proj"
    unet = "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    save(tmp_path / "in" / "unet" / "adapter_model.safetensors", layer(unet, SHAPES[CROSS], 6, style="peft"))
    save(tmp_path / "in" / "text_encoder" / "adapter_model.safetensors", layer(te, SHAPES[TE], 6, style="peft"))
    do_resize(tmp_path / "in", tmp_path / "out", 3)
    assert set(_tree(tmp_path / "out")) == {f"{part}/{name}" for part in ("unet", "text_encoder")
                                            for name in ("adapter_model.safetensors", "adapter_config.json")}
    assert set(tensors_of(tmp_path / "out" / "unet" / "adapter_model.safetensors")) == {
        f"{unet}.lora_A.weight", f"{unet}.lora_B.weight"}


@pytest.mark.parametrize("part", ("text_encoder", "text_encoder_4", "text_conditioner"))
def test_a_tensor_of_unknown_meaning_stays_in_its_file_of_a_folder(tmp_path, part):
    stem = "base_model.model.text_model.encoder.layers.0.self_attn.q_proj"
    loose = {"strange.thing": torch.ones(2), "base_model.model.odd.weird": torch.ones(2)}
    save(tmp_path / "in" / "adapter_model.safetensors", layer("base_model.model.x", (8, 8), 6, style="peft"))
    save(tmp_path / "in" / part / "adapter_model.safetensors", layer(stem, SHAPES[TE], 6, style="peft") | loose)
    do_resize(tmp_path / "in", tmp_path / "out", 3)
    for folder in ("", part):
        before, after = (tensors_of(tmp_path / side / folder / "adapter_model.safetensors") for side in ("in", "out"))
        assert before.keys() == after.keys()


@pytest.mark.parametrize("head", ("module.", "../beside.", "{outside}."))
def test_a_key_never_decides_where_a_folder_is_written(tmp_path, head):
    """The name before PEFT's wrapper is a component's only where a program reads such a folder."""
    head = head.format(outside=tmp_path / "outside")
    tensors = layer(head + "base_model.model.x", (8, 8), 6, style="peft") | {
        head + "base_model.model.odd.weird": torch.ones(2)}
    save(tmp_path / "in" / "adapter_model.safetensors", tensors)
    do_resize(tmp_path / "in", tmp_path / "out", 3)
    assert _names(tmp_path) == ["in", "out"]
    assert set(_tree(tmp_path / "out")) == {"adapter_model.safetensors", "adapter_config.json"}
    assert tensors_of(tmp_path / "out" / "adapter_model.safetensors").keys() == tensors.keys()


def test_a_folder_is_the_same_bytes_each_time(tmp_path):
    source = _source(tmp_path)
    for n in (1, 2, 4):
        do_convert(source, tmp_path / f"out{n}", "peft", threads=n)
    assert _tree(tmp_path / "out1") == _tree(tmp_path / "out2") == _tree(tmp_path / "out4")


def test_a_file_that_changed_while_it_was_read_is_not_mixed(tmp_path):
    """Opened once: a file replaced by another of the same name does not reach the output."""
    source = _source(tmp_path)
    expected = do_resize(source, tmp_path / "b.safetensors", 2).output
    with Adapter.open(source) as adapter:
        planned = resize.plan(adapter, FixedRank(2))
        os.replace(save(tmp_path / "other.safetensors", sd1(STEMS, 6, 3.0, seed=9)), source)
        result = run.execute(planned, str(tmp_path / "c.safetensors"), NEW)
    assert same(expected, result.output)


@pytest.mark.parametrize("name", ("b.safetensors", "out"))
def test_a_preview_writes_nothing(tmp_path, name):
    source = _source(tmp_path)
    with Adapter.open(source) as adapter:
        planned = convert.plan(adapter, "peft" if name == "out" else "diffusers")
        told = run.preview(planned, str(tmp_path / name))
        assert _names(tmp_path) == ["a.safetensors"]
        assert told.bytes == run.execute(planned, str(tmp_path / name), NEW).bytes
