"""A slide made of arrays that somebody else holds: numpy, zarr or dask, e.g. a napari layer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SlideError, TileReadError
from napari_smoothsal.slides.base import Slide

_SAMPLED_ROWS = 64


class ArrayLike(Protocol):
    """What is asked of a level: a shape, a dtype, and slicing."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, key: Any, /) -> Any: ...


class ArraySlide(Slide):
    """Multiscale RGB or RGBA arrays behind the face of a slide.

    Parameters
    ----------
    levels
        (H, W, 3 or 4) uint8 arrays, finest first; alpha is straight, not premultiplied.
    mpp
        (y, x) micrometres per level-0 px; None where not known.
    name
        For the terminal.
    bounds
        (x, y, w, h) of the scanned area in level-0 px; None for all of it.
    background
        (r, g, b) outside the arrays and under transparency.

    Raises
    ------
    SlideError
        Where the arrays are not a pyramid of RGB pictures.
    """

    def __init__(
        self,
        levels: Sequence[ArrayLike],
        mpp: tuple[float, float] | None = None,
        name: str = "image",
        bounds: tuple[int, int, int, int] | None = None,
        background: tuple[int, int, int] = (255, 255, 255),
    ) -> None:
        self._levels: tuple[ArrayLike, ...] | None = tuple(levels)
        _check(self._levels, name)
        dimensions = [(int(v.shape[1]), int(v.shape[0])) for v in levels]
        width, height = dimensions[0]
        if bounds is not None:
            x, y, w, h = bounds
            if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
                raise SlideError(f"{name}: bounds {bounds} reach outside {width} x {height} px")
        super().__init__(
            name=name,
            level_dimensions=dimensions,
            level_downsamples=[(width / w + height / h) / 2 for w, h in dimensions],
            bounds=bounds,
            mpp=mpp,
            vendor="array",
            background=background,
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the size, rows sampled evenly from level 0, and the coarsest level's."""
        levels = self._open_levels()
        digest = hashlib.sha256(f"{self.width}x{self.height}".encode())
        for array in (levels[0], levels[-1]):
            rows = np.linspace(0, array.shape[0] - 1, _SAMPLED_ROWS).astype(int)
            for row in np.unique(rows):
                digest.update(np.ascontiguousarray(array[int(row) : int(row) + 1]).tobytes())
        return digest.hexdigest()

    def read_region(self, x: int, y: int, w: int, h: int, level: int = 0) -> NDArray[np.uint8]:
        """Read whole pixels of one level: see `Slide.read_region`."""
        if not 0 <= level < len(self.level_dimensions):
            raise SlideError(
                f"{self.name}: there is no level {level}; it has {len(self.level_dimensions)}"
            )
        scale_x, scale_y = self._scales[level]
        return self._pixels(level, round(x / scale_x), round(y / scale_y), w, h)

    def close(self) -> None:
        """Let go of the arrays."""
        self._levels = None

    def _read_level(
        self, level: int, x: int, y: int, w: int, h: int
    ) -> tuple[NDArray[np.uint8], float, float]:
        return self._pixels(level, x, y, w, h), x, y

    def _pixels(self, level: int, x: int, y: int, w: int, h: int) -> NDArray[np.uint8]:
        self._guard(w, h)
        array = self._open_levels()[level]
        width, height = self.level_dimensions[level]
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + w, width), min(y + h, height)
        if left < right and top < bottom:
            try:
                inside = np.asarray(array[top:bottom, left:right])
            except (OSError, ValueError, KeyError, RuntimeError) as error:
                raise TileReadError(
                    f"{self.name}: the region of {w} x {h} px at ({x}, {y}) of level {level} "
                    "cannot be read; see the error it was caused by"
                ) from error
            inside = over(inside, self.background)
            if inside.shape[:2] == (h, w):
                return inside
        else:
            inside = np.empty((0, 0, 3), np.uint8)
            right, bottom = left, top
        out = np.empty((h, w, 3), np.uint8)
        out[:] = self.background
        if inside.size:
            out[top - y : bottom - y, left - x : right - x] = inside
        return out

    def _open_levels(self) -> tuple[ArrayLike, ...]:
        if self._levels is None:
            raise SlideError(f"{self.name}: the slide has been closed")
        return self._levels


def over(pixels: NDArray[np.uint8], background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Lay (h, w, 3 or 4) pixels, straight alpha, over a colour; return (h, w, 3)."""
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[..., 3:].astype(np.uint16)
    mixed = pixels[..., :3] * alpha + np.array(background, np.uint16) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _check(levels: Sequence[ArrayLike], name: str) -> None:
    if not levels:
        raise SlideError(f"{name}: no arrays; give at least one (H, W, 3) uint8 array")
    for array in levels:
        good = len(array.shape) == 3 and array.shape[2] in (3, 4) and min(array.shape) > 0
        if not good or np.dtype(array.dtype) != np.uint8:
            raise SlideError(
                f"{name}: an array of shape {tuple(array.shape)} and type {array.dtype} is not "
                "an RGB picture; give (H, W, 3) or (H, W, 4) uint8 arrays"
            )
    sizes = [int(v.shape[0]) * int(v.shape[1]) for v in levels]
    if sizes != sorted(sizes, reverse=True):
        raise SlideError(f"{name}: the arrays are not ordered from fine to coarse: {sizes} px")
