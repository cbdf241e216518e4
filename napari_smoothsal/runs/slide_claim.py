"""The claim on a slide of a batch: one process at a time works on it, and others know who.

A process that Dask has given up (its network failed, it hung) may go on for a while, until it
notices. Whoever is given its slide then waits for it; two that belong to different commands do not
wait for each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from napari_smoothsal.core.errors import StoreError, UnreachableError
from napari_smoothsal.runs.places import Place
from napari_smoothsal.runs.slide_states import claim_of
from napari_smoothsal.runs.writer_lock import only_writer, writer_of

WAIT_S = 120.0
"""For a process of the same command: it asks whether to stop at every pass, and writes its end."""
_ASK_S = 0.5


@contextmanager
def claimed(
    out: Place, store: str, command: str = "", stop: Callable[[], bool] | None = None
) -> Iterator[None]:
    """Hold a slide.

    Parameters
    ----------
    out
        The batch's folder, or its URL.
    store
        Name of the slide's store.
    command
        Token of the command that this process works for; empty: it is its own.
    stop
        Asked while another process of the command is waited for; True: it is not any more.

    Raises
    ------
    StoreError
        If another command's process holds it, or one of this command for `WAIT_S`; names it.
    """
    path, end = claim_of(out, store), time.monotonic() + WAIT_S
    with ExitStack() as claim:
        while True:
            try:
                claim.enter_context(only_writer(path, command))
                break
            except UnreachableError:
                raise
            except StoreError:
                holder = writer_of(path)
                # Nobody is named while the holder comes or goes.
                ours = command and (holder is None or holder.command == command)
                if not ours or time.monotonic() > end or (stop is not None and stop()):
                    raise
            time.sleep(_ASK_S)
        yield
