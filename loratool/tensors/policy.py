"""What may happen to files that exist. On its own, so that reading commands need not load the writer."""

from __future__ import annotations

from typing import NamedTuple


class Policy(NamedTuple):
    """``overwrite``: other files may be replaced; ``in_place``: the input may."""

    overwrite: bool = False
    in_place: bool = False
