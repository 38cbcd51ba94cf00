"""A file that is complete or not there: what is written, faults at every step, kills, full disks."""

import contextlib
import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from safetensors import safe_open

from loratool.errors import LoratoolError, OutputError, ReadBackError, WouldOverwrite
from loratool.tensors.place import Placement
from loratool.tensors.policy import Policy
from loratool.tensors.reader import TensorFile
from loratool.tensors.writer import TensorSpec, Writer, header_text

from .files import file_of, official_accepts

ROOT = str(Path(__file__).parents[2])
OVER = Policy(overwrite=True)
SPECS = [TensorSpec("down", "F16", (4, 8)), TensorSpec("up", "F32", (8, 4)), TensorSpec("alpha", "F32", ())]
DATA = {"down": np.arange(32, dtype="<f2").tobytes(), "up": np.arange(32, 64, dtype="<f4").tobytes(),
        "alpha": np.float32(4).tobytes()}
METADATA = {"ss_network_dim": "4", "author": "é"}


def write(path, policy=None, inputs=(), specs=SPECS, data=DATA, metadata=METADATA, finish=None, order=None):
    with Writer(Placement(str(path), policy, inputs), list(specs), metadata) as writer:
        for name in order or data:
            writer.put(name, data[name])
        return writer.commit(finish)


def names(folder):
    return sorted(os.listdir(folder))


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "folder"
    made.mkdir()
    return made


@pytest.fixture
def old(folder):
    path = folder / "out"
    path.write_bytes(file_of({"old": ("F32", [3], b"\1" * 12)}))
    return path


# What is written

def test_the_official_reader_sees_the_same_values(folder):
    tensors = {"a": torch.randn(5, 7), "b": torch.randn(3, 4).to(torch.float16), "c": torch.randn(9).to(torch.bfloat16),
               "d": torch.tensor([1, -2, 3]), "e": torch.randn(2, 3).to(torch.float8_e4m3fn), "f": torch.tensor(4.0),
               "g": torch.zeros(0, 5)}
    kinds = ["F32", "F16", "BF16", "I64", "F8_E4M3", "F32", "F32"]
    specs = [TensorSpec(n, k, tuple(t.shape)) for (n, t), k in zip(tensors.items(), kinds, strict=True)]
    data = {n: t.reshape(-1).view(torch.uint8).numpy().tobytes() for n, t in tensors.items()}
    write(folder / "out", specs=specs, data=data)
    seen = safetensors.torch.load_file(folder / "out")
    assert seen.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert seen[name].dtype == tensor.dtype and torch.equal(seen[name].float(), tensor.float())
    with safe_open(folder / "out", framework="pt") as file:
        assert file.metadata() == METADATA


def test_the_file_has_no_bent_rule_and_keeps_the_given_order(folder):
    write(folder / "out")
    with TensorFile(folder / "out") as file:
        assert (file.header.notes, file.header.data_start % 8) == ((), 0)
        assert [i.name for i in file.header.in_file_order()] == list(file.tensors) == ["down", "up", "alpha"]


def test_a_file_without_tensors_or_metadata(folder):
    write(folder / "out", specs=[], data={}, metadata={})
    assert official_accepts((folder / "out").read_bytes())


def test_the_same_input_gives_the_same_bytes(folder):
    write(folder / "a")
    write(folder / "b", metadata=dict(reversed(METADATA.items())), order=["alpha", "up", "down"])
    (folder / "c").write_bytes(b"")
    write(folder / "c", OVER)
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes() == (folder / "c").read_bytes()


