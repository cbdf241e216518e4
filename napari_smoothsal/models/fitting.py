"""Tiles of any size through a network that takes multiples of its coarsest stride only.

A U-Net fails, or loses its alignment, where a feature map of odd size is halved and doubled
again. Its tiles are padded to the right and below, and what comes out is cropped back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F

Pair = tuple[float, float]


COMMON_UNIT = 64
"""A multiple of the coarsest stride of the usual encoders."""


def fitting_size(size: int, unit: int) -> int:
    """The smallest multiple of ``unit`` that is at least ``size``."""
    return -(-size // unit) * unit


def padded_to_fit(images: torch.Tensor, unit: int) -> torch.Tensor:
    """Images (B, C, H, W) with sides that are multiples of ``unit``, the rest reflected."""
    for axis in (2, 3):
        missing = fitting_size(images.shape[axis], unit) - images.shape[axis]
        while missing > 0:
            # A reflection reaches as far as the image does, less its border; tiny ones need more.
            step = min(missing, images.shape[axis] - 1)
            mode = "reflect" if step else "replicate"
            step = max(step, 1)
            images = F.pad(images, (0, 0, 0, step) if axis == 2 else (0, step, 0, 0), mode=mode)
            missing -= step
    return images


def kept_pixels(side: int, stride: float, centre: float, size: int) -> int:
    """How many of a padded map's ``side`` pixels are centred on a tile of ``size`` px."""
    return max(1, min(side, math.floor((size - 1 - centre) / stride) + 1))


def cropped_to_tile(
    maps: torch.Tensor, stride: Pair, centre: Pair, size: Sequence[int]
) -> torch.Tensor:
    """The part of maps (..., h, w) of padded tiles that lies on the tiles.

    Parameters
    ----------
    maps
        At a layer of the given ``stride`` and ``centre``, (y, x) in tile px.
    size
        (H, W) of the tiles before they were padded.
    """
    h, w = (kept_pixels(maps.shape[a - 2], stride[a], centre[a], size[a]) for a in (0, 1))
    return maps[..., :h, :w]
