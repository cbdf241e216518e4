"""SlideOnShow: the slide that annotations, verdicts and shared views of a viewer belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.viewer.field_of_view import layer_size
from napari_smoothsal.viewer.placement import Pair, resolution_of
from napari_smoothsal.viewer.requests import ExplainedSlide, StoredSlide
from napari_smoothsal.viewer.slide_source import METADATA, RUN, layer_of_size, source_of


@dataclass(frozen=True)
class Level0:
    """The grid of level 0, placed in micrometres as a picture is."""

    scale_um: Pair
    translate_um: Pair = (0.0, 0.0)


def slide_on_show(viewer: Any) -> ExplainedSlide | None:
    """The chosen slide, else the topmost one, else that of the topmost store; None without any.

    A layer that does not say how many micrometres a pixel has counts as one of 1 um: what is marked
    is placed by pixels.
    """
    active = viewer.layers.selection.active
    layers = [x for x in (active, *reversed(viewer.layers)) if x is not None]
    for layer in layers:
        if _is_slide(layer):
            source = source_of(layer)
            size = source.size if source is not None else layer_size(layer)
            return ExplainedSlide(layer, resolution_of(layer) or (1.0, 1.0), size)
    for layer in layers:
        run = run_of(layer)
        if run is not None:
            return slide_of(run, layer, viewer)
    return None


def slide_of(run: Any, layer: Any, viewer: Any) -> ExplainedSlide:
    """The slide of a run: its layer, where it is open, else the place of the run's own map."""
    known = run.provenance["slide"]
    size = (known["height"], known["width"])
    slide = layer_of_size(size, viewer.layers)
    if slide is not None:
        return ExplainedSlide(slide, run.mpp, size)
    return StoredSlide(layer, run.mpp, size)


def run_of(layer: Any) -> Any | None:
    """The run that a layer was read from; None of another layer."""
    own = layer.metadata.get(METADATA)
    return own.get(RUN) if isinstance(own, dict) else None


def level0_placement(slide: ExplainedSlide) -> dict[str, Any]:
    """Options of a layer whose coordinates are those of the centres of level-0 px."""
    return slide.placement(Level0(slide.mpp))


def pixels_at(slide: ExplainedSlide, world: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) world coordinates (y, x) as level-0 px (x, y), whole numbers on edges of pixels."""
    if isinstance(slide, StoredSlide):
        data = world / slide.mpp
    else:
        data = _through(slide.layer.world_to_data, world)
    return data[:, ::-1] + 0.5


def world_of(layer: Any, data: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) coordinates (y, x) of a layer's data in the world."""
    return _through(layer.data_to_world, data)


def _through(convert: Any, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """What napari converts one by one, for many: it is affine."""
    reach = 1e4
    corners = np.array([(0.0, 0.0), (reach, 0.0), (0.0, reach)])
    origin, down, right = (np.asarray(convert(tuple(at)), float)[-2:] for at in corners)
    steps = np.stack([down - origin, right - origin]) / reach
    return np.asarray(origin + places @ steps)


def _is_slide(layer: Any) -> bool:
    if not getattr(layer, "rgb", False) or layer.ndim != 2:
        return False
    return source_of(layer) is not None or METADATA not in layer.metadata
