"""A slide as napari wants it: levels that halve, read lazily, the last one in memory.

napari loads the coarsest level whose view still exceeds the canvas. Between OpenSlide's levels,
often 4x apart, that is up to 16 times the pixels; so the levels in between are made here, as
2x2 means of the next finer one. The coarsest is a numpy array because napari holds all of it
in any case.

A level's pixels are exact for whoever asks. Only napari's drawing, on the GUI thread and of a slide
that has a `TileLoader`, is answered at once, with what coarser levels say of tiles not read yet.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import TileReadError
from napari_smoothsal.slides import Slide
from napari_smoothsal.viewer.display_colours import Correction, Pixels

if TYPE_CHECKING:
    from napari_smoothsal.viewer.tile_loader import TileLoader

TILE_PX = 512
COARSEST_PX = 1024
CACHE_BYTES = 384 * 2**20
SAME_RATIO = 0.004
"""A file's level counts as 2^k if its ratio is this near: sizes are rounded in the file."""

UNREADABLE = 128
"""Grey of tiles that cannot be decoded: neither glass nor tissue."""

Key = tuple[int, int, int]
"""Of a tile: level, row and column of tiles."""


class TilePyramid:
    """Tiles of all levels of one slide, in a cache that forgets the least recently used.

    Parameters
    ----------
    slide
        Any slide; it must stay open.
    cache_bytes
        Memory for tiles.
    correct
        What is done to the colours of every tile that is read; None: nothing.

    Attributes
    ----------
    shapes
        (height, width) of each level. Level 0 is padded with glass to a multiple of the coarsest
        level's pixels, since napari takes the levels' ratios from their shapes.
    loader
        Reads what napari draws beside the GUI thread; None: it is read when it is drawn.
    """

    loader: TileLoader | None = None

    def __init__(
        self, slide: Slide, cache_bytes: int = CACHE_BYTES, correct: Correction | None = None
    ) -> None:
        self._slide = slide
        self._correct = correct
        count = 1
        while max(slide.height, slide.width) > COARSEST_PX << (count - 1):
            count += 1
        unit = 1 << (count - 1)
        h, w = (-(-size // unit) * unit for size in (slide.height, slide.width))
        self.shapes = [(h >> k, w >> k) for k in range(count)]
        self._stored = {
            k: level
            for k in range(count)
            for level, ratio in enumerate(slide.level_downsamples)
            if abs(ratio / (1 << k) - 1) < SAME_RATIO
        }
        self._cache: OrderedDict[tuple[int, int, int], Pixels] = OrderedDict()
        self._room = max(4, cache_bytes // (TILE_PX * TILE_PX * 3))
        self._lock = threading.Lock()  # napari may slice in a thread of its own
        self._warned = False

    def region(self, level: int, rows: range, columns: range) -> Pixels:
        """Pixels of one level, (len(rows), len(columns), 3); both ranges have step 1."""
        result = np.empty((len(rows), len(columns), 3), np.uint8)
        for key in _keys(level, rows, columns):
            self._paste(result, rows, columns, key, self.tile(key))
        return result

    def at_once(self, level: int, rows: range, columns: range) -> tuple[Pixels, list[Key]]:
        """The same without reading: tiles that are not there as coarser ones show them.

        Returns
        -------
        pixels
            As of `region`.
        missing
            The tiles that are not there.
        """
        tiles = {key: self._cached(key) for key in _keys(level, rows, columns)}
        missing = [key for key, tile in tiles.items() if tile is None]
        if missing:
            result = self._roughest(level, rows, columns)
        else:
            result = np.empty((len(rows), len(columns), 3), np.uint8)
        for key, cached in tiles.items():
            tile = self._rough(key) if cached is None else cached
            if tile is not None:
                self._paste(result, rows, columns, key, tile)
        return result, missing

    def tile(self, key: Key) -> Pixels:
        """A tile's pixels, read where they are not in the cache."""
        tile = self._cached(key)
        if tile is None:
            tile = self._read(*key)
            with self._lock:
                self._cache[key] = tile
                while len(self._cache) > self._room:
                    self._cache.popitem(last=False)
        return tile

    def _cached(self, key: Key) -> Pixels | None:
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
            return self._cache.get(key)

    def _box(self, key: Key) -> tuple[int, int, int, int]:
        """Top, left, height and width of a tile in px of its level."""
        level, i, j = key
        height, width = self.shapes[level]
        top, left = i * TILE_PX, j * TILE_PX
        return top, left, min(TILE_PX, height - top), min(TILE_PX, width - left)

    def _paste(self, result: Pixels, rows: range, columns: range, key: Key, tile: Pixels) -> None:
        top, left, h, w = self._box(key)
        y0, y1 = max(rows.start, top), min(rows.stop, top + h)
        x0, x1 = max(columns.start, left), min(columns.stop, left + w)
        result[y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start] = tile[
            y0 - top : y1 - top, x0 - left : x1 - left
        ]

    def _roughest(self, level: int, rows: range, columns: range) -> Pixels:
        """A region enlarged from the last level: at once, not tile by tile."""
        shift = len(self.shapes) - 1 - level
        top, left = rows.start >> shift, columns.start >> shift
        part = self.coarsest[top : -(-rows.stop >> shift), left : -(-columns.stop >> shift)]
        y, x = rows.start - (top << shift), columns.start - (left << shift)
        return _enlarged(part, 1 << shift)[y : y + len(rows), x : x + len(columns)]

    def _rough(self, key: Key) -> Pixels | None:
        """A tile enlarged from the finest tile that is there; None if that is of the last level."""
        level, i, j = key
        top, left, h, w = self._box(key)
        for coarser in range(level + 1, len(self.shapes) - 1):
            shift = coarser - level
            source = self._cached((coarser, i >> shift, j >> shift))
            if source is not None:
                y, x = (top >> shift) % TILE_PX, (left >> shift) % TILE_PX
                return _enlarged(source[y : y + (h >> shift), x : x + (w >> shift)], 1 << shift)
        return None

    @cached_property
    def coarsest(self) -> Pixels:
        """The last level."""
        last = len(self.shapes) - 1
        h, w = self.shapes[last]
        return self.region(last, range(h), range(w))

    def _read(self, level: int, i: int, j: int) -> Pixels:
        top, left, h, w = self._box((level, i, j))
        stored = self._stored.get(level)
        if stored is None:
            finer = self.region(
                level - 1, range(2 * top, 2 * (top + h)), range(2 * left, 2 * (left + w))
            )
            return np.asarray(Image.fromarray(finer).reduce(2))  # the rounded means
        try:
            pixels = self._slide.read_region(left << level, top << level, w, h, stored)
        except TileReadError as error:
            if not self._warned:
                self._warned = True
                warn_caller(f"{error}. It is shown in grey")
            return np.full((h, w, 3), UNREADABLE, np.uint8)
        return pixels if self._correct is None else self._correct(pixels)


class SlideLevel:
    """One level as an array-like that napari slices: shape, dtype, chunks and indexing."""

    ndim = 3
    dtype = np.dtype(np.uint8)
    chunks = (TILE_PX, TILE_PX, 3)

    def __init__(self, pyramid: TilePyramid, level: int) -> None:
        self.pyramid = pyramid
        self._level = level
        self.shape: tuple[int, int, int] = (*pyramid.shapes[level], 3)

    @property
    def size(self) -> int:
        """Number of values."""
        return self.shape[0] * self.shape[1] * 3

    def __getitem__(self, key: Any) -> Any:
        rows, columns, rest = _three(key)
        # Only what spans the request is read; steps and single indices are taken from it.
        y, down = _spanned(rows, self.shape[0])
        x, across = _spanned(columns, self.shape[1])
        loader = self.pyramid.loader
        if loader is not None and _napari_draws(sys._getframe(1)):
            pixels = loader.at_once(self._level, y, x)
        else:
            pixels = self.pyramid.region(self._level, y, x)
        return pixels[down, across, rest]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def slide_levels(slide: Slide, correct: Correction | None = None) -> list[SlideLevel | Pixels]:
    """Levels of a slide, finest first, each half the one before; the last one in memory."""
    pyramid = TilePyramid(slide, correct=correct)
    last = len(pyramid.shapes) - 1
    levels: list[SlideLevel | Pixels] = [SlideLevel(pyramid, k) for k in range(last)]
    return [*levels, pyramid.coarsest]


def _enlarged(part: Pixels, by: int) -> Pixels:
    """Every pixel as a square: across by Pillow, down as copies of rows, each the faster way."""
    height, width = part.shape[:2]
    wide = Image.fromarray(part).resize((width * by, height), Image.Resampling.NEAREST)
    tall = np.empty((height, by, width * by, 3), np.uint8)
    tall[:] = np.asarray(wide)[:, None]
    return tall.reshape(height * by, width * by, 3)


def _keys(level: int, rows: range, columns: range) -> Iterator[Key]:
    """The tiles of a region."""
    if len(rows) and len(columns):
        for i in range(rows.start // TILE_PX, (rows.stop - 1) // TILE_PX + 1):
            for j in range(columns.start // TILE_PX, (columns.stop - 1) // TILE_PX + 1):
                yield level, i, j


def _napari_draws(caller: FrameType) -> bool:
    """Whether napari's layers ask, on the GUI thread; a script or another plugin does not."""
    asking = str(caller.f_globals.get("__name__", ""))
    here = threading.current_thread() is threading.main_thread()
    return here and asking.startswith("napari.layers.")


def _three(key: Any) -> tuple[Any, Any, Any]:
    given = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in given:
        at = given.index(Ellipsis)
        given[at : at + 1] = [slice(None)] * (4 - len(given))
    given += [slice(None)] * (3 - len(given))
    return given[0], given[1], given[2]


def _spanned(key: Any, size: int) -> tuple[range, Any]:
    if not isinstance(key, slice):
        index = int(key) + (size if int(key) < 0 else 0)
        if not 0 <= index < size:
            raise IndexError(f"index {int(key)} is outside a level of {size} px")
        return range(index, index + 1), 0
    wanted = range(*key.indices(size))
    if not len(wanted):
        return range(0), slice(0, 0)
    low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
    return range(low, high + 1), slice(None, None, wanted.step)
