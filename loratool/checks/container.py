"""Can the container be trusted? What is wrong is raised on opening; what is only odd is said here."""

from __future__ import annotations

from collections.abc import Iterator

from ..adapter.adapter import Adapter
from .finding import Finding, finding

MIB = 1 << 20


def check(adapter: Adapter) -> Iterator[Finding]:
    for source in adapter.sources:
        header = source.file.header
        yield from (finding(rule, message) for rule, message in header.notes)
        if header.header_bytes > MIB:
            yield finding("HEADER_OVER_1MIB", f"the header has {header.header_bytes} bytes")
