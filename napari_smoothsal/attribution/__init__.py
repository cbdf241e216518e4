"""How saliency is computed at a layer; the methods themselves are in `methods`."""

from napari_smoothsal.attribution import methods  # noqa: F401 - they register
from napari_smoothsal.attribution.base import METHODS, Method
from napari_smoothsal.attribution.batch_maps import BatchMaps, SpecMaps
from napari_smoothsal.attribution.explainer import Explainer
from napari_smoothsal.attribution.explanation import Explanation
from napari_smoothsal.attribution.full_colour import normal_magnitudes
from napari_smoothsal.attribution.network import Networks
from napari_smoothsal.attribution.optimised_masks import OptimisedMasks, optimise_masks
from napari_smoothsal.attribution.reduction import reduce_channels
from napari_smoothsal.attribution.tiles import TileMaps, explain_tiles
from napari_smoothsal.attribution.walker import Stopped

__all__ = [
    "METHODS",
    "BatchMaps",
    "Explainer",
    "Explanation",
    "Method",
    "Networks",
    "OptimisedMasks",
    "SpecMaps",
    "Stopped",
    "TileMaps",
    "explain_tiles",
    "normal_magnitudes",
    "optimise_masks",
    "reduce_channels",
]
