"""What each level of validation looks at."""

from __future__ import annotations

import json

import pytest

from loratool.checks.run import validate


def odd_header(path, before=b"", after=b""):
    """A sound container whose header has white space that not all readers take."""
    entries = {"a.lora_up.weight": {"dtype": "F16", "shape": [1, 1], "data_offsets": [0, 2]}}
    text = before + json.dumps(entries).encode() + after
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\0\0")
    return str(path)


@pytest.mark.parametrize("level", ["header", "structure", "values", "family"])
@pytest.mark.parametrize(("before", "after", "rule"), [(b" ", b"", "R06"), (b"", b"\n", "R07")])
def test_every_level_says_what_is_odd_in_the_container(tmp_path, level, before, after, rule):
    found = validate(odd_header(tmp_path / "a.safetensors", before, after), level)
    assert [f.id for f in found.findings if f.id.startswith("R")] == [rule]


@pytest.mark.parametrize("level", ["header", "structure", "values", "family"])
def test_every_level_says_that_a_header_is_long(tmp_path, level):
    entries = {"__metadata__": {"x": "x" * (1 << 20)},
               "a.lora_up.weight": {"dtype": "F16", "shape": [1, 1], "data_offsets": [0, 2]}}
    text = json.dumps(entries).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\0\0")
    assert [f.id for f in validate(str(path), level).findings].count("HEADER_OVER_1MIB") == 1
