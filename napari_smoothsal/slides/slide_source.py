"""SlideSource: how an open slide was opened, so that another process can open it, too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SlideSource:
    """What `open_slide` was given. It stays in memory: no store or report holds it.

    Attributes
    ----------
    path
        Absolute, or a URL.
    mpp
        (y, x) where the file's was overridden.
    reader
        As asked for.
    """

    path: str
    mpp: tuple[float, float] | None
    reader: str
