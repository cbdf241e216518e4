"""Pictures of made-up H&E-stained tissue, of two dyes and nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HAEMATOXYLIN, EOSIN = (np.array(v) for v in ((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581)))
"""Natural optical densities in red, green and blue (Macenko et al. 2009)."""
GLASS = 240


def tissue(side: int, diameter_px: float, seed: int = 0, strength=(1.0, 1.0)) -> NDArray[np.uint8]:
    """(side, side, 3): discs of haematoxylin on eosin that varies and, in a corner, glass.

    ``strength`` multiplies the concentrations of the two dyes.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    haematoxylin = np.full((side, side), 0.03)
    step = 1.7 * diameter_px
    for cy in np.arange(step / 2, side, step):
        for cx in np.arange(step / 2, side, step):
            dy, dx = rng.uniform(-0.15, 0.15, 2) * diameter_px
            edge = np.clip(diameter_px / 2 - np.hypot(y - cy - dy, x - cx - dx) + 0.5, 0, 1)
            haematoxylin = np.maximum(haematoxylin, rng.uniform(0.9, 1.5) * edge)
    eosin = 0.95 + 0.2 * np.sin(x / 31) * np.cos(y / 23) + rng.normal(0, 0.02, (side, side))
    shown = np.hypot(y, x) > side / 6
    density = shown[..., None] * (
        strength[0] * haematoxylin[..., None] * HAEMATOXYLIN
        + strength[1] * eosin[..., None] * EOSIN
    )
    return np.clip(np.round(GLASS * np.exp(-density) - 1), 0, 255).astype(np.uint8)
