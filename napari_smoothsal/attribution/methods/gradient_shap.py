"""``gradient_shap``: integrated gradients from many baselines, at random places of the ways."""

from __future__ import annotations

import torch
from pydantic import Field, field_validator

from napari_smoothsal.attribution.base import METHODS, MethodOptions, PathMethod, Steps
from napari_smoothsal.attribution.baselines import CUSTOM, NORMAL_TISSUE, baseline_of


class GradientShapOptions(MethodOptions):
    """What gradient SHAP can be told."""

    baseline: str = Field(
        NORMAL_TISSUE,
        description="What a tile is compared with: `normal_tissue` draws from the tiles that the "
        "model brings, `custom` from the images given to explain_tiles; or one image as for "
        "integrated gradients: `zero`, `black`, `white`, `tissue_mean`, `blurred`, `#rrggbb`.",
    )
    draws: int = Field(
        4,
        ge=1,
        le=1000,
        description="Gradients of each noise sample, each from a baseline and at a place of the "
        "way that are drawn anew.",
    )

    @field_validator("baseline")
    @classmethod
    def _there_is_one(cls, value: str) -> str:
        if value not in (CUSTOM, NORMAL_TISSUE):
            baseline_of(value, "baseline", CUSTOM, NORMAL_TISSUE)
        return value


def _steps(options: GradientShapOptions, seed: int, baselines: int) -> Steps:
    generator = torch.Generator().manual_seed(seed)
    count = options.draws
    return Steps(
        torch.rand(count, generator=generator, dtype=torch.float64),
        torch.full((count,), 1 / count, dtype=torch.float64),
        torch.randint(baselines, (count,), generator=generator),
    )


GRADIENT_SHAP = METHODS.register(
    PathMethod(
        name="gradient_shap",
        title="Expected gradients: what the layer contributes compared with normal tissue",
        positive="supports",
        negative="speaks against",
        options=GradientShapOptions,
        count=lambda options: int(options.draws),
        steps=_steps,
        draws=True,
        pool=lambda options: options.baseline in (CUSTOM, NORMAL_TISSUE),
    )
)
"""Mean of (a - a0) * d target / d a over baselines a0 and places of the way between, drawn at
random (Lundberg & Lee 2017, Erion et al. 2021); adds up in the mean over many draws."""
