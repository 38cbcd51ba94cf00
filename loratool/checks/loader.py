"""Will the programs load it, and all of it?"""

from __future__ import annotations

from collections.abc import Iterator

from ..adapter.adapter import Adapter
from ..loaders import PROGRAMS, program
from ..loaders.judge import Loading, judge
from .finding import Finding, finding


def check(adapter: Adapter, wanted: str | None = None) -> Iterator[Finding]:
    """For one program every layer that it leaves out; else a line for each program that does not take all."""
    if wanted:
        yield from _in_detail(judge(adapter, program(wanted)))
        return
    for name in PROGRAMS:
        found = judge(adapter, program(name))
        if found.loads != "all" or found.notes:
            yield finding("LOADER_NOTE", f"{found.title} {found.version} {found.says}")


def _in_detail(found: Loading) -> Iterator[Finding]:
    who = f"{found.title} {found.version}"
    if found.loads == "none":
        yield finding("LOADER_NONE", f"{who} {found.says}")
    elif found.loads == "unknown":
        yield finding("LOADER_NOTE", f"{who}: {found.says}: {'; '.join(found.notes)}")
    else:
        yield from (finding("LOADER_NOTE", f"{who}: {note}") for note in found.notes)
        yield from (finding("LOADER_IGNORES", f"{who} does not load this layer", stem) for stem in found.left_out)
