"""Artefacts on tiles: what a scanner, a pen or a file format leaves, and a network may learn.

Each is drawn onto a finished tile at random, and shows nothing of the tissue's class: where one
goes with a class all the same, it is a shortcut (`shortcuts`, and ``benchmarks/shortcut.py``).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Tile = NDArray[np.uint8]
"""(H, W, 3)."""

BLOCK_PX = 8
"""JPEG's blocks; they begin at the tile's corner."""

_PENS = ((25, 70, 190), (20, 125, 70), (15, 95, 130))
_LETTERS = "ABEHKLNRTX"
_CAST = (0.84, 1.0, 0.90)
_LINE = (25, 80, 25)


def ink(tile: Tile, rng: np.random.Generator) -> Tile:
    """A stroke of a blue or green pen, from one place of the border to the inside."""
    side = len(tile)
    canvas = Image.new("L", (4 * side, 4 * side), 0)
    start = rng.uniform(0, side, 2)
    start[rng.integers(2)] = rng.choice((0, side))
    end = rng.uniform(0.25, 0.75, 2) * side
    bend = (start + end) / 2 + rng.normal(0, side / 8, 2)
    t = np.linspace(0, 1, 32)[:, None]
    course = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    width = int(4 * rng.uniform(0.05, 0.09) * side)
    line = [(float(4 * x), float(4 * y)) for y, x in course]
    ImageDraw.Draw(canvas).line(line, fill=255, width=width, joint="curve")
    cover = np.asarray(canvas.resize((side, side), Image.Resampling.BOX), np.float32) / 255
    pen = np.asarray(_PENS[rng.integers(len(_PENS))], np.float32) / 255
    # Ink lets light through: what lies below it stays visible.
    seen = tile * (pen * rng.uniform(0.9, 1.1)) ** rng.uniform(0.7, 1.0)
    return _uint8(tile + cover[..., None] * (seen - tile))


def blurred_rim(tile: Tile, rng: np.random.Generator) -> Tile:
    """Out of focus along its border, sharp in the middle."""
    side = len(tile)
    rim = rng.uniform(0.13, 0.17) * side
    position = np.minimum(np.arange(side), np.arange(side)[::-1])
    depth = np.minimum(position[:, None], position[None, :])
    share = np.clip((rim - depth) / 3 + 0.5, 0, 1)[..., None]
    soft = ndimage.gaussian_filter(tile.astype(np.float32), (3.0, 3.0, 0), mode="nearest")
    return _uint8(tile + share * (soft - tile))


def tint(tile: Tile, rng: np.random.Generator) -> Tile:
    """A greenish cast, of a lamp or a white balance that is off."""
    return _uint8(tile * np.asarray(_CAST) ** rng.uniform(0.85, 1.15))


def compression(tile: Tile, rng: np.random.Generator) -> Tile:
    """JPEG of a low quality."""
    file = io.BytesIO()
    Image.fromarray(tile).save(file, "JPEG", quality=int(rng.integers(10, 19)))
    return np.asarray(Image.open(file))


def text(tile: Tile, rng: np.random.Generator) -> Tile:
    """Two printed letters."""
    picture = Image.fromarray(tile)
    font = ImageFont.load_default(size=rng.uniform(0.16, 0.22) * len(tile))
    letters = "".join(rng.choice(list(_LETTERS), 2))
    left, top, right, bottom = font.getbbox(letters)
    x, y = (rng.uniform(2, len(tile) - extent - 2) for extent in (right - left, bottom - top))
    grey = int(rng.integers(5, 35))
    ImageDraw.Draw(picture).text((x - left, y - top), letters, (grey, grey, grey), font)
    return np.asarray(picture)


def stripe(tile: Tile, rng: np.random.Generator) -> Tile:
    """A line of the sensor, top to bottom, that sees too little green."""
    column, width = int(rng.integers(4, tile.shape[1] - 7)), int(rng.integers(2, 4))
    result = tile.astype(np.float32)
    result[:, column : column + width] -= rng.uniform(0.8, 1.2) * np.asarray(_LINE, np.float32)
    return _uint8(result)


ARTEFACTS: MappingProxyType[str, Callable[[Tile, np.random.Generator], Tile]] = MappingProxyType(
    {
        "ink": ink,
        "blurred_rim": blurred_rim,
        "tint": tint,
        "text": text,
        "stripe": stripe,
        "compression": compression,
    }
)
"""By name, in the order in which they come about: what is in the picture is compressed last."""


def drawn(tile: Tile, names: set[str], rng: np.random.Generator) -> Tile:
    """A tile with some of the `ARTEFACTS`."""
    for name, draw in ARTEFACTS.items():
        if name in names:
            tile = draw(tile, rng)
    return tile


def _uint8(values: NDArray[np.floating]) -> Tile:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
