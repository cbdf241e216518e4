"""cuCIM: fast decoding of TIFF slides on Linux, on the CPU as on a GPU's host.

OpenSlide says what the slide is (resolution, scanned area, fingerprint); cuCIM decodes its pixels.
It applies a colour profile to slides in JPEG 2000, and to no other: there its pixels differ.
"""

from __future__ import annotations

import math
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SettingError, SlideError, TileReadError
from napari_smoothsal.slides.file_hash import file_sha256
from napari_smoothsal.slides.file_slide import FileSlide, require_there
from napari_smoothsal.slides.openslide_slide import OpenSlideSlide
from napari_smoothsal.slides.readers.base import Reader, imported

EXTRA = "cucim"


class CuCimReader(Reader):
    """Aperio SVS, Philips TIFF and generic tiled TIFF."""

    name = "cucim"
    reads = "Aperio SVS, Philips TIFF and tiled TIFF"

    def load(self) -> None:
        """See `Reader.load`."""
        _cucim()

    def open(self, source: str, mpp: tuple[float, float] | None) -> CuCimSlide:
        """See `Reader.open`."""
        return CuCimSlide(Path(source), mpp)


def _cucim() -> ModuleType:
    if find_spec("cucim") is not None and "cucim" not in sys.modules and "torch" in sys.modules:
        # Seen with cuCIM 26.10 and torch 2.15 on a machine without a GPU: loading it hangs.
        raise SettingError(
            "reader 'cucim': cuCIM cannot be loaded after torch; import cucim before torch (in "
            "the first line of a script), or leave the reader at openslide"
        )
    return imported("cucim", EXTRA)


class CuCimSlide(FileSlide):
    """A slide whose pixels cuCIM decodes.

    Parameters
    ----------
    path
        The slide's file.
    mpp
        (y, x) micrometres per level-0 px, instead of what the file says.

    Raises
    ------
    SlideError
        Where OpenSlide or cuCIM cannot open it, or they do not see the same levels.
    SettingError
        Where cuCIM is not installed.
    """

    def __init__(self, path: Path, mpp: tuple[float, float] | None = None) -> None:
        library = _cucim()
        self._path = path
        self._about = about = OpenSlideSlide(path, mpp)
        try:
            image = library.CuImage(str(path))
            dimensions = tuple(tuple(size) for size in image.resolutions["level_dimensions"])
            native = image.resolutions["level_tile_sizes"]
        except (RuntimeError, ValueError, LookupError, OSError) as error:
            raise SlideError(
                f"{path.name}: not a slide that cuCIM reads ({CuCimReader.reads}); leave the "
                "reader at openslide"
            ) from error
        if dimensions != about.level_dimensions:
            raise SlideError(
                f"{path.name}: cuCIM sees levels of {dimensions} px, OpenSlide of "
                f"{about.level_dimensions}; leave the reader at openslide"
            )
        super().__init__(
            name=about.name,
            level_dimensions=about.level_dimensions,
            level_downsamples=about.level_downsamples,
            bounds=about.bounds,
            mpp=about.mpp,
            vendor=about.vendor,
            background=about.background,
        )
        self.file_mpp = about.file_mpp
        self.reader = f"cucim {library.__version__}"
        self._keep_blocks([(int(w), int(h)) for w, h in native])
        self._image: Any = image

    @property
    def fingerprint(self) -> str:
        """As OpenSlide's."""
        return self._about.fingerprint

    def checksum(self) -> str:
        """See `Slide.checksum`."""
        return file_sha256(self._path)

    @property
    def colour_profile(self) -> bytes | None:
        """See `Slide.colour_profile`."""
        return self._about.colour_profile

    def close(self) -> None:
        """Release the file: see `Slide.close`."""
        self._image = None
        self._about.close()
        super().close()

    def _require_open(self) -> None:
        if self._image is None:
            raise SlideError(f"{self.name}: the slide has been closed")

    def _read_inside(self, level: int, x: int, y: int, w: int, h: int) -> NDArray[np.uint8]:
        image = self._image
        self._require_open()
        downsample = self.level_downsamples[level]
        corner = math.ceil(x * downsample), math.ceil(y * downsample)
        try:
            pixels = np.asarray(image.read_region(corner, (w, h), level))
            if pixels.shape != (h, w, 3) or pixels.dtype != np.uint8:
                raise ValueError(f"{pixels.shape} of {pixels.dtype} came back")
        except (RuntimeError, ValueError, MemoryError, OSError, TypeError) as error:
            require_there(self._path, self._path.name)
            raise TileReadError(
                f"{self.name}: the region of {w} x {h} px at ({x}, {y}) of level {level} cannot "
                "be decoded; the file is damaged there: copy it anew"
            ) from error
        return pixels
