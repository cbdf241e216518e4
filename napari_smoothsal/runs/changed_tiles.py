"""What the tiles of a view are read from while some of its pixels are changed.

A tile is read as a run reads it, once; hidden pixels are then taken from the changed view. So a
tile that nothing is hidden of is, bit for bit, the tile of a run.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.models import Model
from napari_smoothsal.slides import Box, Slide
from napari_smoothsal.slides.view_pixels import ViewPixels


class ViewTiles:
    """The tiles of a view, each read once, as `Model.behind_stain` is to see them.

    Parameters
    ----------
    slide
        Open.
    model
        Whose stain normalisation is done here: once pixels are changed it would be another.
    tile_px
        Side of a tile; what is read beyond is the margin for jitter.
    """

    def __init__(self, slide: Slide, model: Model, tile_px: int) -> None:
        self.name, self.background = slide.name, slide.background
        self._slide, self._model, self._tile_px = slide, model, tile_px
        self._read: dict[tuple[Box, tuple[int, int]], NDArray[np.uint8]] = {}
        self._lock = Lock()

    @property
    def fingerprint(self) -> str:
        """Of the slide."""
        return self._slide.fingerprint

    def read_box(
        self, box: Box, size: tuple[int, int], resampling: Resampling = "area"
    ) -> NDArray[np.uint8]:
        """One tile; see `Slide.read_box`."""
        pixels = self.as_read(box, size, resampling)
        return self.stained(pixels, pixels)

    def as_read(self, box: Box, size: tuple[int, int], resampling: Resampling) -> NDArray[np.uint8]:
        """The slide's own pixels; not to be written into."""
        key = (box, size)
        if key not in self._read:
            pixels = self._slide.read_box(box, size, resampling)
            with self._lock:
                self._read[key] = pixels
        return self._read[key]

    def stained(self, pixels: NDArray[np.uint8], measured: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A tile brought to the model's stain, as the tile is brought that it is measured on."""
        if self._model.behind_stain is self._model:
            return pixels
        margin = (pixels.shape[0] - self._tile_px) // 2
        images, known = (torch.from_numpy(one).permute(2, 0, 1)[None] for one in (pixels, measured))
        (normalised,) = self._model.stain_normalised(images, margin, known).images
        return np.asarray(normalised.permute(1, 2, 0).numpy())


class ChangedTiles:
    """The same tiles with some pixels changed.

    Parameters
    ----------
    tiles
        As they are.
    hidden
        (H, W) bool: which pixels of the view are replaced.
    view
        The view with the replaced pixels, in the slide's own stain.
    """

    def __init__(self, tiles: ViewTiles, hidden: NDArray[np.bool_], view: ViewPixels) -> None:
        self.name, self.background = tiles.name, tiles.background
        self.hidden, self.view = hidden, view
        self._tiles = tiles

    @cached_property
    def fingerprint(self) -> str:
        """Of the slide, and of what is changed."""
        digest = hashlib.sha256(self._tiles.fingerprint.encode())
        digest.update(f"{self.view.origin} {self.view.scale} {self.hidden.shape}".encode())
        for part in (np.packbits(self.hidden), self.view.pixels[self.hidden]):
            digest.update(part.tobytes())
        return digest.hexdigest()

    def share_hidden(self, box: Box, side: int) -> float:
        """How much of a tile is replaced, 0..1."""
        return float(self.hidden[self.view.window(box, side)].mean())

    def read_box(
        self, box: Box, size: tuple[int, int], resampling: Resampling = "area"
    ) -> NDArray[np.uint8]:
        """One tile; see `Slide.read_box`."""
        before = self._tiles.as_read(box, size, resampling)
        here = self.view.window(box, size[0])
        after = np.where(self.hidden[here][..., None], self.view.pixels[here], before)
        return self._tiles.stained(after, before)
