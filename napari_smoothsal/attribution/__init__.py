"""How saliency is computed at a layer: one file per family of methods."""

from napari_smoothsal.attribution import gradient  # noqa: F401 - registers its methods
from napari_smoothsal.attribution.base import METHODS, Method
from napari_smoothsal.attribution.explainer import BatchMaps, Explainer, SpecMaps, Stopped
from napari_smoothsal.attribution.reduction import reduce_channels
from napari_smoothsal.attribution.tiles import TileMaps, explain_tiles

__all__ = [
    "METHODS",
    "BatchMaps",
    "Explainer",
    "Method",
    "SpecMaps",
    "Stopped",
    "TileMaps",
    "explain_tiles",
    "reduce_channels",
]
