"""FolderTiles: tiles cut from image files."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from napari_smoothsal.core.errors import SettingError, SlideError
from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.slides.labelled import read_picture
from napari_smoothsal.slides.pillow_resize import FILTERS
from napari_smoothsal.slides.turning import turned

_KEPT_IMAGES = 8
"""Whole images: of few large ones many tiles are drawn, of many small ones reading is cheap."""


def mirrored_told(count: int) -> str:
    """What is to be known of images that were completed."""
    return (
        f"{count} of them are smaller than that; mirror images complete them, so that the model "
        "sees what is not there."
    )


class FolderTiles:
    """Square tiles of image files, one of each at a time.

    Parameters
    ----------
    files
        Read when they are asked for; see `images_in`.
    side
        Of a tile, in px at the model's resolution.
    scale
        Px of the images per px of a tile: 2 for images at 0.25 um per pixel and a model at 0.5.
    shorter_side
        Images that have no resolution are resized until their shorter side has so many px, as
        torchvision's Resize does it: bilinear, with antialiasing.
    resampling
        As the model's card says; where images have a `scale` they are resized so.

    Raises
    ------
    SettingError
        If the resized images would be smaller than a tile.
    SlideError
        If an image is unreadable or smaller than a quarter of a tile, when it is asked for.

    Attributes
    ----------
    completed
        Indices of the images read so far that are smaller than a tile; mirror images fill it.
    """

    def __init__(
        self,
        files: Sequence[Path],
        side: int,
        scale: float = 1.0,
        shorter_side: int | None = None,
        resampling: Resampling = "area",
    ) -> None:
        if not scale > 0:
            raise SettingError(f"scale = {scale}: give a number above 0")
        if shorter_side is not None and shorter_side < side:
            raise SettingError(
                f"resize = {shorter_side}: images would be smaller than the model's tiles; give "
                f"{side} or more"
            )
        self.files = list(files)
        self._side, self._scale, self._shorter_side = side, scale, shorter_side
        self._resampling: Resampling = resampling
        self.completed: set[int] = set()
        self._read = lru_cache(_KEPT_IMAGES)(self._reread)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def fingerprint(self) -> str:
        """Of the files' names, sizes and times of change."""
        digest = hashlib.sha256(f"{self._side} {self._scale}".encode())
        if self._shorter_side is not None:
            digest.update(f" {self._shorter_side}".encode())
        if self._resampling != "area":
            digest.update(f" {self._resampling}".encode())
        for file in self.files:
            found = file.stat()
            digest.update(f"{file.name} {found.st_size} {found.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    @property
    def groups(self) -> range:
        """Nothing is known of what images have in common: each is a group of its own."""
        return range(len(self.files))

    def draw(self, indices: Sequence[int], chance: random.Random | None) -> torch.Tensor:
        """(n, 3, side, side) uint8: cut and turned by chance, or from the middle."""
        return torch.stack([self._tile(self._read(index), chance) for index in indices])

    def _tile(self, image: NDArray[np.uint8], chance: random.Random | None) -> torch.Tensor:
        y, x = (
            chance.randint(0, n - self._side) if chance else round((n - self._side) / 2)
            for n in image.shape[:2]
        )
        cut = image[y : y + self._side, x : x + self._side]
        tile = torch.from_numpy(cut.copy()).permute(2, 0, 1)  # Pillow's pixels are read-only
        return turned(tile, chance)

    def _reread(self, index: int) -> NDArray[np.uint8]:
        path = self.files[index]
        image = read_picture(path)
        if self._shorter_side is not None:
            image = _resized(image, self._shorter_side)
        if self._scale != 1:
            height, width = (max(1, round(n / self._scale)) for n in image.shape[:2])
            by = FILTERS.get(self._resampling, Image.Resampling.BOX)
            image = np.asarray(Image.fromarray(image).resize((width, height), by))
        missing = [max(0, self._side - n) for n in image.shape[:2]]
        if any(missing):
            if min(image.shape[:2]) * 4 < self._side:
                raise SlideError(
                    f"{path.name}: {image.shape[1]} x {image.shape[0]} px at the model's "
                    f"resolution is too little for tiles of {self._side} px"
                )
            self.completed.add(index)
            rims = [(m // 2, m - m // 2) for m in missing]
            image = np.pad(image, (*rims, (0, 0)), mode="symmetric")
        return image


def _resized(image: NDArray[np.uint8], shorter_side: int) -> NDArray[np.uint8]:
    # The longer side is cut off, not rounded: so torchvision has it.
    shorter = min(image.shape[:2])
    height, width = (int(shorter_side * n / shorter) for n in image.shape[:2])
    picture = Image.fromarray(image)
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
