"""Libraries that read slides: the registry; OpenSlide unless another one is asked for."""

from __future__ import annotations

from napari_smoothsal.core.registry import Registry
from napari_smoothsal.slides.readers.base import Reader
from napari_smoothsal.slides.readers.cucim_reader import CuCimReader
from napari_smoothsal.slides.readers.openslide_reader import OpenSlideReader
from napari_smoothsal.slides.readers.tiffslide_reader import TiffSlideReader

__all__ = ["READERS", "Reader"]

READERS: Registry[Reader] = Registry("reader of slides")
for _reader in (OpenSlideReader, TiffSlideReader, CuCimReader):
    READERS.register(_reader())
