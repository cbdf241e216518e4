"""Warnings that point to the code that called this package, not to a line inside it."""

from __future__ import annotations

import sys
import warnings

_PACKAGE = __name__.partition(".")[0]


def warn_caller(message: str) -> None:
    """Warn, and blame the first caller outside of this package, however deep the stack is.

    What is wrong lies in what the caller gave, and their filters go by their own modules.

    Parameters
    ----------
    message
        Text of the `UserWarning`.
    """
    # Python 3.12 can leave files out by itself (skip_file_prefixes).
    level, frame = 2, sys._getframe(1)
    while frame.f_globals["__name__"].partition(".")[0] == _PACKAGE and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
