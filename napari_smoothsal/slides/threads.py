"""How many threads to read a slide with."""

from __future__ import annotations

from napari_smoothsal.core.available_cores import available_cores

MAX_THREADS = 8
"""More do not read a slide faster: format locks and the memory bus are the limit."""


def default_threads() -> int:
    """Return one per core that this process may use, from 1 to 8."""
    return min(available_cores(), MAX_THREADS)
