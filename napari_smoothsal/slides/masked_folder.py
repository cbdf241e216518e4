"""MaskedFolder: tiles of equal size, cut from images and from their masks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SettingError, SlideError
from napari_smoothsal.slides.labelled import MaskedTile, masked_pairs, picture_size

_KEPT_IMAGES = 8


class _Place(NamedTuple):
    pair: int
    top: int
    left: int


class MaskedFolder:
    """Whole square tiles of images with masks; what is left over at the rims is not looked at.

    Parameters
    ----------
    images, masks
        Folders; see `masked_tiles`. Images are at the model's resolution, of any size.
    largest
        Side of a tile in px, or less: see ``exact``.
    unit
        Where an image is smaller, every tile has the largest multiple of this that fits into the
        smallest image: maps compare only at equal size.
    exact
        Images that are smaller are an error instead.

    Attributes
    ----------
    side
        Of every tile, in px.
    image_count
        How many images there are.

    Raises
    ------
    SlideError
        If a file is missing or unreadable, a mask has another size than its image, or an image is
        smaller than the unit.
    SettingError
        If an image is smaller than an exact side.
    """

    def __init__(
        self, images: Path, masks: Path, largest: int, unit: int = 1, *, exact: bool = False
    ) -> None:
        self._pairs = masked_pairs(images, masks)
        self.image_count = len(self._pairs)
        sizes = [picture_size(pair.image) for pair in self._pairs]
        smallest = min(range(len(sizes)), key=lambda i: min(sizes[i]))
        name, least = self._pairs[smallest].image.name, min(sizes[smallest])
        said = f"{name}: {sizes[smallest][1]} x {sizes[smallest][0]} px"
        if exact and least < largest:
            raise SettingError(
                f"{said} is smaller than a tile of {largest} px; choose smaller tiles or leave the "
                "image out"
            )
        if least < min(unit, largest):
            raise SlideError(
                f"{said} is too little: the model works in steps of {unit} px; leave the image out"
            )
        self.side = largest if least >= largest else least // unit * unit
        self._places = [
            _Place(number, top, left)
            for number, (height, width) in enumerate(sizes)
            for top in _starts(height, self.side)
            for left in _starts(width, self.side)
        ]
        self._sizes = sizes
        self._read = lru_cache(_KEPT_IMAGES)(self._reread)

    def __len__(self) -> int:
        return len(self._places)

    def name(self, index: int) -> str:
        """Base name of a tile's image, and where in it the tile begins if there are several."""
        place = self._places[index]
        name = self._pairs[place.pair].name
        if max(self._sizes[place.pair]) < 2 * self.side:
            return name
        return f"{name} x{place.left} y{place.top}"

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        """(n, 3, side, side) uint8."""
        tiles = [self._cut(self._read(self._places[i].pair).image, i) for i in indices]
        return torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2)

    def mask(self, index: int) -> NDArray[np.integer[Any]]:
        """(side, side): what the mask says of each pixel of a tile."""
        return self._cut(self._read(self._places[index].pair).mask, index)

    def _cut(self, picture: NDArray[Any], index: int) -> NDArray[Any]:
        _, top, left = self._places[index]
        return picture[top : top + self.side, left : left + self.side]

    def _reread(self, number: int) -> MaskedTile:
        tile = self._pairs[number].read()
        if tile.mask.shape != tile.image.shape[:2]:
            height, width = tile.mask.shape
            raise SlideError(
                f"{self._pairs[number].mask.name}: the mask has {width} x {height} px, its image "
                f"{tile.image.shape[1]} x {tile.image.shape[0]}; they must be of one size"
            )
        return tile


def _starts(length: int, side: int) -> range:
    """Where whole tiles begin, as many as there is room for, in the middle of a length."""
    first = length % side // 2
    return range(first, length - side + 1, side)
