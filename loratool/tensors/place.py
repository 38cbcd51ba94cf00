"""Where an output goes: overwrite policy, an invisible file first, the name last.

On Linux a new file has no name until it is complete (``O_TMPFILE``), so that even ``kill -9``
leaves nothing. Where that is not possible, a recognisable temporary file stands beside the target;
those of dead processes are swept by the next run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable

from ..errors import DiskFull, NotAFile, OutputError, Refused, WouldOverwrite
from .policy import Policy

PREFIX = ".loratool-"
STALE_SECONDS = 3600.0
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links answer."""


class Placement:
    """One output file on its way to its name.

    Raises on construction: WouldOverwrite, Refused (target is an input), NotAFile, OutputError.
    """

    def __init__(self, target: str, policy: Policy | None = None,
                 inputs: Iterable[tuple[int, int]] = ()) -> None:
        policy = policy or Policy()
        self.target = target
        self._real = os.path.realpath(target)
        self._folder = os.path.dirname(self._real) or "."
        self._fd = -1
        self._temporary: str | None = None
        self._old = _existing(self._real, target)
        is_input = self._old is not None and (self._old.st_dev, self._old.st_ino) in set(inputs)
        if is_input and not policy.in_place:
            raise Refused("is the input itself", path=target,
                          hint="Choose another name with -o, or use --in-place (keeps a .bak).")
        if self._old is not None and not (policy.overwrite or is_input):
            raise WouldOverwrite("exists already", path=target,
                                 hint="Use --overwrite to replace it, or -o for another name.")
        self._backup = self._real + ".bak" if is_input else None
        if self._backup and not policy.overwrite and not self._has_backup() and os.path.lexists(self._backup):
            raise WouldOverwrite("the backup exists already", path=self._backup,
                                 hint="Move it away, or use --overwrite to replace it.")
        if not os.path.isdir(self._folder):
            raise OutputError("the folder does not exist", path=self._folder, hint="Create it first.")

    def _has_backup(self) -> bool:
        """Whether an attempt that failed later has made the backup already."""
        return bool(self._backup and os.path.exists(self._backup) and os.path.samefile(self._backup, self._real))

    def open(self, size: int) -> int:
        """An empty file descriptor with ``size`` bytes reserved."""
        sweep(self._folder)
        try:
            self._fd = self._open()
            _reserve(self._fd, size)
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                raise reason(error, self.target) from error
            raise
        return self._fd

    def _open(self) -> int:
        if self._old is None and hasattr(os, "O_TMPFILE"):
            try:
                return os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                    raise
        name = os.path.join(self._folder, f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}.tmp")
        self._temporary = name
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        # A private file stays private while its successor is written; its mode follows at the end.
        return os.open(name, flags, 0o666 if self._old is None else 0o600)

    def readable(self) -> str:
        """A path under which the unfinished file can be opened."""
        return self._temporary or f"/proc/self/fd/{self._fd}"

    def commit(self) -> None:
        """Give the file its name, durably. The old file, if any, is kept until that moment."""
        try:
            if self._old is not None:
                _copy_attributes(self._real, self._old, self._fd)
                os.fsync(self._fd)
            if self._temporary is None:
                self._link()
            elif self._old is None:
                _name_new(self._temporary, self._real)
            else:
                self._keep_backup()
                _replace(self._temporary, self._real)
            self._temporary = None
        except FileExistsError:
            raise WouldOverwrite("appeared while the output was computed", path=self.target,
                                 hint="Run the command again: with --overwrite if it may be replaced.") from None
        except OSError as error:
            raise reason(error, self.target) from error
        finally:
            self.discard()
        sync_folder(self._folder, self.target)

    def _link(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            # With folder descriptors CPython calls linkat(AT_SYMLINK_FOLLOW), which /proc needs.
            os.link(f"/proc/self/fd/{self._fd}", os.path.basename(self._real),
                    src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)

    def _keep_backup(self) -> None:
        if not self._backup or self._has_backup():
            return
        if os.path.lexists(self._backup):
            os.unlink(self._backup)
        try:
            os.link(self._real, self._backup)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            _copy_whole(self._real, self._backup)

    def discard(self) -> None:
        """Remove what has no name yet. Does nothing after ``commit``."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._temporary:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary)
            self._temporary = None


def sweep(folder: str) -> None:
    """Remove temporary files and folders of processes that died.

    What such a process had moved aside (``.old``) is never removed: it may be the only copy.
    """
    try:
        names = [n for n in os.listdir(folder) if n.startswith(PREFIX) and n.endswith(".tmp")]
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name)
        try:
            process = int(name.removeprefix(PREFIX).split("-")[0])
            found = os.lstat(path)
            if time.time() - found.st_mtime <= STALE_SECONDS or _alive(process):
                continue
            if stat.S_ISDIR(found.st_mode):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)
        except (OSError, ValueError):
            continue


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def reason(error: OSError, path: str) -> OutputError:
    """The error of the file system in words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFull("there is not enough space on the disk", path=path,
                        hint="Free some space, or write to another disk with -o.")
    return OutputError(f"cannot be written: {error.strerror}", path=path,
                       hint="Choose another place with -o.")


def _existing(real: str, target: str) -> os.stat_result | None:
    try:
        found = os.stat(real)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise reason(error, target) from error
    if not stat.S_ISREG(found.st_mode):
        raise NotAFile("is not a regular file", path=target, hint="Choose another name with -o.")
    return found


def _reserve(fd: int, size: int) -> None:
    if not size or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


def _copy_attributes(source: str, old: os.stat_result, fd: int) -> None:
    os.fchmod(fd, stat.S_IMODE(old.st_mode))
    if hasattr(os, "listxattr"):
        try:
            for name in os.listxattr(source):
                os.setxattr(fd, name, os.getxattr(source, name))
        except OSError:
            pass  # a file system without attributes has none to keep
    if hasattr(os, "fchown") and os.geteuid() == 0:
        os.fchown(fd, old.st_uid, old.st_gid)


def _copy_whole(source: str, target: str) -> None:
    """A copy that is complete or not there, where hard links are not possible."""
    unfinished = f"{target}.{secrets.token_hex(4)}"
    try:
        shutil.copy2(source, unfinished)
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())
        os.rename(unfinished, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)


def _name_new(source: str, target: str) -> None:
    """Rename, but never over a file that appeared meanwhile, where the file system can tell."""
    try:
        os.link(source, target)
        os.unlink(source)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "exists", target) from None
        os.rename(source, target)


def _replace(source: str, target: str) -> None:
    for attempt in range(10):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            # Windows refuses while a virus scanner or a viewer holds the file.
            if os.name != "nt" or attempt == 9:
                raise
            time.sleep(0.1)


def sync_folder(folder: str, target: str) -> None:
    """Make a new name durable. Raises OutputError when the disk does not confirm it."""
    if os.name == "nt":
        return
    try:
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise OutputError(f"written, but the disk does not confirm that it is durable: {error.strerror}", path=target,
                          hint="The file is there and complete: copy it elsewhere, and check the disk.") from error
