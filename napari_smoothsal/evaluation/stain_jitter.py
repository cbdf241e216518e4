"""The same tissue with more or less of its dyes.

Colours are taken apart into haematoxylin, eosin and a rest by the standard vectors of Ruifrok and
Johnston (2001), the dyes scaled, and put together again. ``skimage.color.rgb2hed`` clips what lies
beside the vectors, so that even amounts left as they are would change the picture; this does not.
"""

from __future__ import annotations

import numpy as np
import torch
from skimage.color import hed_from_rgb, rgb_from_hed

_LEAST = 1.0
"""Colour that counts as black: its logarithm is finite."""


def stained(images: torch.Tensor, haematoxylin: float, eosin: float) -> torch.Tensor:
    """Scale the amounts of both dyes.

    Parameters
    ----------
    images
        (n, 3, H, W) uint8.
    haematoxylin, eosin
        Factors; with 1 and 1 the images come back as they are.
    """
    colours = images.movedim(1, -1).numpy().astype(np.float64)
    density = -np.log(np.maximum(colours, _LEAST) / 255)
    amounts = density @ hed_from_rgb
    change = amounts * (np.array([haematoxylin, eosin, 1.0]) - 1) @ rgb_from_hed
    changed = colours * np.exp(-change)
    result = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    return torch.from_numpy(result).movedim(-1, 1).contiguous()
