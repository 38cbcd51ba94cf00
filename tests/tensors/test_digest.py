"""Hashes of a file and of what follows its header."""

import hashlib
import os

import pytest
import torch
from safetensors.torch import save

from loratool.errors import InputError
from loratool.tensors.digest import digest
from loratool.tensors.reader import TensorFile


def open_file(tmp_path, data):
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    return TensorFile(path)


@pytest.mark.parametrize("count", [0, 1, 1000, 1 << 18, (1 << 19) + 3])
def test_both_are_sha256_of_their_bytes(tmp_path, count):
    data = save({"a": torch.arange(count, dtype=torch.float32), "b": torch.ones(3, dtype=torch.float16)})
    start = 8 + int.from_bytes(data[:8], "little")
    with open_file(tmp_path, data) as file:
        found = digest(file)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.sha256_tensors == hashlib.sha256(data[start:]).hexdigest()


def test_a_file_without_tensors(tmp_path):
    data = save({}, {"k": "v"})
    with open_file(tmp_path, data) as file:
        found = digest(file)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.sha256_tensors == hashlib.sha256(b"").hexdigest()


def test_short_reads_change_nothing(tmp_path, monkeypatch):
    data = save({"a": torch.arange(5000, dtype=torch.float32)})
    with open_file(tmp_path, data) as file:
        pread = os.pread
        monkeypatch.setattr(os, "pread", lambda fd, count, at: pread(fd, min(count, 777), at))
        assert digest(file).sha256 == hashlib.sha256(data).hexdigest()


def test_a_file_that_shrinks_has_no_digest(tmp_path):
    data = save({"a": torch.arange(5000, dtype=torch.float32)})
    with open_file(tmp_path, data) as file:
        os.truncate(file.path, len(data) - 100)
        with pytest.raises(InputError):
            digest(file)
