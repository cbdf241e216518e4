"""OpenSlide: the default, with the most formats."""

from __future__ import annotations

from pathlib import Path

from napari_smoothsal.slides.openslide_slide import FORMATS, OpenSlideSlide
from napari_smoothsal.slides.readers.base import Reader


class OpenSlideReader(Reader):
    """Files that OpenSlide reads, and folders of one DICOM slide."""

    name = "openslide"
    reads = FORMATS

    def open(self, source: str, mpp: tuple[float, float] | None) -> OpenSlideSlide:
        """See `Reader.open`."""
        return OpenSlideSlide(Path(source), mpp)
