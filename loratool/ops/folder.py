"""An adapter folder as an output: where it may go, and how it gets there in one step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from ..adapter.adapter import COMPONENT_FOLDERS
from ..errors import OutputError, Refused, WouldOverwrite
from ..metadata import peft
from ..tensors.policy import Policy


def require_replaceable(target: str, policy: Policy, inputs: Sequence[str]) -> None:
    """A folder is written where nothing is, into an empty one, or over an adapter folder if asked.

    Raises Refused where something else than an adapter would be lost, WouldOverwrite, OutputError.
    """
    if policy.in_place:
        raise Refused("an adapter folder cannot be replaced in place", path=target, hint="Use -o for another name.")
    parent = os.path.dirname(os.path.abspath(target))
    if not os.path.isdir(parent):
        raise OutputError("the folder does not exist", path=parent, hint="Create it first.")
    if not os.path.lexists(target) or (os.path.isdir(target) and not os.listdir(target)):
        return
    if any(os.path.realpath(path) == os.path.realpath(target) for path in inputs):
        raise Refused("is the input itself", path=target, hint="Use -o for another name.")
    if not policy.overwrite:
        raise WouldOverwrite("exists already", path=target,
                             hint="Use --overwrite to replace it, or -o for another name.")
    if not os.path.isfile(os.path.join(target, peft.CONFIG_NAME)):
        raise Refused("is not an adapter folder, so it is not replaced", path=target,
                      hint="Use -o for another name.")
    other = _other(target)
    if other:
        raise Refused(f"holds more than an adapter ({other}), which would be lost", path=target,
                      hint="Use -o for another name.")


def _other(folder: str) -> str | None:
    """The first entry that is no part of an adapter."""
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name in COMPONENT_FOLDERS and os.path.isdir(path) and not os.path.islink(path):
            inside = _other(path)
            if inside:
                return os.path.join(name, inside)
        elif name not in (peft.MODEL_NAME, peft.CONFIG_NAME):
            return name
    return None


def write_text(path: str, text: str) -> int:
    """Write a configuration durably; "" writes none. Returns the bytes."""
    if not text:
        return 0
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return len(text.encode())


def swap(hidden: str, target: str) -> None:
    """Give the finished folder its name; the old one comes back when that fails."""
    old = hidden + ".old"
    moved = os.path.lexists(target)
    if moved:
        os.rename(target, old)
    try:
        os.rename(hidden, target)
    except OSError:
        if moved:
            os.rename(old, target)
        raise
    if moved:
        shutil.rmtree(old, ignore_errors=True)
