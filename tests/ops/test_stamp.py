"""The hashes that an output carries, against the definitions of the programs that look them up."""

import hashlib
import io
import random

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

from loratool.ops import stamp
from loratool.tensors.place import Placement
from loratool.tensors.writer import TensorSpec, Writer, header_text, official_order

NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
         torch.uint8: "U8", torch.int8: "I8", torch.bool: "BOOL", torch.int16: "I16", torch.int32: "I32",
         torch.int64: "I64", torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64",
         torch.complex64: "C64", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
         torch.float8_e4m3fnuz: "F8_E4M3FNUZ", torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
         torch.float8_e8m0fnu: "F8_E8M0"}
TRAINING = {"ss_network_dim": "32", "ss_base_model_version": "sdxl_base_v1-0", "ss_tag_frequency": '{"ü\\"": {"a": 1}}',
            "modelspec.title": "t", "format": "pt", "sshs_model_hash": "stale", "sshs_legacy_hash": "stale"}


def kohya_hashes(tensors, metadata):
    """Both hashes as sd-scripts defines them: of the file that the official writer makes with ss_* alone."""
    data = save(tensors, {k: v for k, v in metadata.items() if k.startswith("ss_")})
    start = 8 + int.from_bytes(data[:8], "little")
    file = io.BytesIO(data)
    file.seek(0x100000)
    return hashlib.sha256(data[start:]).hexdigest(), hashlib.sha256(file.read(0x10000)).hexdigest()[:8]


