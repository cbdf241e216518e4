"""`open_slide`: from a path to an open slide, with the resolution the user may have given."""

from __future__ import annotations

import math
import os
from pathlib import Path

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.slides.base import Slide
from napari_smoothsal.slides.openslide_slide import OpenSlideSlide


def open_slide(
    path: str | os.PathLike[str], mpp: float | tuple[float, float] | None = None
) -> Slide:
    """Open a whole-slide image.

    Parameters
    ----------
    path
        A file in any format that OpenSlide reads, or a folder that holds one DICOM slide.
    mpp
        Micrometres per pixel of the slide's level 0, instead of what the file says: one
        number, or a (y, x) pair. It is the slide's resolution, never the model's.

    Returns
    -------
    Slide
        Close it, or use it in a ``with`` statement.

    Raises
    ------
    SlideError
        Where there is no slide, or a damaged one.
    SettingError
        Where `mpp` is not above 0.
    """
    return OpenSlideSlide(Path(path), mpp=None if mpp is None else checked_mpp(mpp))


def checked_mpp(mpp: float | tuple[float, float]) -> tuple[float, float]:
    """Return a resolution as a (y, x) pair of finite numbers above 0, in um/px."""
    pair = (mpp, mpp) if isinstance(mpp, int | float) else tuple(mpp)
    if len(pair) != 2 or not all(math.isfinite(v) and v > 0 for v in pair):
        raise SettingError(
            f"mpp = {mpp!r}: give the micrometres per pixel of the slide's level 0, one number "
            "above 0 or a (y, x) pair, e.g. 0.25"
        )
    return float(pair[0]), float(pair[1])
