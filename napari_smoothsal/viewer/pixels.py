"""Pixels of a layer that the engine cannot open itself, written where it can read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.viewer.asked import SlidePixels
from napari_smoothsal.viewer.field_of_view import Region, layer_size

Pair = tuple[float, float]

MOST_PIXELS = 2**28
BAND_PIXELS = 2**22
COARSE_PX = 2048


class TooManyPixelsError(SmoothsalError):
    """A layer in memory is too large to be handed over whole."""


class PixelCopy:
    """Copies a window of a layer to files, a band at a time so that the window stays alive.

    Parameters
    ----------
    layer
        An RGB or RGBA image layer, multiscale or not.
    region
        (x, y, w, h) that is to be explained.
    margin
        Level-0 px around it that are sent along: tiles reach over its edge.
    mpp
        (y, x) micrometres per level-0 px.
    folder
        Where the files go.

    Raises
    ------
    TooManyPixelsError
        Where the window has more pixels than a file should.
    """

    def __init__(self, layer: Any, region: Region, margin: int, mpp: Pair, folder: Path) -> None:
        height, width = layer_size(layer)
        x, y, w, h = region
        left, top = max(0, x - margin), max(0, y - margin)
        right, bottom = min(width, x + w + margin), min(height, y + h + margin)
        if (right - left) * (bottom - top) > MOST_PIXELS:
            raise TooManyPixelsError(
                f"{right - left} x {bottom - top} px of a layer in memory are more than can be "
                "handed to the computing process; zoom in, or open the slide from its file"
            )
        levels = list(layer.data) if layer.multiscale else [layer.data]
        self._finest = levels[0]
        self._window = (left, top, right - left, bottom - top)
        whole = self._window == (0, 0, width, height)
        coarse = None if whole else _coarse(levels[-1])
        self._path = folder / "pixels.npy"
        self._floating = np.dtype(self._finest.dtype).kind == "f"
        if coarse is not None:
            np.save(folder / "coarse.npy", self._as_bytes(coarse))
        self.sent = SlidePixels(
            path=str(self._path),
            window=self._window,
            size=(height, width),
            coarse=None if coarse is None else str(folder / "coarse.npy"),
            mpp=mpp,
        )

    def steps(self) -> Iterator[None]:
        """Copy; yields after every band."""
        x, y, w, h = self._window
        target = np.lib.format.open_memmap(
            self._path, mode="w+", dtype=np.uint8, shape=(h, w, self._finest.shape[2])
        )
        rows = max(1, BAND_PIXELS // w)
        for top in range(0, h, rows):
            end = min(h, top + rows)
            band = np.asarray(self._finest[y + top : y + end, x : x + w])
            target[top:end] = self._as_bytes(band)
            yield
        target.flush()

    def _as_bytes(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        # napari shows float RGB from 0 to 1.
        if self._floating:
            pixels = np.rint(np.clip(pixels, 0, 1) * 255)
        elif pixels.dtype == np.uint16:
            pixels = pixels >> 8
        return pixels.astype(np.uint8)


def _coarse(level: Any) -> NDArray[Any]:
    step = max(1, max(level.shape[:2]) // COARSE_PX)
    return np.asarray(level[::step, ::step])
