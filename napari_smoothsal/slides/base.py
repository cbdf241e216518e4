"""What every slide offers: level-0 coordinates, exact reading of float boxes, a resolution.

`ArraySlide` and the readers say how pixels of a level are fetched; everything that is arithmetic
(which level, which pixels, reflection, resampling) is here, once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import (
    MissingResolutionError,
    SettingError,
    SlideError,
)
from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.slides.damage import DAMAGE_PX, read_around_damage
from napari_smoothsal.slides.pillow_resize import resized_box
from napari_smoothsal.slides.resample import (
    Taps,
    area_taps,
    choose_level,
    covering,
    level_scale,
    reflected,
    resample,
)
from napari_smoothsal.slides.slide_source import SlideSource

MAX_PIXELS = 2**28
"""Largest region that is returned in one piece: 0.8 GB of RGB. Checked before allocating."""

MAX_EXTENT = 2**24
"""Level-0 px. No scanner covers more (4 m at 0.25 um); arithmetic stays exact up to here."""

KEPT_PX = 1024
"""Longer side of a survey that is kept. Of a larger one its tissue is, a fourth of its size."""

BAND_PIXELS = 2**22
"""Source pixels held at once while a larger box is resampled, band by band."""


@dataclass(frozen=True)
class Box:
    """A rectangle in continuous level-0 coordinates: pixel ``i`` covers ``[i, i + 1)``."""

    x: float
    y: float
    w: float
    h: float


class Slide(ABC):
    """An open whole-slide image: a context manager whose reads may come from any thread.

    Attributes
    ----------
    name
        Base name without suffix, for the terminal only: it never enters a store or report.
    width, height
        Size of level 0, in px.
    bounds
        (x, y, w, h) of the scanned area in level-0 px; the whole slide where not known.
    mpp
        (y, x) micrometres per level-0 px, after any override; None where nobody knows.
    file_mpp
        The same as the file says it; ``mpp`` where there is no file.
    level_dimensions
        (width, height) of each level.
    level_downsamples
        Level-0 px per pixel of each level, as the format's library reports it.
    vendor
        Name of the file format.
    background
        (r, g, b) of empty glass.
    reader
        Library that decodes the pixels, with its version, where it is not OpenSlide: another one
        may decode other values. Else None.
    source
        How it was opened; None where it was not by `open_slide`.
    """

    reader: str | None = None
    source: SlideSource | None = None

    def __init__(
        self,
        *,
        name: str,
        level_dimensions: Sequence[tuple[int, int]],
        level_downsamples: Sequence[float],
        bounds: tuple[int, int, int, int] | None,
        mpp: tuple[float, float] | None,
        vendor: str,
        background: tuple[int, int, int],
    ) -> None:
        self.name = name
        self.level_dimensions = tuple(level_dimensions)
        self.level_downsamples = tuple(level_downsamples)
        self.width, self.height = self.level_dimensions[0]
        self.bounds = bounds or (0, 0, self.width, self.height)
        self.mpp = mpp
        self.file_mpp = mpp
        self.vendor = vendor
        self.background = background
        self._surveys: dict[int, tuple[NDArray[np.uint8], NDArray[np.bool_]]] = {}
        self._scales = [level_scale((self.width, self.height), d) for d in self.level_dimensions]

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 that identifies the pixels, not the file's name or place."""

    def checksum(self) -> str:
        """SHA-256 over all bytes of the slide's files, which takes a full reading of them.

        Raises
        ------
        SettingError
            Where its pixels lie in no file.
        SlideError
            Where a file cannot be read.
        """
        raise SettingError(f"slide {self.name!r} is no file, so that there is nothing to hash")

    @property
    def colour_profile(self) -> bytes | None:
        """ICC profile of the scanner's colours; None where there is none that can be read.

        Reading never applies it: models are trained on the pixels as they are.
        """
        return None

    @abstractmethod
    def read_region(self, x: int, y: int, w: int, h: int, level: int = 0) -> NDArray[np.uint8]:
        """Read whole pixels of one level.

        Parameters
        ----------
        x, y
            Upper left corner in level-0 px.
        w, h
            Size in px of that level.
        level
            Index into `level_dimensions`.

        Returns
        -------
        NDArray[np.uint8]
            (h, w, 3); the background's colour outside the slide.

        Raises
        ------
        TileReadError
            Where the file cannot be decoded there; other regions can still be read.
        SlideError
            Where the region is too large to hold, or the slide is closed.
        """

    @abstractmethod
    def _read_level(
        self, level: int, x: int, y: int, w: int, h: int
    ) -> tuple[NDArray[np.uint8], float, float]:
        """Read a rectangle given in pixels of the level itself.

        Returns the pixels and the true level coordinates of their upper left corner, which
        differ from (x, y) by a fraction where the library cannot address it.
        """

    def _forget_pixels(self) -> None:  # noqa: B027 - where none are kept
        """Give back the memory of pixels that are kept to be read again."""

    def _each_fault_once(self) -> AbstractContextManager[object]:
        """Meanwhile, what is known to be damaged may be refused without another try."""
        return nullcontext()

    def _fault_px(self, level: int) -> int:  # noqa: ARG002 - the same of all
        """How closely it is worth to look for what cannot be read, in px of a level."""
        return 1

    @abstractmethod
    def close(self) -> None:
        """Release the file. Reads that are under way finish; later ones raise SlideError."""

    def read_box(
        self, box: Box, size: tuple[int, int], resampling: Resampling = "area"
    ) -> NDArray[np.uint8]:
        """Read the exact float box at another resolution.

        By ``area`` the nearest finer level is read and each output pixel is the mean over the
        area it covers; a box finer than level 0 is interpolated linearly. By any other name the
        box is cut from level 0, to whole pixels around it, and resized by Pillow: what patches
        that were cut from level 0 and resized by torchvision or WSInfer were trained on. (A
        coarser level was averaged by the scanner before, and gives other values.) Where the box
        leaves the slide's bounds it is continued by reflection, since a model takes an
        artificial border for a structure.

        Parameters
        ----------
        box
            In level-0 px.
        size
            (width, height) of the result.
        resampling
            As a model's card says; pictures for the eye are made by ``area``.

        Returns
        -------
        NDArray[np.uint8]
            (height, width, 3).

        Raises
        ------
        TileReadError, SlideError
            As for `read_region`.
        """
        if resampling == "area":
            return self._read_within(box, size, self.bounds)
        self._check(box, size)
        return resized_box(
            lambda *where: self._read_level(0, *where)[0],
            self.bounds,
            (box.x, box.y, box.w, box.h),
            size,
            resampling,
        )

    def thumbnail(self, max_px: int) -> NDArray[np.uint8]:
        """Return the whole slide, (h, w, 3), with the longer side at most `max_px` px."""
        return self.survey(max_px)[0]

    def survey(self, max_px: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read the whole slide small, also where the file is damaged in places.

        Returns
        -------
        picture
            (h, w, 3), the longer side at most `max_px` px; background where it is damaged.
        damaged
            (h, w): pixels that could not be read, to within a few.

        Notes
        -----
        A small one is kept: several runs on one slide (views in napari) look at it once. Do not
        write into them.
        """
        if max_px not in self._surveys:
            with self._each_fault_once():
                found = self._surveyed(max_px)
            if max_px > KEPT_PX:
                self._forget_pixels()  # of a level that tiles are not read from
                return found
            self._surveys[max_px] = found
        return self._surveys[max_px]

    def _surveyed(self, max_px: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        shrink = max(1.0, max(self.width, self.height) / max_px)
        width = max(1, round(self.width / shrink))
        height = max(1, round(self.height / shrink))
        across, down = self.width / width, self.height / height
        everything = (0, 0, self.width, self.height)
        level = choose_level(self.level_downsamples, min(across, down))
        scale = self.level_downsamples[level] / min(across, down)

        def read(x: int, y: int, w: int, h: int) -> NDArray[np.uint8]:
            box = Box(x * across, y * down, w * across, h * down)
            return self._read_within(box, (w, h), everything)

        outline = max(DAMAGE_PX, math.ceil(self._fault_px(level) * scale))
        picture, damaged = read_around_damage(read, (height, width), self.background, outline)
        for array in (picture, damaged):
            array.setflags(write=False)
        return picture, damaged

    def require_mpp(self) -> tuple[float, float]:
        """Return (y, x) micrometres per level-0 px.

        Raises
        ------
        MissingResolutionError
            Where neither the file nor the user gives them.
        """
        if self.mpp is None:
            raise MissingResolutionError(
                f"{self.name}: the slide does not say how many micrometres a pixel of level 0 "
                "has; give it with --mpp on the command line, or open_slide(..., mpp=...), e.g. "
                "0.25 for a 40x scan and 0.5 for a 20x scan"
            )
        return self.mpp

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check(self, box: Box, size: tuple[int, int]) -> None:
        self._guard(*size)
        if not (all(map(math.isfinite, (box.x, box.y, box.w, box.h))) and box.w > 0 and box.h > 0):
            raise SlideError(f"{self.name}: {box} has no area; its width and height must be > 0")
        if max(map(abs, (box.x, box.y, box.w, box.h))) > MAX_EXTENT:
            raise SlideError(f"{self.name}: {box} is far larger than any slide; give level-0 px")

    def _read_within(
        self, box: Box, size: tuple[int, int], limits: tuple[int, int, int, int]
    ) -> NDArray[np.uint8]:
        self._check(box, size)
        width, height = size
        level = choose_level(self.level_downsamples, min(box.w / width, box.h / height))
        scale_x, scale_y = self._scales[level]
        rows = area_taps(height, box.y / scale_y, box.h / height / scale_y)
        columns = area_taps(width, box.x / scale_x, box.w / width / scale_x)
        pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
        if pixels > BAND_PIXELS and height > 1:
            top = height // 2
            cut = box.h * top / height
            return np.concatenate(
                [
                    self._read_within(Box(box.x, box.y, box.w, cut), (width, top), limits),
                    self._read_within(
                        Box(box.x, box.y + cut, box.w, box.h - cut), (width, height - top), limits
                    ),
                ]
            )
        x_from, x_to = self._limits(limits[0], limits[2], scale_x, self.level_dimensions[level][0])
        y_from, y_to = self._limits(limits[1], limits[3], scale_y, self.level_dimensions[level][1])
        # The rectangle that holds every needed pixel once those outside are folded inside.
        across = reflected(np.arange(columns.start, columns.stop), x_from, x_to)
        down = reflected(np.arange(rows.start, rows.stop), y_from, y_to)
        # A level whose pixels are not addressed exactly may give them a fraction early or late.
        spare = 0 if float(self.level_downsamples[level]).is_integer() else 1
        x, y = max(int(across.min()) - spare, x_from), max(int(down.min()) - spare, y_from)
        w = min(int(across.max()) + 1 + spare, x_to) - x
        h = min(int(down.max()) + 1 + spare, y_to) - y
        source, true_x, true_y = self._read_level(level, x, y, w, h)
        # What was read starts a fraction of a pixel elsewhere: average in its own grid.
        columns = _moved(columns, true_x - x, width, box.x / scale_x, box.w / width / scale_x)
        rows = _moved(rows, true_y - y, height, box.y / scale_y, box.h / height / scale_y)
        return resample(
            source,
            _folded(rows, y_from, y_to, y, h),
            _folded(columns, x_from, x_to, x, w),
        )

    def _guard(self, w: int, h: int) -> None:
        if w < 1 or h < 1:
            raise SlideError(f"{self.name}: a region of {w} x {h} px is empty")
        if w * h > MAX_PIXELS:
            raise SlideError(
                f"{self.name}: a region of {w} x {h} px is more than the {MAX_PIXELS} px that "
                "are read at once; read smaller regions, or a coarser level"
            )

    @staticmethod
    def _limits(start: int, length: int, scale: float, size: int) -> tuple[int, int]:
        # Only pixels that lie wholly inside: those across the edge are mixed with background.
        outer_first, outer_end = covering(start / scale, length / scale)
        first = outer_first if abs(outer_first - start / scale) < 1e-6 else outer_first + 1
        end = outer_end if abs(outer_end - (start + length) / scale) < 1e-6 else outer_end - 1
        first = min(max(first, 0), size - 1)
        return first, max(first + 1, min(end, size))


def _moved(taps: Taps, offset: float, n: int, start: float, step: float) -> Taps:
    return taps if abs(offset) < 1e-6 else area_taps(n, start - offset, step)


def _folded(taps: Taps, start: int, stop: int, origin: int, size: int) -> Taps:
    index = reflected(taps.index, start, stop) - origin
    return Taps(index=np.clip(index, 0, size - 1), weight=taps.weight)
