"""Open a safetensors file and read single tensors from it.

Reading goes by ``pread``: a file that shrinks while it is mapped would kill the process.
"""

from __future__ import annotations

import os
import stat
from types import TracebackType
from typing import TYPE_CHECKING

from ..errors import ContainerError, InputError, NotAFile, NotFound
from . import header as headers
from .header import Header, TensorInfo

if TYPE_CHECKING:
    import numpy as np

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class TensorFile:
    """An open safetensors file. Reading one tensor touches only its bytes.

    Raises on opening: NotFound, NotAFile (R30), ContainerError, ForeignFile, InputError.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._fd = _open(self.path)
        try:
            self.stat = os.fstat(self._fd)
            _must_be_regular(self.stat, self.path)
            size = self.stat.st_size
            length = headers.header_length(self.pread(min(512, size), 0), size)
            self.header: Header = headers.parse(self.pread(length, 8), size)
        except (ContainerError, InputError) as error:
            self.close()
            error.at(self.path)
            raise
        except OSError as error:
            self.close()
            raise InputError(f"cannot be read: {error.strerror}", path=self.path) from error

    def pread(self, count: int, offset: int) -> bytes:
        """``count`` bytes from ``offset`` of the file. Raises InputError when it has become shorter."""
        parts: list[bytes] = []
        while count:
            part = os.pread(self._fd, min(count, 1 << 30), offset)
            if not part:
                raise InputError("became shorter while it was read", path=self.path,
                                 hint="Another program is writing it: try again when it is done.")
            parts.append(part)
            offset += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        return self.header.tensors

    @property
    def metadata(self) -> dict[str, str]:
        return self.header.metadata

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode: equal for two names of one file."""
        return self.stat.st_dev, self.stat.st_ino

    def fileno(self) -> int:
        return self._fd

    def offset(self, name: str) -> int:
        """Where the tensor's bytes begin, counted from the start of the file."""
        return self.header.data_start + self.tensors[name].begin

    def raw(self, name: str) -> bytes:
        """The tensor's bytes: little-endian, C order."""
        info = self.tensors[name]
        try:
            return self.pread(info.nbytes, self.header.data_start + info.begin)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", path=self.path, key=name) from error

    def array(self, name: str) -> np.ndarray:
        """The tensor as float64 [shape]; every stored value is exact in it."""
        from .codec import decode

        info = self.tensors[name]
        return decode(self.raw(name), info.dtype, info.shape)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _open(path: str) -> int:
    try:
        return os.open(path, _FLAGS)
    except FileNotFoundError:
        raise NotFound("no such file", path=path, hint="Check the name; put it in quotes if it has "
                       "spaces or brackets.") from None
    except IsADirectoryError:
        raise NotAFile("is a folder", path=path, hint="Use -r to take the files in it.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot be opened: {reason}", path=path) from error


def _must_be_regular(info: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise NotAFile("is a folder", path=path, hint="Use -r to take the files in it.")
    if not stat.S_ISREG(info.st_mode):
        raise NotAFile("is not a regular file (a pipe, socket or device)", path=path,
                       hint="Save it to a file first.")
