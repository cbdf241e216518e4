"""``integrated_gradients``: gradients added up from a baseline to the tile."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from napari_smoothsal.attribution.base import METHODS, PathMethod, Steps
from napari_smoothsal.attribution.methods.one_baseline import OneBaselineOptions


class IntegratedGradientsOptions(OneBaselineOptions):
    """What integrated gradients can be told."""

    steps: int = Field(
        16,
        ge=1,
        le=1000,
        description="Gradients on the way, of each noise sample. Without a denoising, the "
        "convergence delta tells whether they were enough.",
    )
    path: Literal["layer", "input"] = Field(
        "layer",
        description="Whether the way goes straight through outputs of the `layer`, or straight "
        "through images at the `input`, whose every step the layer follows (conductance); both "
        "add up to the score less the baseline's.",
    )


def _steps(options: IntegratedGradientsOptions, _seed: int, _baselines: int) -> Steps:
    if _through_images(options):
        shares = torch.linspace(0, 1, _count(options), dtype=torch.float64)
        weights = torch.full_like(shares, 1 / len(shares))
    else:
        # Gauss's points: of smooth integrands they need the fewest.
        points, halves = np.polynomial.legendre.leggauss(options.steps)
        shares, weights = torch.from_numpy((points + 1) / 2), torch.from_numpy(halves / 2)
    return Steps(shares, weights, torch.zeros(len(shares), dtype=torch.int64))


def _through_images(options: IntegratedGradientsOptions) -> bool:
    return options.path == "input"


def _count(options: IntegratedGradientsOptions) -> int:
    return options.steps + 1 if _through_images(options) else options.steps


INTEGRATED_GRADIENTS = METHODS.register(
    PathMethod(
        name="integrated_gradients",
        title="Integrated gradients: what the layer contributes on the way from a baseline",
        positive="supports",
        negative="speaks against",
        options=IntegratedGradientsOptions,
        count=_count,
        steps=_steps,
        in_the_image=_through_images,
    )
)
"""(a - a0) * mean of d target / d a over the straight way from a0 to a (Sundararajan et al. 2017);
in the space of images, at a hidden layer, conductance (Dhamdhere et al. 2018)."""