def test_threads_may_write_at_once(folder):
    specs = [TensorSpec(f"t{n}", "U8", (200_000,)) for n in range(12)]
    data = {s.name: bytes([n]) * 200_000 for n, s in enumerate(specs)}
    with Writer(Placement(str(folder / "out")), specs, {}) as writer:
        threads = [threading.Thread(target=writer.put, args=item) for item in data.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.commit()
    seen = safetensors.numpy.load_file(folder / "out")
    assert all(seen[name].tobytes() == raw for name, raw in data.items())


def test_values_known_only_at_the_end_replace_their_places(folder):
    payload = b"".join(DATA[s.name] for s in SPECS)
    seen = []

    def finish(written):
        seen.append(written.window(0, len(payload)))
        seen.append(written.window(3, 10))
        return {"hash": written.sha256_tensors}

    final = write(folder / "out", metadata={**METADATA, "hash": "0" * 64}, finish=finish)
    assert seen == [payload, payload[3:10]]
    with safe_open(folder / "out", framework="numpy") as file:
        assert file.metadata() == final

    assert final == {**METADATA, "hash": hashlib.sha256(payload).hexdigest()}


def test_short_writes_and_reads_are_continued(folder, monkeypatch):
    pwrite, pread = os.pwrite, os.pread
    with monkeypatch.context() as slow:
        slow.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, memoryview(data)[:7], at))
        slow.setattr(os, "pread", lambda fd, count, at: pread(fd, min(count, 11), at))
        write(folder / "out")
    write(folder / "other")
    assert (folder / "out").read_bytes() == (folder / "other").read_bytes()


def test_metadata_too_large_for_a_reader_is_refused():
    with pytest.raises(OutputError, match="readers refuse"):
        header_text([], {"k": "x" * 100_000_000})


# Complete or nothing

def test_an_exception_in_the_middle_leaves_no_file(folder):
    with pytest.raises(ZeroDivisionError), Writer(Placement(str(folder / "out")), SPECS, METADATA) as writer:
        writer.put("down", DATA["down"])
        raise ZeroDivisionError
    assert names(folder) == []


def test_an_exception_in_the_middle_keeps_the_old_file(old):
    before = old.read_bytes()
    with pytest.raises(KeyboardInterrupt), Writer(Placement(str(old), OVER), SPECS, METADATA) as writer:
        writer.put("down", DATA["down"])
        raise KeyboardInterrupt
    assert old.read_bytes() == before and names(old.parent) == ["out"]


def test_leaving_without_commit_leaves_no_file(folder):
    with Writer(Placement(str(folder / "out")), SPECS, METADATA) as writer:
        writer.put("down", DATA["down"])
    assert names(folder) == []


def test_a_forgotten_or_misfit_tensor_never_gets_a_name(folder):
    with pytest.raises(AssertionError, match="alpha"):
        write(folder / "out", order=["down", "up"])
    with pytest.raises(AssertionError, match="up"):
        write(folder / "out", data={**DATA, "up": b"\0"})
    with pytest.raises(AssertionError, match="length"):
        write(folder / "out", finish=lambda written: {"author": "a longer name than there is room for"})
    assert names(folder) == []


class Faults:
    """Counts the calls of these functions of ``os``; the n-th call of one of them fails."""

    CALLS = ("open", "posix_fallocate", "pwrite", "pread", "fsync", "fchmod", "link", "replace", "fstat")

    def __init__(self, patch, name="", at=-1, kind=""):
        self.counts = dict.fromkeys(self.CALLS, 0)
        self.target, self.kind = (name, at), kind
        for call in self.CALLS:
            patch.setattr(os, call, self.wrapped(call, getattr(os, call)))

    def wrapped(self, name, real):
        def call(*args, **options):
            self.counts[name] += 1
            hit = (name, self.counts[name]) == self.target
            if hit and self.kind == "EIO":
                raise OSError(errno.EIO, "Input/output error")
            if hit and self.kind == "Ctrl-C before":
                raise KeyboardInterrupt
            result = real(*args, **options)
            if hit and self.kind == "Ctrl-C after":
                raise KeyboardInterrupt
            return result
        return call


