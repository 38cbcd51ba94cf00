"""All checks of a file up to a level, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..adapter.adapter import Adapter
from ..errors import ContainerError, InputError, NotAFile, NotFound
from . import container, family, loader, structure, values
from .finding import Finding, finding
from .rules import LEVELS


class Verdict(NamedTuple):
    """What validation says of one path."""

    path: str
    verdict: str
    findings: tuple[Finding, ...]


def header_checks(adapter: Adapter) -> list[Finding]:
    """What can be found without reading weights."""
    return [*container.check(adapter), *structure.check(adapter), *family.check(adapter)]


def validate(path: str, level: str = "family", threads: int = 1, wanted: str | None = None) -> Verdict:
    """Check one path, and for ``wanted`` whether that program loads it.

    Never raises for what is wrong with the file: that is the answer.
    """
    depth = LEVELS.index(level)
    found: list[Finding] = []
    try:
        with Adapter.open(path) as adapter:
            found += container.check(adapter)
            if depth >= 1:
                found += structure.check(adapter)
            if depth >= 2:
                found += values.check(adapter, threads)
            if depth >= 3:
                found += family.check(adapter)
            if depth >= 4 or wanted:
                found += loader.check(adapter, wanted)
    except InputError as error:
        return Verdict(path, "unreadable", (_unreadable(error),))
    return Verdict(path, verdict_of(found), tuple(found))


def _unreadable(error: InputError) -> Finding:
    rule = error.rule if isinstance(error, ContainerError) else "R30"
    message = error.message if isinstance(error, (ContainerError, NotFound, NotAFile)) else str(error)
    return finding(rule, message, error.key or "", "error", error.hint)


def verdict_of(findings: Iterable[Finding]) -> str:
    severities = {f.severity for f in findings}
    return "broken" if "error" in severities else "warn" if "warn" in severities else "ok"
