"""The verdict on a header: each rule by itself, then against the official parser."""

import json
import tempfile
from pathlib import Path

import pytest
import safetensors
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from loratool.errors import ContainerError, ForeignFile
from loratool.tensors import header as headers
from loratool.tensors.dtypes import BITS
from loratool.tensors.writer import TensorSpec, header_text

from .files import ENTRY, container, file_of, official_accepts

SETTINGS = settings(max_examples=300, deadline=None, database=None,
                    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large,
                                           HealthCheck.filter_too_much])


def judge(data):
    length = headers.header_length(data[:512], len(data))
    return headers.parse(data[8:8 + length], len(data))


def one(field, value):
    """A file whose only entry has ``field`` replaced by this JSON text."""
    fields = {"dtype": '"F32"', "shape": "[2]", "data_offsets": "[0,8]", field: value}
    return container('{"a":{' + ",".join(f'"{k}":{v}' for k, v in fields.items()) + "}}")


def two(first, second, data=b"\0" * 8):
    """Two F32 tensors of one element at these offsets."""
    return container({name: {"dtype": "F32", "shape": [1], "data_offsets": offsets}
                      for name, offsets in (("a", first), ("b", second))}, data)


def nested(depth):
    """An ignored field with lists to this depth, counted as serde_json counts."""
    return container('{"a":{' + ENTRY + ',"x":' + "[" * (depth - 2) + "]" * (depth - 2) + "}}")