@pytest.mark.parametrize("kind", ["EIO", "Ctrl-C before", "Ctrl-C after"])
@pytest.mark.parametrize("case", ["new", "overwrite", "in place"])
def test_a_fault_at_any_step_gives_old_or_new_and_no_leftover(folder, monkeypatch, case, kind):
    path, backup = folder / "out", folder / "out.bak"
    before = file_of({"old": ("F32", [3], b"\1" * 12)})
    write(folder / "new")
    after = (folder / "new").read_bytes()
    (folder / "new").unlink()

    def attempt(*fault):
        for name in names(folder):
            (folder / name).unlink()
        if case != "new":
            path.write_bytes(before)
        inputs = [(path.stat().st_dev, path.stat().st_ino)] if case == "in place" else []
        policy = {"new": Policy(), "overwrite": OVER, "in place": Policy(in_place=True)}[case]
        with monkeypatch.context() as patch:
            faults = Faults(patch, *fault)
            caught = None
            try:
                write(path, policy, inputs)
            except (LoratoolError, OSError, KeyboardInterrupt) as error:
                caught = error
        return faults.counts, caught

    counts, caught = attempt()
    assert caught is None and path.read_bytes() == after
    wrong = []
    for name, count in counts.items():
        for at in range(1, count + 1):
            _, caught = attempt(name, at, kind)
            content = path.read_bytes() if path.exists() else None
            if content not in (None if case == "new" else before, after):
                wrong.append((name, at, "torn"))
            if caught is None and content != after:
                wrong.append((name, at, "reported as done"))
            if kind == "EIO" and caught is not None and not isinstance(caught, OutputError):
                wrong.append((name, at, repr(caught)))
            left = set(names(folder)) - {"out", "out.bak" if case == "in place" else "out"}
            if left:
                wrong.append((name, at, f"left {left}"))
            if case == "in place" and content == after and backup.read_bytes() != before:
                wrong.append((name, at, "no backup"))
    assert wrong == []


def test_the_read_back_finds_a_flipped_byte(old, monkeypatch):
    before, pwrite = old.read_bytes(), os.pwrite

    def corrupt(fd, data, at):
        damaged = bytearray(data)
        if at and len(damaged) > 20:
            damaged[17] ^= 4
        return pwrite(fd, damaged, at)

    monkeypatch.setattr(os, "pwrite", corrupt)
    with pytest.raises(ReadBackError) as error:
        write(old, OVER)
    assert error.value.key == "down" and error.value.path == str(old)
    with pytest.raises(ReadBackError):
        write(old.parent / "another")
    assert old.read_bytes() == before and names(old.parent) == ["out"]


def test_the_read_back_finds_a_flipped_byte_anywhere_in_the_header(folder, monkeypatch):
    pwrite, unnoticed = os.pwrite, []
    length = 8 + len(header_text(SPECS, METADATA))
    for position in range(length):
        def corrupt(fd, data, at, position=position):
            damaged = bytearray(data)
            if at == 0:
                damaged[position] ^= 1
            return pwrite(fd, damaged, at)

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", corrupt)
            try:
                write(folder / "out")
                unnoticed.append((position, "written"))
            except ReadBackError:
                pass
            except LoratoolError as error:
                unnoticed.append((position, type(error).__name__))
        assert names(folder) == []
    assert unnoticed == []


def test_the_disk_is_asked_before_the_name_is_given(old, monkeypatch):
    for path, policy, naming in ((old.parent / "new", None, "link"), (old, OVER, "replace")):
        log = []
        with monkeypatch.context() as patch:
            for call in ("pwrite", "fchmod", "link", "replace", "fsync"):
                real = getattr(os, call)

                def logged(*args, call=call, real=real, log=log, **options):
                    what = call
                    if call == "fsync":
                        what = "sync folder" if Path(f"/proc/self/fd/{args[0]}").is_dir() else "sync file"
                    result = real(*args, **options)
                    log.append(what)
                    return result

                patch.setattr(os, call, logged)
            write(path, policy)
        named = log.index(naming)
        assert log.count(naming) == 1 and not {"pwrite", "fchmod"} & set(log[named:])
        assert log[named - 1] == "sync file"
        assert log[-1] == "sync folder" and named < len(log) - 1


# Disks that are full

FULL = """
    import os, resource, sys
    from loratool.errors import LoratoolError
    from loratool.tensors.place import Placement
    from loratool.tensors.policy import Policy
    from loratool.tensors.writer import TensorSpec, Writer
    target, limit, reserve = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "reserve"
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if not reserve:
        del os.posix_fallocate
    spec = TensorSpec("a", "U8", (5_000_000,))
    try:
        with Writer(Placement(target, Policy(overwrite=True)), [spec], {}) as writer:
            writer.put("a", bytes(5_000_000))
            writer.commit()
        print("written")
    except LoratoolError as error:
        print(type(error).__name__, error.path == target)
"""


def child(source, *arguments, **options):
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)], cwd=ROOT,
                            stdout=subprocess.PIPE, text=True, **options)


