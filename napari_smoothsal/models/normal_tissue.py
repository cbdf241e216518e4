"""Tiles of normal tissue beside a model: what the colours of its maps are measured against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError

FOLDER = "normal"
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MOST_TILES = 8
MOST_PX = 80_000_000
"""Fewer than Pillow itself warns of."""


def load_normal_tissue(folder: Path, card: ModelCard) -> NDArray[np.uint8] | None:
    """The first tiles of a model folder's ``normal`` folder, by name; None where it has none.

    Parameters
    ----------
    folder
        With ``normal/*.png``, ``*.jpg`` or ``*.tif``: RGB pictures at the model's resolution.
    card
        The model's.

    Returns
    -------
    numpy.ndarray or None
        uint8 (n, input_size, input_size, 3), the middle of each picture.

    Raises
    ------
    ModelError
        If a picture cannot be read or is smaller than a tile.
    """
    found = sorted(p for p in (folder / FOLDER).glob("*") if p.suffix.lower() in SUFFIXES)
    tiles = [_middle(path, card) for path in found[:MOST_TILES]]
    return np.stack(tiles) if tiles else None


def _middle(path: Path, card: ModelCard) -> NDArray[np.uint8]:
    side, name = card.input_size, f"model {card.name!r}: {FOLDER}/{path.name}"
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PX:
                raise ModelError(f"{name} has {picture.width} x {picture.height} px: too many")
            pixels = np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise ModelError(f"{name} cannot be read as a picture: {error}") from error
    top, left = ((size - side) // 2 for size in pixels.shape[:2])
    if top < 0 or left < 0:
        raise ModelError(
            f"{name} has {pixels.shape[1]} x {pixels.shape[0]} px; a tile of this model has {side}"
        )
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])