BROKEN = [
    ("R01", b"\xff\xfe\x01"),
    ("R01", b"\xff" * 7),
    ("R02", (100_000_001).to_bytes(8, "little") + b"{}"),
    ("R02", b"\xff" * 8 + b"{}"),
    ("R03", (3).to_bytes(8, "little") + b"{}"),
    ("R03", (100_000_000).to_bytes(8, "little") + b"{}"),
    ("R03", (9).to_bytes(8, "little") + b"\xff\xff"),
    ("R04", container(b'{"\xff":1}', b"")),
    ("R04", container('{"é":1}'.encode("latin-1"), b"")),
    ("R04", container(b'{"\xed\xa0\x80":1}', b"")),
    ("R05", container("", b"")),
    ("R05", container("{", b"")),
    ("R05", container("{} {}", b"")),
    ("R05", container("{}\0\0\0", b"")),
    ("R05", container("\ufeff{}", b"")),
    ("R05", container("{}".encode("utf-16-le"), b"")),
    ("R05", container('{"a":{' + ENTRY + "},}")),
    ("R05", container('{"a":{' + ENTRY + "}/* */}")),
    ("R05", container('{"a\n":{' + ENTRY + "}}")),
    ("R05", container('{"a\\ud83d":{' + ENTRY + "}}")),
    ("R05", container('{"a":{' + ENTRY + ',"x":"\\udc00"}}')),
    ("R05", container('{"a":{' + ENTRY + ',"x":NaN}}')),
    ("R05", container('{"a":{' + ENTRY + ',"x":-Infinity}}')),
    ("R05", container('{"a":{' + ENTRY + ',"x":1e999}}')),
    ("R05", container('{"a":{' + ENTRY + ',"x":[-1e999]}}')),
    ("R05", container('{"a":{' + ENTRY + ',"x":' + "9" * 400 + "}}")),
    ("R05", container('{"a":{' + ENTRY + ',"x":01}}')),
    ("R05", container('{"a":{' + ENTRY + ',"x":{"k":"\\ud800","k":1}}}')),
    ("R05", nested(128)),
    ("R05", nested(100_000)),
    ("R08", container("[]", b"")),
    ("R08", container('"a"', b"")),
    ("R08", container("null", b"")),
    ("R08", container("7", b"")),
    ("R09", container({"__metadata__": []}, b"")),
    ("R09", container({"__metadata__": "x"}, b"")),
    ("R09", container({"__metadata__": {"k": 1}}, b"")),
    ("R09", container({"__metadata__": {"k": None}}, b"")),
    ("R09", container({"__metadata__": {"k": True}}, b"")),
    ("R09", container({"__metadata__": {"k": {"l": "m"}}}, b"")),
    ("R10", container('{"a":{' + ENTRY + '},"a":{' + ENTRY + "}}")),
    ("R10", container('{"__metadata__":{"k":"1","k":"2"}}', b"")),
    ("R10", container('{"__metadata__":{},"__metadata__":{}}', b"")),
    ("R10", container('{"a":{' + ENTRY + ',"dtype":"F32"}}')),
    ("R11", container({"a": 1}, b"")),
    ("R11", container({"a": None}, b"")),
    ("R11", container('{"a":{"shape":[2],"data_offsets":[0,8]}}')),
    ("R11", container('{"a":{"dtype":"F32","data_offsets":[0,8]}}')),
    ("R11", container('{"a":{"dtype":"F32","shape":[2]}}')),
    ("R12", one("dtype", '"f32"')),
    ("R12", one("dtype", '"F6"')),
    ("R12", one("dtype", '""')),
    ("R12", one("dtype", "null")),
    ("R12", one("dtype", "[]")),
    ("R13", one("shape", "[-2]")),
    ("R13", one("shape", "[2.0]")),
    ("R13", one("shape", '["2"]')),
    ("R13", one("shape", "[true,2]")),
    ("R13", one("shape", "[0,-0]")),
    ("R13", one("shape", "[[2]]")),
    ("R13", one("shape", "2")),
    ("R13", one("shape", "null")),
    ("R13", one("shape", f"[0,{2 ** 64}]")),
    ("R14", one("data_offsets", "[-8,0]")),
    ("R14", one("data_offsets", "[0,8,8]")),
    ("R14", one("data_offsets", "[8]")),
    ("R14", one("data_offsets", "[0.0,8]")),
    ("R14", one("data_offsets", "[-0,8]")),
    ("R14", one("data_offsets", "[false,8]")),
    ("R14", one("data_offsets", f"[0,{2 ** 64}]")),
    ("R14", one("data_offsets", "8")),
    ("R15", one("data_offsets", "[8,0]")),
    ("R16", two([0, 4], [8, 12], b"\0" * 12)),
    ("R16", two([4, 8], [8, 12], b"\0" * 12)),
    ("R16", two([0, 4], [2, 6], b"\0" * 6)),
    ("R16", two([0, 4], [0, 4], b"\0" * 4)),
    ("R17", one("shape", f"[{2 ** 63},2,0]")),
    ("R17", one("shape", f"[{2 ** 32},{2 ** 32}]")),
    ("R18", one("shape", f"[{2 ** 59}]")),
    ("R19", file_of({"a": ("F4", [3], b"\0\0")})),
    ("R19", file_of({"a": ("F6_E2M3", [2], b"\0\0")})),
    ("R20", one("shape", "[3]")),
    ("R20", one("dtype", '"F16"')),
    ("R20", one("data_offsets", "[0,7]")),
    ("R21", container("{}", b"\0")),
    ("R21", container('{"a":{' + ENTRY + "}}", b"\0" * 9)),
    ("R21", container('{"a":{' + ENTRY + "}}", b"\0" * 7)),
]


@pytest.mark.parametrize(("rule", "data"), BROKEN, ids=lambda v: v if isinstance(v, str) else repr(v[:24]))
def test_a_broken_rule_is_named(rule, data):
    with pytest.raises(ContainerError) as error:
        judge(data)
    assert error.value.rule == rule


def test_every_rule_has_a_breaking_file():
    assert {rule for rule, _ in BROKEN} | {"R06", "R07"} == {f"R{n:02}" for n in range(1, 22)}


@pytest.mark.parametrize("data", [data for rule, data in BROKEN if rule != "R10"], ids=lambda v: repr(v[:24]))
def test_the_official_parser_refuses_the_broken_files_too(data):
    assert not official_accepts(data)


STRICTER = [
    ("R10", container('{"a":{' + ENTRY + '},"a":{' + ENTRY + "}}")),
    ("R10", container('{"a":{' + ENTRY + ',"x":1,"x":2}}')),
    ("R11", container('{"a":["F32",[2],[0,8]]}')),
    ("R12", one("dtype", '{"F32":null}')),
]


@pytest.mark.parametrize(("rule", "data"), STRICTER)
def test_stricter_than_the_official_parser_only_here(rule, data):
    assert official_accepts(data)
    with pytest.raises(ContainerError) as error:
        judge(data)
    assert error.value.rule == rule


