"""Slides in any format that OpenSlide reads, DICOM included.

Three habits of OpenSlide are dealt with here: pixels come with transparency where nothing was
scanned, a handle is dead for good after one error, and a location is a whole level-0 pixel
whatever the level (which one level pixel begins at is only exact where the downsample is whole).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openslide
from numpy.typing import NDArray
from PIL import Image, ImageCms

from napari_smoothsal.core.errors import SlideError, TileReadError
from napari_smoothsal.slides.dicom import slide_file_in
from napari_smoothsal.slides.file_hash import file_sha256
from napari_smoothsal.slides.file_slide import FAULT_PX, FileSlide, require_there
from napari_smoothsal.slides.properties import (
    glass_colour,
    impossible_tile,
    native_tiles,
    resolution,
    scanned_area,
)
from napari_smoothsal.slides.tiff_header import tiff_is_cut_short

ALIGNED_CACHE_BYTES = 16 * 2**20
"""Decoded tiles that OpenSlide keeps, where blocks hold whole native tiles: it sees each once."""

LOOSE_CACHE_BYTES = 128 * 2**20
"""The same where blocks cut native tiles, or OpenSlide does not say where those lie."""

FORMATS = (
    "Aperio SVS, DICOM, Hamamatsu NDPI/VMS, Leica SCN, MIRAX, Philips and Ventana TIFF/BIF, "
    "Sakura, Trestle, Zeiss CZI and tiled pyramidal TIFF"
)


class OpenSlideSlide(FileSlide):
    """A slide file behind an OpenSlide handle that is replaced when it dies.

    Parameters
    ----------
    path
        The slide's file; for DICOM also the folder that holds the files of one slide.
    mpp
        (y, x) micrometres per level-0 px, instead of what the file says.

    Raises
    ------
    SlideError
        Where the file is missing, in no supported format, or damaged.
    """

    def __init__(self, path: Path, mpp: tuple[float, float] | None = None) -> None:
        self._label = path.name or "slide"
        if not path.exists():
            raise SlideError(f"{self._label}: there is no such file")
        self._path = slide_file_in(path) if path.is_dir() else path
        self._cache = openslide.OpenSlideCache(ALIGNED_CACHE_BYTES)
        self._swap = threading.Lock()
        handle = self._opened()
        try:
            properties = handle.properties
            dimensions = handle.level_dimensions
            super().__init__(
                name=path.name if path.is_dir() else path.stem,
                level_dimensions=dimensions,
                level_downsamples=handle.level_downsamples,
                bounds=scanned_area(properties, "openslide", dimensions[0]),
                mpp=mpp or resolution(properties, "openslide"),
                vendor=properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown"),
                background=glass_colour(properties, "openslide"),
            )
            self.file_mpp = resolution(properties, "openslide")
            self._fingerprint = _fingerprint(properties, dimensions[0], self._path)
            tiles = native_tiles(properties, "openslide", len(dimensions))
            self._keep_blocks(tiles)
        except (openslide.OpenSlideError, OSError) as error:
            raise SlideError(f"{self._label}: the file is damaged or incomplete") from error
        if (wrong := impossible_tile(tiles)) is not None:
            raise SlideError(f"{self._label}: the file is damaged ({wrong}); copy it anew")
        if not all(cut.aligned for cut in self._cuts):
            self._cache = openslide.OpenSlideCache(LOOSE_CACHE_BYTES)
            handle.set_cache(self._cache)
        # Dropped, never closed: a thread may be reading through it; it closes with its last user.
        self._handle: openslide.OpenSlide | None = handle

    @property
    def fingerprint(self) -> str:
        """SHA-256 over OpenSlide's own hash of the pixels, or over size and ends of the file."""
        return self._fingerprint

    def checksum(self) -> str:
        """See `Slide.checksum`."""
        return file_sha256(self._path)

    @property
    def colour_profile(self) -> bytes | None:
        """See `Slide.colour_profile`."""
        try:
            profile = self._open_handle().color_profile
        except (openslide.OpenSlideError, ImageCms.PyCMSError):
            return None
        return None if profile is None else profile.tobytes()

    def read_region(self, x: int, y: int, w: int, h: int, level: int = 0) -> NDArray[np.uint8]:
        """Read whole pixels of one level: see `Slide.read_region`."""
        self._check_region(w, h, level)
        handle = self._open_handle()
        try:
            return self._composed(handle, x, y, w, h, level)
        except openslide.OpenSlideError:
            # The handle may have died of another thread's region. Only what a handle of our
            # own says about this region counts.
            return self._read_anew(handle, x, y, w, h, level)

    def close(self) -> None:
        """Release the file: see `Slide.close`."""
        with self._swap:
            self._handle = None
        super().close()

    def _read_level(
        self, level: int, x: int, y: int, w: int, h: int
    ) -> tuple[NDArray[np.uint8], float, float]:
        downsample = self.level_downsamples[level]
        if float(downsample).is_integer():
            return super()._read_level(level, x, y, w, h)
        # The whole level-0 pixel nearest to the wanted corner; OpenSlide interpolates there.
        at_x, at_y = round(x * downsample), round(y * downsample)
        pixels = self.read_region(at_x, at_y, w, h, level)
        return pixels, at_x / downsample, at_y / downsample

    def _fault_px(self, level: int) -> int:
        in_blocks = float(self.level_downsamples[level]).is_integer()
        return super()._fault_px(level) if in_blocks else FAULT_PX

    def _read_inside(self, level: int, x: int, y: int, w: int, h: int) -> NDArray[np.uint8]:
        downsample = int(self.level_downsamples[level])
        return self.read_region(x * downsample, y * downsample, w, h, level)

    def _require_open(self) -> None:
        self._open_handle()

    def _open_handle(self) -> openslide.OpenSlide:
        handle = self._handle
        if handle is None:
            raise SlideError(f"{self.name}: the slide has been closed")
        return handle

    def _read_anew(
        self, dead: openslide.OpenSlide, x: int, y: int, w: int, h: int, level: int
    ) -> NDArray[np.uint8]:
        handle = self._opened_again()
        try:
            pixels = self._composed(handle, x, y, w, h, level)
        except openslide.OpenSlideError as error:
            # The file may have gone between opening and reading: that is not this tile's fault.
            require_there(self._path, self._label)
            raise TileReadError(
                f"{self.name}: the region of {w} x {h} px at level-0 position ({x}, {y}), "
                f"level {level}, cannot be decoded; the file is damaged there: copy it anew"
            ) from error
        with self._swap:
            if self._handle is dead:
                self._handle = handle
        return pixels

    def _opened_again(self) -> openslide.OpenSlide:
        """A new handle; SlideError where the file is gone, or is no longer the same."""
        require_there(self._path, self._label)
        try:
            handle = self._opened()
            if handle.level_dimensions == self.level_dimensions:
                return handle
        except (SlideError, openslide.OpenSlideError) as error:
            raise self._changed() from error
        raise self._changed()

    def _changed(self) -> SlideError:
        return SlideError(
            f"{self._label}: the slide's files changed while they were read: parts of it are gone, "
            "or another one took its place. Bring the slide back and repeat the same command: it "
            "goes on from where it is"
        )

    def _opened(self) -> openslide.OpenSlide:
        try:
            handle = openslide.OpenSlide(self._path)
            handle.set_cache(self._cache)
        except openslide.OpenSlideUnsupportedFormatError as error:
            if tiff_is_cut_short(self._path):
                raise SlideError(
                    f"{self._label}: the file was cut short, its end is missing; copy it anew, "
                    "and compare its size with the original's"
                ) from error
            raise SlideError(
                f"{self._label}: not a slide that can be read, or cut short; supported are "
                f"{FORMATS}. Convert other images to a tiled pyramidal TIFF, or give one tile of "
                "them to `smoothsal trust`"
            ) from error
        except (openslide.OpenSlideError, OSError) as error:
            raise SlideError(
                f"{self._label}: the file is damaged or incomplete; copy it anew and compare "
                "its size with the original's"
            ) from error
        return handle

    def _composed(
        self, handle: openslide.OpenSlide, x: int, y: int, w: int, h: int, level: int
    ) -> NDArray[np.uint8]:
        return over_background(handle.read_region((x, y), level, (w, h)), self.background)


def over_background(region: Image.Image, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Lay an RGBA picture (straight alpha) over a colour; return (h, w, 3)."""
    width, height = region.size
    if np.asarray(region)[..., 3].min() == 255:
        # A fourth of what `convert` and a copy take.
        pixels = np.frombuffer(region.tobytes("raw", "RGB"), np.uint8)
        return pixels.reshape(height, width, 3)
    glass = Image.new("RGB", region.size, background)
    # What lies under full transparency is black; it must not show.
    glass.paste(region.convert("RGB"), mask=region.getchannel("A"))
    return np.asarray(glass)


def _fingerprint(properties: Mapping[str, str], size: tuple[int, int], path: Path) -> str:
    digest = hashlib.sha256()
    quickhash = properties.get(openslide.PROPERTY_NAME_QUICKHASH1)
    if quickhash:
        digest.update(b"openslide.quickhash-1 " + quickhash.encode())
        return digest.hexdigest()
    digest.update(f"{size[0]}x{size[1]}".encode())
    with path.open("rb") as file:
        digest.update(file.read(2**20))
        file.seek(max(0, path.stat().st_size - 2**20))
        digest.update(file.read(2**20))
    return digest.hexdigest()
