"""How strongly tissue is stained, measured on tiles: what a card's ``stain_range`` is about."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2hed

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.stain import Stain, StainRange

LEAST_TISSUE = 0.05
"""Share of a tile that has to be tissue for it to be measured."""

LEAST_TILES = 20
"""Of fewer, the 2.5th and the 97.5th percentile are not known."""

DECADIC = 6.0
"""Optical density of a value of 1 of skimage's ``rgb2hed``, which divides by the log of 1e-6."""

_GLASS = 0.8
_DARK = 0.2
"""Of 255: tissue takes a fifth of the light of some colour, and lets some of another through (what
does not is ink or a black border)."""

_SPREAD = (2.5, 97.5)
_MARGIN = 0.1


def stain_of(tile: NDArray[np.uint8]) -> Stain | None:
    """The mean optical densities over a tile's tissue; None where it has next to none.

    Parameters
    ----------
    tile
        (H, W, 3) uint8.
    """
    tissue = (tile.min(axis=2) < 255 * _GLASS) & (tile.max(axis=2) > 255 * _DARK)
    if tissue.mean() < LEAST_TISSUE:
        return None
    haematoxylin, eosin, residual = rgb2hed(tile[tissue][None])[0].mean(axis=0) * DECADIC
    return Stain(float(haematoxylin), float(eosin), float(residual))


def measured_stain(tiles: Iterable[NDArray[np.uint8]]) -> Stain | None:
    """The median over tiles of each density; None where none of them has tissue.

    Parameters
    ----------
    tiles
        (H, W, 3) uint8 each.
    """
    found = [stain for tile in tiles if (stain := stain_of(tile)) is not None]
    return Stain(*map(float, np.median(found, axis=0))) if found else None


def stain_range_of(tiles: Iterable[NDArray[np.uint8]]) -> StainRange:
    """A card's ``stain_range``, of tiles that a model was trained or validated on.

    Between the 2.5th and the 97.5th percentile of single tiles, with a tenth of the distance on
    both sides: the median of a slide of the same kind lies well within.

    Parameters
    ----------
    tiles
        (H, W, 3) uint8 each, as they were scanned; from as many slides as there are.

    Raises
    ------
    SettingError
        If fewer than `LEAST_TILES` have tissue.
    """
    found = [stain for tile in tiles if (stain := stain_of(tile)) is not None]
    if len(found) < LEAST_TILES:
        raise SettingError(
            f"{len(found)} tiles with tissue say little about the stain of slides; give at least "
            f"{LEAST_TILES}, of as many slides as there are"
        )
    low, high = np.percentile(found, _SPREAD, axis=0)
    spare = _MARGIN * (high - low)
    ranges = {
        name: (round(float(a), 4), round(float(b), 4))
        for name, a, b in zip(Stain._fields, low - spare, high + spare, strict=True)
    }
    return StainRange(**ranges)
