"""Every error that a user can meet.

::

    LoratoolError            code            exit
    ├── UsageError           USAGE              2
    ├── InputError           INPUT              3
    │   ├── NotFound         NOT_FOUND          3
    │   ├── NotAFile         NOT_A_FILE         3   folder, pipe, device
    │   ├── ContainerError   CONTAINER          3   breaks a rule R01..R30
    │   └── ForeignFile      NOT_SAFETENSORS    3   another kind of file, named
    ├── OutputError          OUTPUT             3
    │   ├── DiskFull         DISK_FULL          3
    │   └── ReadBackError    READ_BACK          3   the disk does not hold what was written
    ├── Refused              REFUSED            4
    │   ├── WouldOverwrite   WOULD_OVERWRITE    4
    │   ├── WouldLose        WOULD_LOSE         4
    │   ├── FamiliesDiffer   FAMILIES_DIFFER    4
    │   ├── Unmapped         UNMAPPED           4   a name that no table holds
    │   └── Unsound          UNSOUND            4   NaN, missing half, wrong shapes
    ├── InternalError        INTERNAL          70   a fault of this program
    └── Interrupted          INTERRUPTED      130

``code`` and ``exit_code`` are part of the command line's contract; they do not change.
"""

from __future__ import annotations


class LoratoolError(Exception):
    """What happened, to which file and key, and what to do about it."""

    code = "ERROR"
    exit_code = 1

    def __init__(self, message: str, *, path: str | None = None, key: str | None = None,
                 hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.key = key
        self.hint = hint

    def at(self, path: str) -> None:
        """Name the file, when the place that raised did not know it."""
        if self.path is None:
            self.path = path


class UsageError(LoratoolError):
    code = "USAGE"
    exit_code = 2


class InputError(LoratoolError):
    code = "INPUT"
    exit_code = 3


class NotFound(InputError):
    code = "NOT_FOUND"


class NotAFile(InputError):
    code = "NOT_A_FILE"


class ContainerError(InputError):
    """The container breaks a rule of the safetensors format; ``rule`` is its id."""

    code = "CONTAINER"

    def __init__(self, rule: str, message: str, *, path: str | None = None,
                 key: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, path=path, key=key, hint=hint)
        self.rule = rule


class ForeignFile(ContainerError):
    """Something else than a safetensors file, recognised by its first bytes."""

    code = "NOT_SAFETENSORS"


class OutputError(LoratoolError):
    code = "OUTPUT"
    exit_code = 3


class DiskFull(OutputError):
    code = "DISK_FULL"


class ReadBackError(OutputError):
    code = "READ_BACK"


class Refused(LoratoolError):
    code = "REFUSED"
    exit_code = 4


class WouldOverwrite(Refused):
    code = "WOULD_OVERWRITE"


class WouldLose(Refused):
    code = "WOULD_LOSE"


class FamiliesDiffer(Refused):
    code = "FAMILIES_DIFFER"


class Unmapped(Refused):
    code = "UNMAPPED"


class Unsound(Refused):
    code = "UNSOUND"


class InternalError(LoratoolError):
    code = "INTERNAL"
    exit_code = 70


class Interrupted(LoratoolError):
    code = "INTERRUPTED"
    exit_code = 130
