"""Where an output may go, and what is found there afterwards."""

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from loratool.errors import NotAFile, OutputError, Refused, WouldOverwrite
from loratool.tensors.place import PREFIX, STALE_SECONDS, Placement, sweep
from loratool.tensors.policy import Policy

OVER, IN_PLACE = Policy(overwrite=True), Policy(in_place=True)


def place(target, content=b"new", **options):
    """Write ``content`` to ``target`` by way of a placement."""
    placement = Placement(str(target), **options)
    fd = placement.open(len(content))
    os.pwrite(fd, content, 0)
    placement.commit()


def identity(path):
    found = os.stat(path)
    return found.st_dev, found.st_ino


def names(folder):
    return sorted(os.listdir(folder))


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    return path


@pytest.fixture(params=["without a name", "with a temporary name"])
def system(request, monkeypatch):
    """A system with O_TMPFILE, and one whose file system does not know it."""
    if request.param == "with a temporary name":
        real = os.open

        def refuse(path, flags, *rest, **options):
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            return real(path, flags, *rest, **options)

        monkeypatch.setattr(os, "open", refuse)


def test_a_new_file_appears_only_when_it_is_complete(tmp_path, system):
    placement = Placement(str(tmp_path / "out"))
    fd = placement.open(3)
    assert "out" not in names(tmp_path)
    os.pwrite(fd, b"new", 0)
    with open(placement.readable(), "rb") as unfinished:
        assert unfinished.read() == b"new"
    placement.commit()
    assert names(tmp_path) == ["out"] and (tmp_path / "out").read_bytes() == b"new"


def test_on_linux_an_unfinished_new_file_has_no_name(tmp_path):
    placement = Placement(str(tmp_path / "out"))
    placement.open(3)
    assert names(tmp_path) == []
    placement.discard()


def test_discard_leaves_nothing(tmp_path, system):
    placement = Placement(str(tmp_path / "out"))
    placement.open(3)
    placement.discard()
    placement.discard()
    assert names(tmp_path) == []


def test_discard_after_commit_does_nothing(tmp_path, system):
    placement = Placement(str(tmp_path / "out"))
    placement.open(0)
    placement.commit()
    placement.discard()
    assert names(tmp_path) == ["out"]


def test_an_existing_target_is_refused_and_unchanged(old):
    before = old.stat()
    with pytest.raises(WouldOverwrite) as error:
        Placement(str(old))
    assert error.value.path == str(old)
    assert old.read_bytes() == b"old" and old.stat() == before


def test_overwrite_replaces(old):
    place(old, policy=OVER)
    assert old.read_bytes() == b"new" and names(old.parent) == ["out"]


def test_a_reader_of_the_old_file_keeps_the_old_bytes(old):
    with open(old, "rb") as reader:
        place(old, policy=OVER)
        assert reader.read() == b"old"


def test_overwrite_of_nothing_is_a_new_file(tmp_path):
    place(tmp_path / "out", policy=OVER)
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666, 0o400])
def test_overwrite_keeps_the_mode(old, mode):
    old.chmod(mode)
    place(old, policy=OVER)
    assert stat.S_IMODE(old.stat().st_mode) == mode and old.read_bytes() == b"new"


def test_a_private_file_is_private_while_it_is_written(old):
    old.chmod(0o600)
    placement = Placement(str(old), OVER)
    fd = placement.open(3)
    seen = stat.S_IMODE(os.fstat(fd).st_mode)
    placement.discard()
    assert seen & 0o077 == 0


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o000, 0o666)])
def test_the_mode_of_a_new_file_follows_the_umask(tmp_path, system, mask, mode):
    before = os.umask(mask)
    try:
        place(tmp_path / "out")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == mode


def test_overwrite_keeps_extended_attributes(old):
    os.setxattr(old, "user.note", b"mine")
    place(old, policy=OVER)
    assert os.getxattr(old, "user.note") == b"mine"


