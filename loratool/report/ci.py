"""Findings for code hosts: SARIF 2.1.0 and GitHub's workflow commands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from .. import __version__
from ..checks.finding import Finding
from ..checks.rules import RULES
from ..checks.run import Verdict
from .sanitise import clean

FORMATS = ("sarif", "github")
_LEVELS = {"error": "error", "warn": "warning", "info": "note"}


def render(form: str, found: Sequence[Verdict]) -> Iterator[str]:
    yield from _sarif(found) if form == "sarif" else _github(found)


def _sarif(found: Sequence[Verdict]) -> Iterator[str]:
    used = sorted({f.id for verdict in found for f in verdict.findings})
    rules = [{"id": rule, "shortDescription": {"text": RULES[rule].title}, "help": {"text": RULES[rule].remedy}}
             for rule in used]
    results = [{"ruleId": f.id, "level": _LEVELS[f.severity],
                "message": {"text": _told(f)},
                "locations": [{"physicalLocation": {"artifactLocation": {"uri": verdict.path.replace("\\", "/")}}}]}
               for verdict in found for f in verdict.findings]
    document = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
                "runs": [{"tool": {"driver": {"name": "loratool", "version": __version__, "rules": rules}},
                          "results": results}]}
    yield json.dumps(document, indent=1)


def _github(found: Sequence[Verdict]) -> Iterator[str]:
    words = {"error": "error", "warn": "warning", "info": "notice"}
    for verdict in found:
        for f in verdict.findings:
            yield f"::{words[f.severity]} file={_escape(verdict.path, ':,')},title={f.id}::{_escape(_told(f))}"


def _told(found: Finding) -> str:
    return f"{found.key}: {found.message}" if found.key else found.message


def _escape(text: str, more: str = "") -> str:
    text = clean(text, 4096)
    for character in "%" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
