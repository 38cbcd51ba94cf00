"""Let the C library keep freed memory for the next layer.

glibc returns every large block to the system and asks for it anew, so that each layer's arrays are
zeroed page by page: a third of the wall time of an operation. Elsewhere than on glibc nothing happens.
"""

from __future__ import annotations

import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_LARGEST_KEPT = 1 << 25
_KEPT_AT_THE_TOP = 1 << 26


def keep_freed_memory() -> None:
    """Blocks of up to 32 MiB come from a heap that keeps up to 64 MiB of free memory."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT_AT_THE_TOP)
