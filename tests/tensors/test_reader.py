"""Opening what is no file, and reading no more than was asked for."""

import os
import socket
import threading

import numpy as np
import pytest

from loratool.errors import ContainerError, InputError, NotAFile, NotFound
from loratool.tensors.reader import TensorFile

from .files import container, file_of

ONES, TWOS = np.full(3, 1.0, "<f4"), np.full((2, 2), 2.0, "<f2")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(file_of({"ones": ("F32", ONES.shape, ONES.tobytes()), "twos": ("F16", TWOS.shape, TWOS.tobytes()),
                              "none": ("F16", (0, 4), b"")}, {"k": "v"}))
    return path


def in_time(action):
    """The exception that ``action`` raises, or a failure if it hangs."""
    caught = []

    def run():
        try:
            action()
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive(), "hangs"
    return caught[0] if caught else None


def test_values_and_metadata(path):
    with TensorFile(path) as file:
        assert file.metadata == {"k": "v"}
        assert file.raw("ones") == ONES.tobytes()
        np.testing.assert_array_equal(file.array("ones"), ONES.astype(np.float64), strict=True)
        np.testing.assert_array_equal(file.array("twos"), TWOS.astype(np.float64), strict=True)
        assert file.array("none").shape == (0, 4)


def test_one_tensor_costs_its_own_bytes(path, monkeypatch):
    whole = path.read_bytes()
    reads, pread = [], os.pread

    def recorded(fd, count, offset):
        reads.append((offset, offset + count))
        return pread(fd, count, offset)

    monkeypatch.setattr(os, "pread", recorded)
    with TensorFile(path) as file:
        start = len(whole) - TWOS.nbytes - ONES.nbytes
        reads.clear()
        assert file.raw("twos") == TWOS.tobytes()
        assert reads == [(start + ONES.nbytes, start + ONES.nbytes + TWOS.nbytes)]
        assert file.offset("twos") == start + ONES.nbytes


def test_opening_reads_the_header_alone(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    path.write_bytes(file_of({"a": ("F32", [500_000], b"\0" * 2_000_000)}))
    counts, pread = [], os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, at: counts.append(count) or pread(fd, count, at))
    TensorFile(path).close()
    assert sum(counts) < 1000


def test_a_read_in_pieces_gives_the_whole(path, monkeypatch):
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, at: pread(fd, min(count, 3), at))
    with TensorFile(path) as file:
        assert file.raw("ones") == ONES.tobytes()


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert isinstance(in_time(lambda: TensorFile(tmp_path / "pipe.safetensors")), NotAFile)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(device):
    assert isinstance(in_time(lambda: TensorFile(device)), NotAFile)


def test_a_socket_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert isinstance(in_time(lambda: TensorFile(tmp_path / "s")), InputError)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(NotAFile) as error:
        TensorFile(tmp_path)
    assert error.value.path == str(tmp_path)


def test_a_missing_file(tmp_path):
    with pytest.raises(NotFound) as error:
        TensorFile(tmp_path / "no [such] file")
    assert error.value.path == str(tmp_path / "no [such] file")


def test_a_name_that_no_file_can_have():
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(InputError):
            TensorFile(name)


def test_a_loop_of_links(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(InputError):
        TensorFile(tmp_path / "a")


def test_a_file_without_permission(path):
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        with pytest.raises(InputError, match="Permission denied") as error:
            TensorFile(path)
    finally:
        if root:
            os.seteuid(0)
    assert not isinstance(error.value, NotFound)


@pytest.mark.parametrize("read", [TensorFile.raw, TensorFile.array])
def test_a_file_that_shrinks_is_an_input_error(path, read):
    with TensorFile(path) as file:
        os.truncate(path, path.stat().st_size - 2)
        with pytest.raises(InputError, match="shorter") as error:
            read(file, "twos")
        assert error.value.path == str(path)


def test_a_failing_disk_is_an_input_error(path, monkeypatch):
    with TensorFile(path) as file:
        def fail(*_):
            raise OSError(5, "Input/output error")
        monkeypatch.setattr(os, "pread", fail)
        with pytest.raises(InputError, match="Input/output error"):
            file.raw("ones")
        with pytest.raises(InputError, match="Input/output error"):
            TensorFile(path)
        monkeypatch.undo()


def test_a_dtype_without_numbers_is_an_input_error(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(file_of({"a": ("I32", [1], b"\0" * 4)}))
    with TensorFile(path) as file, pytest.raises(InputError, match="I32"):
        file.array("a")


def test_two_names_of_one_file_have_one_identity(path, tmp_path):
    os.link(path, tmp_path / "other")
    (tmp_path / "link").symlink_to(path)
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    with TensorFile(path) as a, TensorFile(tmp_path / "other") as b, TensorFile(tmp_path / "link") as c, \
            TensorFile(copy) as d:
        assert a.identity == b.identity == c.identity != d.identity


def test_a_refused_file_is_closed_again(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(container("{}", b"\0"))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(ContainerError) as error:
            TensorFile(path)
        assert error.value.path == str(path)
        with pytest.raises(NotAFile):
            TensorFile(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