def bytes_of(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def adapter(modules, columns):
    """F16 weights and F32 alphas, named and ordered as a trainer lists them."""
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for n in range(modules):
        tensors[f"lora_unet_b{n}.alpha"] = torch.tensor(float(n + 1))
        for half in ("down", "up"):
            tensors[f"lora_unet_b{n}.lora_{half}.weight"] = torch.randn(
                16, columns, generator=generator).to(torch.float16)
    return tensors


def write(path, tensors, metadata, order):
    """The file at ``path`` with its final metadata, made as an operation makes it."""
    specs = [TensorSpec(name, NAMES[tensors[name].dtype], tuple(tensors[name].shape)) for name in order]
    places = stamp.follow(metadata, [], recipe=None)
    with Writer(Placement(str(path)), specs, places) as writer:
        for name in order:
            writer.put(name, bytes_of(tensors[name]))
        return writer.commit(lambda written: stamp.hashes(places, specs, written))


def orders(tensors):
    official = sorted(tensors, key=lambda n: (-tensors[n].dtype.itemsize, n))
    shuffled = list(tensors)
    random.Random(3).shuffle(shuffled)
    return {"official": official, "trainer": list(tensors), "shuffled": shuffled}


@pytest.mark.parametrize("order", ["official", "trainer", "shuffled"])
@pytest.mark.parametrize(("modules", "columns"), [(12, 4000), (3, 100), (2, 40_000)], ids=["large", "small", "blocks"])
def test_sshs_hashes_are_those_of_sd_scripts(tmp_path, order, modules, columns):
    tensors = adapter(modules, columns)
    path = tmp_path / "a.safetensors"
    write(path, tensors, TRAINING, orders(tensors)[order])
    if modules > 3:
        assert path.stat().st_size > 1_200_000
    model, legacy = kohya_hashes(tensors, TRAINING)
    with safe_open(path, framework="pt") as file:
        found = file.metadata()
    assert (found["sshs_model_hash"], found["sshs_legacy_hash"]) == (model, legacy)
    assert {k: v for k, v in found.items() if "sshs" not in k} == {k: v for k, v in TRAINING.items() if "sshs" not in k}
    assert load_file(path).keys() == tensors.keys()


def test_a_header_that_reaches_into_the_legacy_window(tmp_path):
    tensors = adapter(2, 3000)
    metadata = {"ss_tag_frequency": "é\"\\\n\x1f\x7f😀" * 90_000}
    write(tmp_path / "a.safetensors", tensors, metadata, list(tensors))
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        found = file.metadata()
    assert (found["sshs_model_hash"], found["sshs_legacy_hash"]) == kohya_hashes(tensors, metadata)


def test_modelspec_hash_is_over_the_tensors_by_name(tmp_path):
    tensors = adapter(4, 500)
    metadata = {"modelspec.hash_sha256": "0xstale", "modelspec.title": "t"}
    expected = "0x" + hashlib.sha256(b"".join(bytes_of(tensors[n]) for n in sorted(tensors))).hexdigest()
    for name, order in orders(tensors).items():
        found = write(tmp_path / name, tensors, metadata, order)
        assert found == {"modelspec.hash_sha256": expected, "modelspec.title": "t"}


def test_a_stale_hash_is_not_kept_where_none_is_due(tmp_path):
    found = write(tmp_path / "a", adapter(1, 10), {"sshs_model_hash": "ab", "sshs_legacy_hash": "cd", "k": "v"},
                  list(adapter(1, 10)))
    assert found == {"k": "v"}


def test_hashes_are_as_long_as_their_places():
    places = stamp.follow({"ss_x": "1", "modelspec.hash_sha256": "?"}, [], recipe={"command": "resize"})
    assert [len(places[k]) for k in ("sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256")] == [64, 8, 66]


def all_kinds():
    tensors = {}
    for n, kind in enumerate(NAMES):
        tensors[f"{'zaé'[n % 3]}{n}"] = torch.ones(8, dtype=torch.uint8).view(torch.uint8).repeat(
            kind.itemsize).view(kind) if kind != torch.bool else torch.ones(8, dtype=kind)
        tensors[f"B{n}"] = tensors[f"{'zaé'[n % 3]}{n}"].clone()
    return tensors


def specs_of(tensors):
    return [TensorSpec(n, NAMES[t.dtype], tuple(t.shape)) for n, t in tensors.items()]


def test_official_order_is_that_of_the_official_writer():
    tensors = all_kinds()
    data = save(tensors)
    header = data[8:8 + int.from_bytes(data[:8], "little")]
    ours = header_text(official_order(specs_of(tensors)), {})
    assert ours == header


@pytest.mark.parametrize("value", ["plain", "é😀", '"\\/\b\f\n\r\t', "\x00\x1f\x7f\x80\u2028", "<script>&'"])
def test_the_header_text_is_that_of_the_official_writer(value):
    tensors = {"a" + value: torch.ones(3, dtype=torch.float16), "b": torch.ones((), dtype=torch.float32)}
    data = save(tensors, {"k" + value: value})
    header = data[8:8 + int.from_bytes(data[:8], "little")]
    assert header_text(official_order(specs_of(tensors)), {"k" + value: value}) == header


def digest_of(path, tensors, order):
    specs = [TensorSpec(name, NAMES[tensors[name].dtype], tuple(tensors[name].shape)) for name in order]
    seen = []
    with Writer(Placement(str(path)), specs, {}) as writer:
        for name in order:
            writer.put(name, bytes_of(tensors[name]))
        writer.commit(lambda written: seen.append(stamp.content_of_written(specs, written)) or {})
    return seen[0]


def test_the_content_digest_ignores_order_and_sees_names_shapes_and_bytes(tmp_path):
    tensors = adapter(2, 50)
    first, second = ({digest_of(tmp_path / f"{k}{name}", tensors, order) for name, order in orders(tensors).items()}
                     for k in (1, 2))
    assert len(first) == 1 and first == second
    name = "lora_unet_b0.lora_up.weight"
    changed = [{**tensors, name: tensors[name] * 2}, {**tensors, name: tensors[name].reshape(8, 100)},
               {(k + "x" if k == name else k): v for k, v in tensors.items()}]
    found = {digest_of(tmp_path / str(n), other, list(other)) for n, other in enumerate(changed)}
    assert len(found | first) == 4


def test_the_official_writer_makes_the_same_hash_of_what_was_written(tmp_path):
    tensors = adapter(3, 200)
    found = write(tmp_path / "a", tensors, TRAINING, orders(tensors)["shuffled"])
    save_file(load_file(tmp_path / "a"), tmp_path / "b")
    data = (tmp_path / "b").read_bytes()
    assert hashlib.sha256(data[8 + int.from_bytes(data[:8], "little"):]).hexdigest() == found["sshs_model_hash"]