@pytest.mark.parametrize("policy", [None, OVER])
def test_the_input_itself_is_refused(old, policy):
    with pytest.raises(Refused, match="the input itself") as error:
        Placement(str(old), policy, [identity(old)])
    assert not isinstance(error.value, WouldOverwrite)
    assert old.read_bytes() == b"old" and names(old.parent) == ["out"]


def test_the_input_by_another_name_is_refused(old, tmp_path):
    os.link(old, tmp_path / "hard")
    (tmp_path / "soft").symlink_to(old)
    for name in ("hard", "soft"):
        with pytest.raises(Refused, match="the input itself"):
            Placement(str(tmp_path / name), OVER, [identity(old)])


def test_in_place_keeps_the_old_bytes_beside(old):
    place(old, policy=IN_PLACE, inputs=[identity(old)])
    assert names(old.parent) == ["out", "out.bak"]
    assert (old.read_bytes(), (old.parent / "out.bak").read_bytes()) == (b"new", b"old")


def test_in_place_does_not_destroy_an_older_backup(old):
    backup = old.parent / "out.bak"
    backup.write_bytes(b"older")
    with pytest.raises(WouldOverwrite) as error:
        Placement(str(old), IN_PLACE, [identity(old)])
    assert error.value.path == str(backup)
    assert (old.read_bytes(), backup.read_bytes()) == (b"old", b"older")
    place(old, policy=Policy(overwrite=True, in_place=True), inputs=[identity(old)])
    assert (old.read_bytes(), backup.read_bytes()) == (b"new", b"old")


def test_in_place_does_not_permit_another_existing_file(old, tmp_path):
    other = tmp_path / "input"
    other.write_bytes(b"input")
    with pytest.raises(WouldOverwrite):
        Placement(str(old), IN_PLACE, [identity(other)])


