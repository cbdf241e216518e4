"""tiffslide: slides that are TIFF files, also behind URLs (fsspec), in Python alone.

It decodes in one thread at a time, however many ask: more threads do not make it faster.
"""

from __future__ import annotations

import hashlib
import math
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SlideError, TileReadError
from napari_smoothsal.core.urls import is_url, label_of_url
from napari_smoothsal.slides.array_slide import over
from napari_smoothsal.slides.file_hash import file_sha256
from napari_smoothsal.slides.file_slide import FileSlide, require_there
from napari_smoothsal.slides.properties import (
    glass_colour,
    native_tiles,
    resolution,
    scanned_area,
)
from napari_smoothsal.slides.readers.base import Reader, imported

EXTRA = "readers"

ENDS_BYTES = 2**20
"""Of the beginning and of the end of the file that its fingerprint is made of."""

BROKEN = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What tifffile, its decoders and zarr raise of damaged files."""


class TiffSlideReader(Reader):
    """TIFF files: generic, Aperio, Leica SCN, Philips, Hamamatsu NDPI in part."""

    name = "tiffslide"
    reads = "TIFF files such as Aperio SVS, and URLs that fsspec opens"
    urls = True

    def open(self, source: str, mpp: tuple[float, float] | None) -> TiffSlideSlide:
        """See `Reader.open`."""
        return TiffSlideSlide(source, mpp)


class TiffSlideSlide(FileSlide):
    """A slide behind tiffslide.

    Parameters
    ----------
    source
        A path, or a URL that fsspec opens: ``memory://``, ``zip://``, ``s3://`` (whose own
        packages, such as s3fs, must be installed).
    mpp
        (y, x) micrometres per level-0 px, instead of what the file says.

    Raises
    ------
    SlideError
        Where there is no such file, or none that tiffslide reads.
    SettingError
        Where tiffslide is not installed.
    """

    def __init__(self, source: str, mpp: tuple[float, float] | None = None) -> None:
        library = imported("tiffslide", EXTRA)
        self._source = source
        self._label = label_of_url(source) if is_url(source) else Path(source).name
        try:
            # Held here: a file inside an archive is closed with the archive that nobody holds.
            self._opened = imported("fsspec", EXTRA).open(source) if is_url(source) else source
            slide = library.TiffSlide(self._opened)
            properties = dict(slide.properties)
            dimensions = slide.level_dimensions
            corner = slide.read_region((0, 0), len(dimensions) - 1, (1, 1), as_array=True)
            self._fingerprint = _fingerprint(source, dimensions[0])
        except FileNotFoundError as error:
            raise SlideError(f"{self._label}: there is no such file") from error
        except ImportError as error:
            raise SlideError(
                f"{self._label}: this kind of URL needs another package ({error}); install it"
            ) from error
        except (*BROKEN, library.TiffFileError) as error:
            raise SlideError(
                f"{self._label}: not a TIFF slide that tiffslide reads, or damaged; other formats "
                "are read from files by OpenSlide"
            ) from error
        if corner.dtype != np.uint8 or corner.ndim != 3 or corner.shape[2] not in (1, 3, 4):
            raise SlideError(
                f"{self._label}: pixels of type {corner.dtype} with shape {corner.shape[2:]} are "
                "not read; give a slide of 8-bit grey, RGB or RGBA pixels"
            )
        super().__init__(
            name=self._label.rpartition(".")[0] or self._label,
            level_dimensions=dimensions,
            level_downsamples=slide.level_downsamples,
            bounds=scanned_area(properties, "tiffslide", dimensions[0]),
            mpp=mpp or resolution(properties, "tiffslide"),
            vendor=str(properties.get("tiffslide.vendor") or "unknown"),
            background=glass_colour(properties, "tiffslide"),
        )
        self.file_mpp = resolution(properties, "tiffslide")
        self.reader = f"tiffslide {library.__version__}"
        self._keep_blocks(native_tiles(properties, "tiffslide", len(dimensions)))
        self._swap = threading.Lock()
        # Dropped, never closed: a thread may be reading through it.
        self._slide: Any = slide

    @property
    def fingerprint(self) -> str:
        """SHA-256 over size and ends of the file."""
        return self._fingerprint

    def checksum(self) -> str:
        """See `Slide.checksum`."""
        return super().checksum() if is_url(self._source) else file_sha256(Path(self._source))

    def close(self) -> None:
        """Release the file: see `Slide.close`."""
        with self._swap:
            self._slide = None
        super().close()

    def _require_open(self) -> None:
        if self._slide is None:
            raise SlideError(f"{self.name}: the slide has been closed")

    def _read_inside(self, level: int, x: int, y: int, w: int, h: int) -> NDArray[np.uint8]:
        slide = self._slide
        self._require_open()
        # tiffslide cuts the level's own corner back out of this one, rounding down.
        downsample = self.level_downsamples[level]
        corner = math.ceil(x * downsample), math.ceil(y * downsample)
        try:
            pixels = slide.read_region(corner, level, (w, h), as_array=True)
            if pixels.shape[:2] != (h, w):
                raise ValueError(f"{pixels.shape[1]} x {pixels.shape[0]} px came back")
        except BROKEN as error:
            self._require_there()
            raise TileReadError(
                f"{self.name}: the region of {w} x {h} px at ({x}, {y}) of level {level} cannot "
                "be decoded; the file is damaged there: copy it anew"
            ) from error
        if pixels.shape[2] == 1:
            pixels = np.repeat(pixels, 3, axis=2)
        return over(np.asarray(pixels), self.background)

    def _require_there(self) -> None:
        if not is_url(self._source):
            require_there(Path(self._source), self._label)
            return
        try:
            _fingerprint(self._source, (self.width, self.height))
        except BROKEN as error:
            raise SlideError(
                f"{self._label}: the slide was there and cannot be reached any more; repeat the "
                "same command when it is back: it goes on from where it is"
            ) from error


def _fingerprint(source: str, size: tuple[int, int]) -> str:
    fsspec = imported("fsspec", EXTRA)
    digest = hashlib.sha256(f"{size[0]}x{size[1]}".encode())
    with fsspec.open(source, "rb") as file:
        digest.update(file.read(ENDS_BYTES))
        end = file.seek(0, 2)
        file.seek(max(0, end - ENDS_BYTES))
        digest.update(file.read(ENDS_BYTES))
    return digest.hexdigest()
