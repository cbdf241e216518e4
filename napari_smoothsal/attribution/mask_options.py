"""What every method that optimises a mask can be told."""

from __future__ import annotations

from pydantic import Field

from napari_smoothsal.attribution.background import NUCLEI_INPAINTED
from napari_smoothsal.attribution.base import MethodOptions
from napari_smoothsal.attribution.fills import Fill, fill_field


class MaskOptions(MethodOptions):
    """The mask and what shows where it hides the tile."""

    mask_px: int = Field(
        28,
        ge=1,
        description="Cells of the mask along each side of the tile, at most its px: more show "
        "finer structures, fewer are smoother.",
    )
    iterations: int = Field(20, ge=1, description="How many steps the mask takes.")
    fill: Fill = fill_field("blurred", NUCLEI_INPAINTED)
