"""The control that a denoising has to beat: the original's map, blurred until it is as smooth."""

from __future__ import annotations

import torch

from napari_smoothsal.denoise.gaussian_blur import blurred
from napari_smoothsal.evaluation.total_variation import total_variation

WIDEST = 64.0
"""Layer px: nothing of a map is left that a wider blur would take."""

_HALVINGS = 16


def blurred_to(maps: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Blur each map until its total variation is what is wanted.

    Parameters
    ----------
    maps
        (B, C, h, w) of the original.
    wanted
        (B,) total variations; a map that is smoother already stays as it is.

    Returns
    -------
    maps, sigma
        (B, C, h, w), and (B,) standard deviations in layer px, 0 where nothing was done.
    """
    result, sigmas = maps.clone(), torch.zeros(len(maps))
    before = total_variation(maps)
    for row in range(len(maps)):
        if before[row] <= wanted[row]:
            continue
        low, high = 0.0, 0.25
        while high < WIDEST and _roughness(maps[row], high) > wanted[row]:
            low, high = high, 2 * high
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if _roughness(maps[row], middle) > wanted[row]:
                low = middle
            else:
                high = middle
        result[row], sigmas[row] = blurred(maps[row : row + 1], high)[0], high
    return result, sigmas


def _roughness(maps: torch.Tensor, sigma: float) -> float:
    return float(total_variation(blurred(maps[None], sigma))[0])
