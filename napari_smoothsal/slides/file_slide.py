"""Slides whose pixels a library decodes out of a file: what all such readers share.

A reader says how pixels inside a level are read; here they are kept in blocks, laid on background
outside the slide, and it is told apart whether one region or the whole file is lost.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SlideError, TileReadError
from napari_smoothsal.slides.base import BAND_PIXELS, Slide
from napari_smoothsal.slides.blocks import BlockCache, LevelBlocks

Size = tuple[int, int]

FAULT_PX = 256
"""Of a level that is read without blocks of whole native tiles, how closely damage is outlined:
each look at what is broken costs a new handle of the file."""


class FileSlide(Slide):
    """A slide in a file, read in blocks of whole native tiles."""

    def _keep_blocks(self, native: Sequence[Size | None]) -> None:
        """Begin to keep blocks; `native` is (width, height) of each level's tiles, if known."""
        cuts = zip(self.level_dimensions, native, strict=True)
        self._cuts = [LevelBlocks.of(size, tile) for size, tile in cuts]
        self._blocks = BlockCache(self._cuts, self._read_inside)

    def close(self) -> None:
        """Release the file: see `Slide.close`."""
        self._forget_pixels()

    def _forget_pixels(self) -> None:
        self._blocks.clear()

    def _each_fault_once(self) -> AbstractContextManager[object]:
        return self._blocks.each_fault_once()

    def _fault_px(self, level: int) -> int:
        return FAULT_PX if self._cuts[level].joined else 1

    @abstractmethod
    def _read_inside(self, level: int, x: int, y: int, w: int, h: int) -> NDArray[np.uint8]:
        """Read pixels (h, w, 3) that lie inside a level, given in px of that level.

        Raises
        ------
        TileReadError
            Where they cannot be decoded.
        SlideError
            Where the file is gone, or the slide is closed.
        """

    @abstractmethod
    def _require_open(self) -> None:
        """Raise SlideError where the slide has been closed."""

    def _read_level(
        self, level: int, x: int, y: int, w: int, h: int
    ) -> tuple[NDArray[np.uint8], float, float]:
        self._require_open()
        if w * h > BAND_PIXELS:  # it holds few blocks that another region needs
            return self._read_inside(level, x, y, w, h), x, y
        try:
            return self._blocks.region(level, x, y, w, h), x, y
        except TileReadError:
            if not self._cuts[level].joined:
                raise
            # What is broken may lie in the block and beyond the region.
            return self._read_inside(level, x, y, w, h), x, y

    def read_region(self, x: int, y: int, w: int, h: int, level: int = 0) -> NDArray[np.uint8]:
        """Read whole pixels of one level: see `Slide.read_region`."""
        self._check_region(w, h, level)
        self._require_open()
        scale_x, scale_y = self._scales[level]
        x, y = round(x / scale_x), round(y / scale_y)
        width, height = self.level_dimensions[level]
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + w, width), min(y + h, height)
        out = np.empty((h, w, 3), np.uint8)
        out[:] = self.background
        if left < right and top < bottom:
            inside = self._read_inside(level, left, top, right - left, bottom - top)
            out[top - y : bottom - y, left - x : right - x] = inside
        return out

    def _check_region(self, w: int, h: int, level: int) -> None:
        self._guard(w, h)
        if not 0 <= level < len(self.level_dimensions):
            raise SlideError(
                f"{self.name}: there is no level {level}; it has {len(self.level_dimensions)}"
            )


def require_there(path: Path, label: str) -> None:
    """Make sure that a file which was opened before is still there and can be read.

    Raises
    ------
    SlideError
        Where it is gone: its folder, its drive or its server.
    """
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise SlideError(
            f"{label}: the slide's file was there and cannot be reached any more "
            f"({error.strerror or 'no reason given'}): it was moved or deleted, or its drive is "
            "gone. Bring it back and repeat the same command: it goes on from where it is"
        ) from error
