"""Files that are something else are named by kind, made here by the programs that make them."""

import gzip
import io
import lzma
import os
import pickle
import sqlite3
import zipfile

import numpy as np
import pytest
import torch

from loratool.errors import ContainerError, ForeignFile
from loratool.tensors.reader import TensorFile

from .files import ENTRY, container, official_accepts

NOISE = os.urandom(700_000)


def saved(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.safetensors", NOISE[:1000])
    return buffer.getvalue()


def database(tmp_path):
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (x)")
    connection.close()
    return path.read_bytes()


STATE = {"lora": torch.ones(3)}
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
KINDS = {
    "empty": (b"", "empty file"),
    "zeros, short": (b"\0" * 5, "zeros"),
    "zeros": (b"\0" * 4096, "zeros"),
    "LFS pointer": (LFS, "Git LFS pointer"),
    "HTML": (b"<!DOCTYPE html>\n<html><head><title>Log in</title>", "HTML page"),
    "HTML, indented": (b"\n\n   <html>\n", "HTML page"),
    "HTML, byte order mark": (b"\xef\xbb\xbf<!doctype html>", "HTML page"),
    "XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
    "JSON": (b'{"error":"Unauthorized","message":"log in"}', "JSON"),
    "text": (b"Access denied. You must accept the licence of this model first.", "text file"),
    "torch zip": (saved(lambda f: torch.save(STATE, f)), "PyTorch checkpoint"),
    "torch, old": (saved(lambda f: torch.save(STATE, f, _use_new_zipfile_serialization=False)), "pickle"),
    **{f"pickle {n}": (pickle.dumps({"a": [1, 2]}, protocol=n), "pickle") for n in (2, 3, 4, 5)},
    "zip": (zipped(), "zip archive"),
    "numpy": (saved(lambda f: np.save(f, np.ones(3))), "NumPy"),
    "gzip": (gzip.compress(NOISE, mtime=1_700_000_000), "gzip"),
    "gzip, no time": (gzip.compress(NOISE, mtime=0), "gzip"),
    "xz": (lzma.compress(NOISE[:1000]), "xz"),
    "GGUF": (b"GGUF\x03\0\0\0" + NOISE[:100], "GGUF"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + NOISE[:100], "HDF5"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c\0\x04" + NOISE[:100], "7-Zip"),
    "RAR": (b"Rar!\x1a\x07\x01\0" + NOISE[:100], "RAR"),
    "Zstandard": (b"\x28\xb5\x2f\xfd\x24\0\0\0" + NOISE[:100], "Zstandard"),
    "PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + NOISE[:100], "PNG"),
    "JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + NOISE[:100], "JPEG"),
    "WebP": (b"RIFF\x24\0\0\0WEBPVP8 " + NOISE[:100], "WebP"),
    "PDF": (b"%PDF-1.7\n" + NOISE[:100], "PDF"),
    "Windows program": (b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff" + NOISE[:100], "Windows program"),
    "Linux program": (b"\x7fELF\x02\x01\x01\0" + NOISE[:100], "Linux program"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_file_is_named_with_its_remedy(kind, tmp_path):
    data, words = KINDS[kind]
    path = tmp_path / "lora.safetensors"
    path.write_bytes(data)
    with pytest.raises(ForeignFile, match=words) as error:
        TensorFile(path)
    assert error.value.hint and error.value.path == str(path)


def test_a_database_is_named(tmp_path):
    path = tmp_path / "lora.safetensors"
    path.write_bytes(database(tmp_path))
    with pytest.raises(ForeignFile, match="SQLite"):
        TensorFile(path)


@pytest.mark.parametrize("kind", ["torch zip", "torch, old", "pickle 2", "pickle 4"])
def test_a_pickle_is_warned_of(kind, tmp_path):
    path = tmp_path / "lora.pt"
    path.write_bytes(KINDS[kind][0])
    with pytest.raises(ForeignFile) as error:
        TensorFile(path)
    assert "run code" in error.value.hint


@pytest.mark.parametrize("magic", [b"{", b"<", b"[", b"MZ", b"\x1f\x8b\x08"])
def test_a_valid_file_is_not_foreign_because_its_length_spells_a_magic(magic, tmp_path):
    length = int.from_bytes(magic, "little")
    data = container(('{"a":{' + ENTRY + "}}").ljust(length))
    assert data.startswith(magic) and official_accepts(data)
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with TensorFile(path) as file:
        assert list(file.tensors) == ["a"]


def test_a_broken_safetensors_file_is_not_called_foreign(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(container('{"a":{' + ENTRY + "}")[:30])
    with pytest.raises(ContainerError) as error:
        TensorFile(path)
    assert not isinstance(error.value, ForeignFile)