@pytest.mark.parametrize(("rule", "text"), [
    ("R06", " {}"), ("R06", "\t\r\n{}"), ("R07", "{}\t"), ("R07", "{}  \n "),
])
def test_a_bent_rule_is_accepted_and_noted(rule, text):
    data = container(text, b"")
    assert [note[0] for note in judge(data).notes] == [rule]
    assert official_accepts(data)


@pytest.mark.parametrize(("claim", "data", "count"), [
    ("R07 padded with spaces", container("{}      ", b""), 0),
    ("R22 zero-size", file_of({"a": ("F32", [0, 5], b""), "b": ("F16", [1], b"\0\0"), "c": ("F16", [0], b"")}), 3),
    ("R23 rank 0", file_of({"a": ("F16", [], b"\0\0")}), 1),
    ("R24 no tensors", container("{}", b""), 0),
    ("R24 metadata alone", container({"__metadata__": {"k": "v"}}, b""), 0),
    ("R09 null metadata", container('{"__metadata__":null}', b""), 0),
    ("R11 extra field", container('{"a":{' + ENTRY + ',"x":[1e-999,-0,' + "9" * 30 + ',"\\ud83d\\ude00"]}}'), 1),
    ("R05 depth 127", nested(127), 1),
    ("R17 zero before overflow", file_of({"a": ("F32", [0, 2 ** 63], b"")}), 1),
    ("R19 whole bytes", file_of({"a": ("F4", [2], b"\0"), "b": ("F6_E3M2", [4], b"\0\0\0")}), 2),
    ("R16 order in the text is free", two([4, 8], [0, 4]), 2),
    ("empty name", file_of({"": ("U8", [1], b"\0")}), 1),
    ("escaped name", container('{"\\u0061\\u0000":{' + ENTRY + "}}"), 1),
], ids=lambda v: v if isinstance(v, str) else "")
def test_accepted_without_a_note(claim, data, count):
    parsed = judge(data)
    assert (len(parsed.tensors), parsed.notes) == (count, ())
    assert official_accepts(data)


@pytest.mark.parametrize("dtype", sorted(BITS))
def test_each_known_dtype_is_the_official_ones(dtype):
    size = BITS[dtype]
    data = file_of({"a": (dtype, [8], b"\0" * size)})
    assert official_accepts(data)
    info = judge(data).tensors["a"]
    assert (info.elements, info.nbytes) == (8, size)


def test_what_is_parsed_is_what_the_text_says():
    data = file_of({"b": ("F16", [2, 3], b"\0" * 12), "ä": ("F32", [], b"\0" * 4)}, {"k": "\n\"ü", "": ""})
    parsed = judge(data)
    assert parsed.metadata == {"k": "\n\"ü", "": ""}
    assert {n: (i.dtype, i.shape, i.begin, i.end) for n, i in parsed.tensors.items()} == {
        "b": ("F16", (2, 3), 0, 12), "ä": ("F32", (), 12, 16)}
    assert (parsed.data_start, parsed.file_size) == (len(data) - 16, len(data))


def test_file_order_follows_the_offsets():
    assert [i.name for i in judge(two([4, 8], [0, 4])).in_file_order()] == ["b", "a"]


def test_truncated_data_say_how_much_is_there():
    whole = file_of({"a": ("F32", [100], b"\0" * 400)})
    with pytest.raises(ContainerError, match=f"truncated: has {len(whole) - 200} of {len(whole)} bytes"):
        judge(whole[:-200])


def test_a_truncated_header_says_how_much_is_there():
    whole = file_of({"a": ("F32", [100], b"\0" * 400)})
    header_end = len(whole) - 400
    with pytest.raises(ContainerError, match=f"has 40 of at least {header_end} bytes") as error:
        judge(whole[:40])
    assert error.value.rule == "R03" and not isinstance(error.value, ForeignFile)


def test_a_page_instead_of_the_file_is_called_a_page():
    with pytest.raises(ForeignFile, match="an HTML page, not a safetensors file") as error:
        judge(b"<!DOCTYPE html><html><body>Sign in</body></html>")
    assert "log in" in error.value.hint


@pytest.mark.parametrize("data", [data for rule, data in BROKEN if rule in ("R11", "R12", "R13", "R14", "R15", "R20")],
                         ids=lambda v: repr(v[:40]))
