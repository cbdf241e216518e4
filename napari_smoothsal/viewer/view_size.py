"""How large a view may be that is waited for."""

from __future__ import annotations

from napari_smoothsal.core.errors import SmoothsalError


class ViewTooLargeError(SmoothsalError):
    """A view has more tiles than one waits for."""


def check_view(tiles: int, most: int | None) -> None:
    """A view has no more tiles than that.

    Raises
    ------
    ViewTooLargeError
        If it has.
    """
    if most is not None and tiles > most:
        raise ViewTooLargeError(
            f"this view has {tiles} tiles; at most {most} are explained as a view. "
            "Zoom in, or use Explain slide"
        )
