"""What methods can be told that compare a tile with one image."""

from __future__ import annotations

from pydantic import Field, field_validator

from napari_smoothsal.attribution.base import MethodOptions
from napari_smoothsal.attribution.baselines import CUSTOM, NORMAL_TISSUE, baseline_of


class OneBaselineOptions(MethodOptions):
    """Options of a method with one baseline for each tile."""

    baseline: str = Field(
        "zero",
        description="What a tile is compared with: `zero` (after normalisation: the mean colour), "
        "`black`, `white`, `tissue_mean`, `blurred`, a colour as `#rrggbb`, or `custom`: images "
        "given to explain_tiles.",
    )

    @field_validator("baseline")
    @classmethod
    def _there_is_one(cls, value: str) -> str:
        if value == NORMAL_TISSUE:
            raise ValueError("many tiles are no one baseline; choose method 'gradient_shap' for it")
        if value != CUSTOM:
            baseline_of(value, "baseline", CUSTOM)
        return value
