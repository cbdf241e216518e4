"""Warnings that point to the code that called this package, not to a line inside it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PACKAGE = __name__.partition(".")[0]


_HEARD: ContextVar[list[str] | None] = ContextVar("heard", default=None)


@contextmanager
def heard_warnings() -> Iterator[list[str]]:
    """Have this thread's warnings listed, for a caller in another process.

    Python's own `warnings.catch_warnings` is of all threads.
    """
    heard: list[str] = []
    before = _HEARD.set(heard)
    try:
        yield heard
    finally:
        _HEARD.reset(before)


def warn_caller(message: str) -> None:
    """Warn, and blame the first caller outside of this package, however deep the stack is.

    What is wrong lies in what the caller gave, and their filters go by their own modules.

    Parameters
    ----------
    message
        Text of the `UserWarning`.
    """
    heard = _HEARD.get()
    if heard is not None:
        heard.append(message)
        return
    # Python 3.12 can leave files out by itself (skip_file_prefixes).
    level, frame = 2, sys._getframe(1)
    while frame.f_globals["__name__"].partition(".")[0] == _PACKAGE and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
