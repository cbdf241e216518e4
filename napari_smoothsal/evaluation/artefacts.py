"""Where a tile shows what is not tissue: ink, print, lines, a blurred rim, a cast, blocks of JPEG.

Rules of thumb on pixels, without training; each is made for what no stained tissue does. They
say what *is* there; whether a model looks at it is for its maps to say (`culprit`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_smoothsal.core.registry import Registry

Colours = NDArray[np.float32]
"""(H, W, 3), 0 to 255."""

BLOCK_PX = 8
"""Side of JPEG's blocks."""

_INK_DENSITY = 0.25
_CAST_DENSITY, _LEAST_STAINED = 0.02, 0.95
_BLACK, _GREY = 60.0, 14.0
_LINE, _LINE_REACH, _LINE_ROWS = 3.0, 4, 0.8
_RIM, _RIM_SHARPNESS = 0.125, 0.5
_LEAST_SHARPNESS = 1.5
_BLOCKINESS = 1.15


@dataclass(frozen=True)
class Artefact:
    """Something that is not tissue.

    Attributes
    ----------
    name
        Of it.
    title
        What it is, in plain words.
    find
        From a tile's colours to where it shows it, bool (H, W): all or nothing of what is
        everywhere in a tile.
    local
        Whether it is at a place. What is not, a cast or JPEG, is in all of a tile.
    """

    name: str
    title: str
    find: Callable[[Colours], NDArray[np.bool_]]
    local: bool = True


ARTEFACTS: Registry[Artefact] = Registry("artefact")


def found_in(images: torch.Tensor) -> NDArray[np.bool_]:
    """Where tiles show each of the `ARTEFACTS`.

    Parameters
    ----------
    images
        (n, 3, H, W) uint8.

    Returns
    -------
    numpy.ndarray
        (n, artefacts, H, W), in the order of the registry.
    """
    tiles = images.movedim(1, -1).numpy().astype(np.float32)
    return np.stack([[ARTEFACTS[name].find(tile) for name in ARTEFACTS] for tile in tiles])


def _foreign(colours: Colours) -> NDArray[np.float32]:
    """(H, W) optical density of red or blue beyond that of green.

    Haematoxylin and eosin, of any laboratory, absorb green the most: no mixture of them is above
    zero (Ruifrok and Johnston 2001). Blue, green, yellow and brown are.
    """
    smooth = ndimage.uniform_filter(colours, (3, 3, 1), mode="nearest")
    density = -np.log10((smooth + 1) / 256)
    foreign = np.maximum(density[..., 0], density[..., 2]) - density[..., 1]
    return np.asarray(foreign, np.float32)


def _ink(colours: Colours) -> NDArray[np.bool_]:
    marked = _foreign(colours) > _INK_DENSITY
    return np.asarray(ndimage.binary_dilation(ndimage.binary_opening(marked)))


def _tint(colours: Colours) -> NDArray[np.bool_]:
    # Where tissue absorbs least, what remains is the colour of the light.
    green = ndimage.uniform_filter(colours[..., 1], 3, mode="nearest")
    light = green >= np.quantile(green, _LEAST_STAINED)
    cast = float(np.median(_foreign(colours)[light])) > _CAST_DENSITY
    return np.full(colours.shape[:2], cast)


def _text(colours: Colours) -> NDArray[np.bool_]:
    highest, lowest = colours.max(-1), colours.min(-1)
    return np.asarray(ndimage.binary_dilation((highest < _BLACK) & (highest - lowest < _GREY)))


def _stripe(colours: Colours) -> NDArray[np.bool_]:
    grey = colours.mean(-1)
    return _upright_lines(grey) | _upright_lines(grey.T).T


def _upright_lines(grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    # A line is where all rows step alike; tissue steps here and there.
    beside = ndimage.median_filter(grey, (1, 2 * _LINE_REACH + 1), mode="nearest")
    low, high = np.quantile(grey - beside, (1 - _LINE_ROWS, _LINE_ROWS), axis=0)
    line = ndimage.binary_dilation(np.maximum(low, -high) > _LINE)
    return np.broadcast_to(line, grey.shape)


def _blurred_rim(colours: Colours) -> NDArray[np.bool_]:
    grey = colours.mean(-1)
    detail = np.abs(grey - ndimage.uniform_filter(grey, 3, mode="nearest"))
    depth = max(2, round(_RIM * min(grey.shape)))
    inside = detail[depth:-depth, depth:-depth].mean()
    rim = np.ones(grey.shape, np.bool_)
    rim[depth:-depth, depth:-depth] = False
    blurred = inside > _LEAST_SHARPNESS and detail[rim].mean() < _RIM_SHARPNESS * inside
    return np.asarray(rim & blurred)


def _compression(colours: Colours) -> NDArray[np.bool_]:
    grey = colours.mean(-1)
    blocky = all(
        _blockiness(np.abs(np.diff(grey, axis=axis)), axis) > _BLOCKINESS for axis in (0, 1)
    )
    return np.full(grey.shape, blocky)


def _blockiness(steps: NDArray[np.float32], axis: int) -> float:
    """Mean step across the borders of blocks, of the mean step: of the grid that fits best."""
    course = np.minimum(steps, np.quantile(steps, 0.9)).mean(1 - axis)
    whole = len(course) // BLOCK_PX * BLOCK_PX
    by_phase = course[:whole].reshape(-1, BLOCK_PX).mean(0)
    return float(by_phase.max() / max(np.median(by_phase), 1e-3))


for _entry in (
    Artefact("ink", "ink of a pen", _ink),
    Artefact("blurred_rim", "a rim that is out of focus", _blurred_rim),
    Artefact("tint", "a cast that no dye of the tissue has", _tint, local=False),
    Artefact("text", "print, or black ink", _text),
    Artefact("stripe", "a line of the scanner", _stripe),
    Artefact("compression", "blocks of JPEG", _compression, local=False),
):
    ARTEFACTS.register(_entry)