@pytest.fixture(params=["limit of the process", "small disk"])
def small(request, tmp_path):
    """A folder with room for 3 MB and the file size limit that makes it so.

    The small disk is a tmpfs; where it may not be mounted, the limit stands for it.
    """
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = request.param == "small disk" and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(folder)], stderr=subprocess.DEVNULL).returncode == 0
    yield folder, 0 if mounted else 3_000_000
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("reserve", ["reserve", "no reserve"])
def test_a_full_disk_keeps_the_old_file_and_leaves_nothing_new(small, reserve):
    folder, limit = small
    before = file_of({"old": ("F32", [3], b"\1" * 12)})
    (folder / "old").write_bytes(before)
    for target in ("old", "new"):
        process = child(FULL, folder / target, limit, reserve)
        assert process.communicate()[0] == "DiskFull True\n"
        assert names(folder) == ["old"] and (folder / "old").read_bytes() == before


# Processes that are killed

KILLED = """
    import os, sys
    from loratool.tensors.place import Placement
    from loratool.tensors.policy import Policy
    from loratool.tensors.writer import TensorSpec, Writer
    spec, other = TensorSpec("a", "U8", (1_500_000,)), TensorSpec("b", "U8", (1_500_000,))
    for n in range(10_000):
        for target in ("over/out", f"new/{os.getpid()}-{n}"):
            path = os.path.join(sys.argv[1], target)
            with Writer(Placement(path, Policy(overwrite=True)), [spec, other], {"n": f"{n:05}"}) as writer:
                writer.put("a", bytes([n % 251]) * 1_500_000)
                writer.put("b", bytes([n % 251]) * 1_500_000)
                writer.commit()
            if n == 0 and target.startswith("new"):
                print("ready", flush=True)
            if n > 2 and target.startswith("new"):
                os.unlink(os.path.join(sys.argv[1], f"new/{os.getpid()}-{n - 2}"))
"""


def assert_whole(path):
    data = path.read_bytes()
    assert official_accepts(data), f"torn: {path}"
    with safe_open(path, framework="numpy") as file:
        n = int(file.metadata()["n"])
        assert all((file.get_tensor(name) == n % 251).all() for name in ("a", "b"))


def test_kill_leaves_the_old_or_the_new_file_and_no_unfinished_new_one(tmp_path):
    for name in ("over", "new"):
        (tmp_path / name).mkdir()
    chance = random.Random()
    overwritten = 0
    for _ in range(15):
        process = child(KILLED, tmp_path)
        assert process.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0, 0.12))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if (tmp_path / "over" / "out").exists():
            overwritten += 1
            assert_whole(tmp_path / "over" / "out")
        for path in (tmp_path / "new").iterdir():
            assert path.name.startswith(f"{process.pid}-")
            assert_whole(path)
            path.unlink()
        for path in set((tmp_path / "over").iterdir()) - {tmp_path / "over" / "out"}:
            assert path.name.startswith(f".loratool-{process.pid}-")
            path.unlink()
    assert overwritten == 15


CREATOR = """
    import sys
    from loratool.errors import WouldOverwrite
    from loratool.tensors.place import Placement
    from loratool.tensors.writer import TensorSpec, Writer
    try:
        placement = Placement(sys.argv[1])
        print("ready", flush=True)
        sys.stdin.readline()
        with Writer(placement, [TensorSpec("a", "U8", (100_000,))], {"n": sys.argv[2]}) as writer:
            writer.put("a", bytes([int(sys.argv[2])]) * 100_000)
            writer.commit()
        print("won")
    except WouldOverwrite:
        print("refused")
"""


def test_of_processes_that_create_one_file_exactly_one_wins(folder):
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(child(CREATOR, folder / "out", n, stdin=subprocess.PIPE)) for n in range(5)]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        results = [process.communicate()[0].strip() for process in processes]
    assert sorted(results) == ["refused"] * 4 + ["won"]
    winner = results.index("won")
    seen = safetensors.numpy.load_file(folder / "out")
    assert (seen["a"] == winner).all() and names(folder) == ["out"]


def test_a_writer_refuses_what_its_placement_refuses(old):
    with pytest.raises(WouldOverwrite):
        write(old)
