"""Chance level: how alike maps are that have nothing to do with each other, but are as smooth.

The smoother two maps are, the more they look alike by themselves: a blur alone would pass for
insensitivity to the model's parameters. So each map is also compared with noise that is as smooth
as it and has its very values, only elsewhere.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from napari_smoothsal.denoise.gaussian_blur import blurred, blurred_to, smoothness
from napari_smoothsal.evaluation.map_similarity import Looks, Similarity, similarity

DRAWS = 10


def chance_similarities(looks: Looks, seed: int, draws: int = DRAWS) -> list[Similarity]:
    """Similarities of a map with so many of its `unrelated` ones."""
    return [similarity(looks, other) for other in unrelated(looks.values, seed, draws)]


def unrelated(
    values: NDArray[np.floating], seed: int, draws: int = DRAWS
) -> list[NDArray[np.float64]]:
    """Noise as smooth as a map, with its values.

    Parameters
    ----------
    values
        (h, w).
    seed, draws
        Of the noise, and how many.

    Returns
    -------
    list
        (h, w) each; none of a map that is constant or not finite. Normal noise is blurred to the
        total variation that the map has once its ranks are normal scores, so that a few large
        values do not pass for roughness; it then gets the map's values in the order of its own.
        A map rougher than white noise, as a checkerboard is, is compared with white noise.
    """
    if not np.isfinite(values).all() or np.ptp(values) == 0:
        return []
    shape = (1, 1, *values.shape)
    scores = norm.ppf((rankdata(values) - 0.5) / values.size).reshape(shape)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((draws, *shape[1:]), generator=generator, dtype=torch.float64)
    _, sigma = blurred_to(noise[:1], smoothness(torch.from_numpy(scores)))
    smooth = blurred(noise, float(sigma[0])) if sigma[0] > 0 else noise
    ordered = np.sort(values, axis=None).astype(np.float64)
    return [ordered[_places(drawn)].reshape(values.shape) for drawn in smooth.numpy()]


def _places(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) place of each value in their order."""
    return np.asarray(values.ravel().argsort().argsort())
