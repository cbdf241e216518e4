"""`open_slide`: from a path or URL to an open slide, with the resolution that may be given."""

from __future__ import annotations

import math
import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.urls import is_url, label_of_url
from napari_smoothsal.slides.base import Slide
from napari_smoothsal.slides.readers import READERS
from napari_smoothsal.slides.slide_source import SlideSource

DEFAULT_READER = "openslide"
URL_READER = "tiffslide"


def open_slide(
    path: str | os.PathLike[str],
    mpp: float | tuple[float, float] | None = None,
    *,
    reader: str = DEFAULT_READER,
) -> Slide:
    """Open a whole-slide image.

    Parameters
    ----------
    path
        A file in any format that OpenSlide reads, or a folder that holds one DICOM slide. Or a URL
        that fsspec opens, such as ``s3://...``, ``memory://...`` or ``zip://a.svs::archive.zip``;
        tiffslide reads it unless another reader is named that can.
    mpp
        Micrometres per pixel of the slide's level 0, instead of what the file says: one
        number, or a (y, x) pair. It is the slide's resolution, never the model's.
    reader
        Library that decodes the pixels: openslide, tiffslide or cucim. Another than openslide may
        decode other values; a run records it, and resumes only with the same.

    Returns
    -------
    Slide
        Close it, or use it in a ``with`` statement.

    Raises
    ------
    SlideError
        Where there is no slide, or a damaged one.
    SettingError
        Where `mpp` is not above 0, or the reader is not installed or reads no URLs.
    UnknownNameError
        Where there is no such reader.
    """
    pair = None if mpp is None else checked_mpp(mpp)
    source = os.fspath(path)
    entry = READERS[reader]
    if is_url(source):
        if source.startswith("file://"):
            source = url2pathname(urlsplit(source).path)
        elif reader == DEFAULT_READER:
            entry = READERS[URL_READER]
        elif not entry.urls:
            raise SettingError(
                f"{label_of_url(source)}: reader {reader!r} reads files, no URLs; use reader "
                f"{URL_READER!r}, or copy the slide to a drive"
            )
    slide = entry.open(source, pair)
    there = source if is_url(source) else str(Path(source).absolute())
    slide.source = SlideSource(there, pair, reader)
    return slide


def checked_mpp(mpp: float | tuple[float, float]) -> tuple[float, float]:
    """Return a resolution as a (y, x) pair of finite numbers above 0, in um/px."""
    pair = (mpp, mpp) if isinstance(mpp, int | float) else tuple(mpp)
    if len(pair) != 2 or not all(math.isfinite(v) and v > 0 for v in pair):
        raise SettingError(
            f"mpp = {mpp!r}: give the micrometres per pixel of the slide's level 0, one number "
            "above 0 or a (y, x) pair, e.g. 0.25"
        )
    return float(pair[0]), float(pair[1])
