"""What a changed part of a view shows: one registered entry per file."""
# ruff: noqa: F401, I001 - they register, in the order in which lists show them

from napari_smoothsal.attribution.region_fills import tissue_mean
from napari_smoothsal.attribution.region_fills import blurred
from napari_smoothsal.attribution.region_fills import inpainted
from napari_smoothsal.attribution.region_fills.base import REGION_FILLS, RegionFill

__all__ = ["REGION_FILLS", "RegionFill"]
