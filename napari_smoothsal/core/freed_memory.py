"""Freed memory: kept for the next pass, where glibc would hand it back to the system."""

from __future__ import annotations

import ctypes
import sys

# Of malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """Have this process keep what it frees: for processes that do nothing but compute.

    By default what a pass frees goes back to the system, which clears it page by page when the
    next pass asks for it: a tenth and more of a ResNet18's forward pass on a CPU. All threads take
    from one heap, and so from what others have freed; with a heap each, a run took twice the
    memory. To be called before there are threads. Elsewhere than on Linux with glibc nothing
    happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
