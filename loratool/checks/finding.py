"""One check's verdict on one place."""

from __future__ import annotations

from typing import NamedTuple

from .rules import RULES


class Finding(NamedTuple):
    """``key`` is the tensor or module; "" where the whole file is meant."""

    id: str
    severity: str
    key: str
    message: str
    hint: str


def finding(rule: str, message: str, key: str = "", severity: str | None = None, hint: str | None = None) -> Finding:
    """A finding with the severity and remedy of its rule, unless told otherwise."""
    known = RULES[rule]
    return Finding(rule, severity or known.severity, key, message, hint or known.remedy)