def test_a_failed_in_place_can_be_tried_again(old, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")
    with monkeypatch.context() as broken, pytest.raises(OutputError):
        broken.setattr(os, "replace", fail)
        place(old, policy=IN_PLACE, inputs=[identity(old)])
    assert old.read_bytes() == b"old"
    place(old, policy=IN_PLACE, inputs=[identity(old)])
    assert (old.read_bytes(), (old.parent / "out.bak").read_bytes()) == (b"new", b"old")


@pytest.mark.parametrize("policy", [None, OVER])
def test_a_file_whose_name_may_not_last_is_kept_and_called_so(tmp_path, monkeypatch, policy):
    """fsync of the folder fails after the name was given: the file is there, but a power cut may undo it."""
    target, real = tmp_path / "out", os.fsync
    if policy:
        target.write_bytes(b"old")

    def fail(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="does not confirm that it is durable"):
        place(target, policy=policy)
    assert target.read_bytes() == b"new"


def test_a_link_is_written_through(old, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "link"
    link.symlink_to(old)
    with pytest.raises(WouldOverwrite):
        Placement(str(link))
    place(link, policy=OVER)
    assert link.is_symlink() and old.read_bytes() == b"new"
    assert (names(folder), names(tmp_path)) == (["link"], ["links", "out"])


def test_a_link_to_nothing_makes_the_file_it_names(tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    link = tmp_path / "link"
    link.symlink_to(folder / "file")
    place(link)
    assert link.is_symlink() and (folder / "file").read_bytes() == b"new"


def test_other_hard_links_keep_the_old_bytes(old, tmp_path):
    os.link(old, tmp_path / "other")
    place(old, policy=OVER)
    assert (old.read_bytes(), (tmp_path / "other").read_bytes()) == (b"new", b"old")


def test_no_file_can_go_to_a_folder_a_pipe_or_a_socket(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name in ("folder", "pipe", "socket"):
            with pytest.raises(NotAFile):
                Placement(str(tmp_path / name), OVER)
    with pytest.raises(NotAFile):
        Placement("/dev/null", OVER)


def test_a_place_that_cannot_be(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("missing/out", "file/out", "loop", "x" * 300):
        with pytest.raises(OutputError):
            place(tmp_path / name)
    assert names(tmp_path) == ["file", "loop"]


def test_a_folder_without_permission(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o500)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            place(folder / "out")
    finally:
        if root:
            os.seteuid(0)
    assert names(folder) == []


def test_a_name_relative_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place("out")
    assert names(tmp_path) == ["out"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path, system):
    placement = Placement(str(tmp_path / "out"))
    placement.open(3)
    (tmp_path / "out").write_bytes(b"other")
    with pytest.raises(WouldOverwrite):
        placement.commit()
    assert (tmp_path / "out").read_bytes() == b"other" and names(tmp_path) == ["out"]


def test_of_many_creators_exactly_one_wins(tmp_path, system):
    count = 8
    start, results = threading.Barrier(count), {}

    def create(n):
        placement = Placement(str(tmp_path / "out"))
        os.pwrite(placement.open(1), str(n).encode(), 0)
        start.wait()
        try:
            placement.commit()
            results[n] = "won"
        except WouldOverwrite:
            results[n] = "refused"

    threads = [threading.Thread(target=create, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [n for n, result in results.items() if result == "won"]
    assert len(results) == count and len(winners) == 1
    assert (tmp_path / "out").read_bytes() == str(winners[0]).encode() and names(tmp_path) == ["out"]


def test_many_overwriters_leave_one_whole_file(old):
    def replace(n):
        for _ in range(5):
            place(old, bytes([n]) * 100_000, policy=OVER)

    threads = [threading.Thread(target=replace, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen = old.read_bytes()
        assert seen == b"old" or (len(seen) == 100_000 and len(set(seen)) == 1)
    assert names(old.parent) == ["out"]


def test_a_file_system_without_hard_links_gets_the_file(tmp_path, monkeypatch):
    real = os.open

    def refuse(path, flags, *rest, **options):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(path, flags, *rest, **options)

    def no_link(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "link", no_link)
    place(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"new" and names(tmp_path) == ["out"]
    with pytest.raises(WouldOverwrite):
        place(tmp_path / "out")


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_sweep_removes_old_temporaries_of_dead_processes_alone(tmp_path):
    dead, long_ago = dead_process(), time.time() - STALE_SECONDS - 60
    stale = f"{PREFIX}{dead}-abcd.tmp"
    kept = [f"{PREFIX}{dead}-new.tmp", f"{PREFIX}{os.getpid()}-abcd.tmp", f"{PREFIX}mine.tmp", f"{PREFIX}{dead}-a",
            f"x{PREFIX}{dead}-a.tmp", "lora.safetensors"]
    for name in [stale, *kept]:
        (tmp_path / name).write_bytes(b"x")
        if name != kept[0]:
            os.utime(tmp_path / name, (long_ago, long_ago))
    sweep(str(tmp_path))
    assert names(tmp_path) == sorted(kept)


def test_sweep_removes_an_old_hidden_folder_of_a_dead_process(tmp_path):
    stale = tmp_path / f"{PREFIX}{dead_process()}-abcd.tmp"
    stale.mkdir()
    (stale / "adapter_model.safetensors").write_bytes(b"x")
    os.utime(stale, (1, 1))
    sweep(str(tmp_path))
    assert names(tmp_path) == []


def test_the_next_output_sweeps_its_folder(tmp_path):
    stale = tmp_path / f"{PREFIX}{dead_process()}-abcd.tmp"
    stale.write_bytes(b"x")
    os.utime(stale, (1, 1))
    place(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_space_is_reserved_before_anything_is_computed(tmp_path):
    placement = Placement(str(tmp_path / "out"))
    found = os.fstat(placement.open(1_000_000))
    placement.discard()
    assert found.st_size == 1_000_000 and found.st_blocks * 512 >= 1_000_000
