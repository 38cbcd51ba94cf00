"""From what was typed to paths: literal names first, then globs, folders, stdin."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence

from ..metadata.peft import CONFIG_NAME, MODEL_NAME


def expand(typed: Sequence[str], recursive: bool = False, null: bool = False) -> list[str]:
    """All paths, in the order typed. What leads to nothing is kept: opening it says why."""
    paths: list[str] = []
    for name in typed:
        if name == "-":
            paths += _from_stdin(null)
        else:
            paths += _one(name, recursive)
    return paths


def _one(name: str, recursive: bool) -> Iterator[str]:
    if os.path.isdir(name) and recursive and not is_adapter_folder(name):
        yield from _inside(name)
    elif not os.path.lexists(name) and glob.has_magic(name):
        yield from sorted(glob.glob(name)) or [name]
    else:
        yield name


def is_adapter_folder(path: str) -> bool:
    """Whether the folder is one adapter, as PEFT writes it."""
    return os.path.isfile(os.path.join(path, MODEL_NAME)) and os.path.isfile(os.path.join(path, CONFIG_NAME))


def _inside(folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(".safetensors"):
                yield os.path.join(place, name)


def joint_code(codes: Iterable[int]) -> int:
    """The exit code for several inputs: their own where they agree, else 1."""
    found = set(codes)
    return found.pop() if len(found) == 1 else 1 if found else 0


def _from_stdin(null: bool) -> list[str]:
    data = sys.stdin.buffer.read()
    parts = data.split(b"\0" if null else b"\n")
    return [os.fsdecode(part.rstrip(b"\r") if not null else part) for part in parts if part.strip()]