def test_a_broken_entry_is_named(data):
    with pytest.raises(ContainerError) as error:
        judge(data)
    assert error.value.key == "a"


# Against the official parser

NAMES = st.text(max_size=6).filter(lambda name: name != "__metadata__")
METADATA = st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=3)


@st.composite
def layouts(draw):
    """Tensors that fill a file exactly: [(name, dtype, shape, begin, end)]."""
    entries, position = [], 0
    for name in draw(st.lists(NAMES, max_size=4, unique=True)):
        dtype = draw(st.sampled_from(sorted(BITS)))
        shape = draw(st.lists(st.integers(0, 4), max_size=3))
        bits = BITS[dtype]
        for size in shape:
            bits *= size
        if bits % 8:
            shape.append(8)
            bits *= 8
        entries.append((name, dtype, shape, position, position + bits // 8))
        position += bits // 8
    return entries, position


def document_of(entries, metadata=None):
    document = {"__metadata__": metadata} if metadata is not None else {}
    for name, dtype, shape, begin, end in entries:
        document[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    return document


class Raw(str):
    """JSON text that is put in as it stands."""


def text_of(value, ascii_only=False):
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        items = (json.dumps(k, ensure_ascii=ascii_only) + ":" + text_of(v, ascii_only) for k, v in value.items())
        return "{" + ",".join(items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(text_of(v, ascii_only) for v in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


ODD = [Raw(text) for text in (
    "null", "true", "0", "-0", "-1", "1", "4", "8", "0.0", "1.0", "1e0", "1e999", "-1e999", "1e-999", "1E2", "01", ".5",
    "1.", "+1", "NaN", "Infinity", "9" * 19, "9" * 20, "9" * 21, "9" * 400, "-" + "9" * 19, "-" + "9" * 20,
    str(2 ** 63), str(2 ** 64), str(2 ** 64 - 1), str(2 ** 61), str(2 ** 53 + 1), "[]", "[[]]", "[0]", "[0,0]", "[0,8]",
    "[0,0,0]", "[1,1]", "[-1]", "[0,-0]", "[1.0]", f"[0,{2 ** 63}]", f"[{2 ** 63},2,0]", f"[{2 ** 60}]", "{}",
    '{"a":1}', '{"a":"b"}', '{"a":null}', '{"__metadata__":{}}', '""', '"F32"', '"F16"', '"BF16"', '"f32"', '"F4"',
    '"F8_E8M0"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\x41"', '"\\u12"', "'a'", '"\t"',
    '"\x7f"', "[" * 124 + "]" * 124, "[" * 125 + "]" * 125, "[" * 126 + "]" * 126, '{"a":' * 125 + "1" + "}" * 125,
    '{"a":' * 126 + "1" + "}" * 126, "//", "",
)]
FIELDS = ["dtype", "shape", "data_offsets", "x"]


@st.composite
def files(draw):
    """A valid file, then structured mutations of the document, then mutations of the bytes."""
    entries, size = draw(layouts())
    document = document_of(draw(st.permutations(entries)), draw(st.none() | METADATA))
    for _ in range(draw(st.integers(0, 2))):
        names = [name for name in document if isinstance(document[name], dict)]
        if not names:
            break
        name = draw(st.sampled_from(names))
        part = document[name]
        match draw(st.sampled_from(["field", "field", "item", "drop", "entry", "metadata"])):
            case "field":
                part[draw(st.sampled_from(FIELDS))] = draw(st.sampled_from(ODD))
            case "item":
                lists = [f for f, v in part.items() if isinstance(v, list) and v]
                if lists:
                    chosen = part[draw(st.sampled_from(lists))]
                    chosen[draw(st.integers(0, len(chosen) - 1))] = draw(st.sampled_from(ODD) | st.integers(-1, 40))
            case "drop":
                if part:
                    del part[draw(st.sampled_from(sorted(part)))]
            case "entry":
                document[name] = draw(st.sampled_from(ODD))
            case "metadata":
                document["__metadata__"] = draw(st.sampled_from(ODD) | METADATA)
    text = bytearray(text_of(document, draw(st.booleans())).encode())
    text += draw(st.sampled_from([b"", b"", b" ", b"   ", b"\t", b"\n", b"\0", b"x", b"{}"]))
    text[:0] = draw(st.sampled_from([b"", b"", b"", b" ", b"\n", b"\xef\xbb\xbf", b"\0"]))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(text)))
        removed = draw(st.integers(0, 2))
        text[at:at + removed] = draw(st.binary(max_size=2) | st.sampled_from(
            [odd.encode() for odd in ODD] + [b",", b":", b"{", b"}", b"[", b"]", b'"', b"\\", b" ", b"\xed\xa0\x80"]))
    length = max(0, len(text) + draw(st.sampled_from([0] * 8 + [-1, 1, 8, 10 ** 8, 2 ** 62])))
    size = max(0, size + draw(st.sampled_from([0] * 8 + [-1, 1, -8, 8])))
    return length.to_bytes(8, "little") + bytes(text) + b"\0" * size


def agree(data):
    theirs = official_accepts(data)
    try:
        judge(data)
    except ContainerError as error:
        assume(error.rule != "R10")
        assert not theirs, f"{error.rule} {error}: {data!r}"
    else:
        assert theirs, f"only ours accepts {data!r}"


@given(files())
@example(container('{"a":{' + ENTRY + ',"x":1e999}}'))
@example(container('{"a":{' + ENTRY + ',"x":-0}}'))
@SETTINGS
def test_the_verdict_is_the_official_parsers(data):
    agree(data)


@given(layouts(), METADATA, st.booleans())
@SETTINGS
def test_a_valid_file_is_accepted_by_both(layout, metadata, ascii_only):
    entries, size = layout
    data = container(text_of(document_of(entries, metadata), ascii_only), b"\0" * size)
    assert official_accepts(data)
    parsed = judge(data)
    assert [(i.name, i.dtype, list(i.shape), i.begin, i.end) for i in parsed.tensors.values()] == entries
    assert parsed.metadata == metadata


@given(st.binary(max_size=64) | st.binary(max_size=200).map(lambda tail: container(tail, b""))
       | st.binary(max_size=40).map(lambda tail: container(b"{" + tail, b"")))
@SETTINGS
def test_any_bytes_raise_nothing_but_a_verdict(data):
    agree(data)


@pytest.mark.parametrize("depth", range(900, 1010, 3))
@pytest.mark.parametrize("shape", ['{{"a":{{"dtype":{0},"shape":[],"data_offsets":[0,4]}}}}',
                                   '{{"a":{{"dtype":"F32","shape":[{0}],"data_offsets":[0,4]}}}}',
                                   '{{"a":{{"dtype":"F32","shape":[1],"data_offsets":{0}}}}}',
                                   '{{"\\u0061":{{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":{0}}}}}'])
def test_nesting_near_the_limit_of_the_interpreter_is_only_refused(shape, depth):
    with pytest.raises(ContainerError):
        judge(container(shape.format("[" * depth + "]" * depth), b"\0" * 4))


@given(layouts(), METADATA)
@SETTINGS
def test_the_written_header_reads_back_in_both_parsers(layout, metadata):
    entries, size = layout
    text = header_text([TensorSpec(n, d, tuple(s)) for n, d, s, *_ in entries], metadata)
    data = container(text, b"\0" * size)
    parsed = judge(data)
    assert [(i.name, i.dtype, list(i.shape), i.begin, i.end) for i in parsed.tensors.values()] == entries
    assert (parsed.metadata, parsed.notes, parsed.data_start % 8) == (metadata, (), 0)
    official = {name: (part["dtype"], part["shape"], len(part["data"])) for name, part in safetensors.deserialize(data)}
    assert official == {n: (d, s, end - begin) for n, d, s, begin, end in entries}


@given(METADATA)
@settings(SETTINGS, max_examples=50)
def test_the_official_parser_sees_the_written_metadata(metadata):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.safetensors")
        path.write_bytes(container(header_text([], metadata), b""))
        with safetensors.safe_open(path, framework="numpy") as file:
            assert (file.metadata() or {}) == metadata


@given(METADATA, st.randoms(use_true_random=False))
@settings(SETTINGS, max_examples=50)
def test_the_written_header_does_not_depend_on_the_order_of_the_metadata(metadata, random):
    items = list(metadata.items())
    random.shuffle(items)
    assert header_text([], dict(items)) == header_text([], metadata)
