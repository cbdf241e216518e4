"""The layers of a trial: the pixels that stand in the place of others, and maps of both views."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from napari_smoothsal.viewer.map_layer import is_map, map_layer_options
from napari_smoothsal.viewer.map_picture import MapPicture
from napari_smoothsal.viewer.prediction_layer import is_predictions_of
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.slide_source import METADATA
from napari_smoothsal.viewer.stored_pixels import StoredPixels
from napari_smoothsal.viewer.told_of_trials import Tried

PART = "what if"


def replaced_layer(viewer: Any, slide: ExplainedSlide, tried: Tried, name: str) -> Any:
    """Add the replaced pixels, right above their slide; the others are transparent."""
    pixels = np.load(tried.path, allow_pickle=False)
    of = str(slide.layer.unique_id)
    layer = _added(
        viewer,
        pixels,
        rgb=True,
        name=name,
        interpolation2d="nearest",
        # With the maps of its slide it goes when another one comes, or all are taken off.
        metadata={METADATA: {"beside a map": True, "key": {"part": PART, "of": of}}},
        **slide.placement(tried),
    )
    if slide.layer in viewer.layers:
        viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(slide.layer) + 1)
    return layer


def trial_map_layer(viewer: Any, slide: ExplainedSlide, picture: MapPicture, name: str) -> Any:
    """Add a map of a trial. All of it is in memory: its store goes with the question."""
    pixels = StoredPixels(picture, whole=True)
    options = map_layer_options(picture, f"{name}: map", pixels.multiscale)
    own = options["metadata"][METADATA]
    own["pixels"] = pixels
    layer = _added(viewer, pixels.data, **(options | slide.placement(picture)))
    # Not before: without a key it is shown at once as all maps are, and with it the next map of
    # this slide takes its place.
    of = str(slide.layer.unique_id)
    layer.metadata[METADATA]["key"] = {
        "map": picture.key,
        "part": PART,
        "of": of,
        "model": picture.model,
    }
    return layer


def show_only(viewer: Any, layers: Collection[Any], slide: ExplainedSlide) -> None:
    """Show these layers of trials, and no other map nor replaced pixels of their slide.

    What somebody has taken out of the viewer meanwhile is put back.
    """
    of = str(slide.layer.unique_id)
    # First: hiding them brings back the maps that they had taken the place of.
    for layer in [x for x in viewer.layers if is_predictions_of(x, of)]:
        layer.visible = False
    for layer in viewer.layers:
        if (is_map(layer) or is_replaced(layer, of)) and layer not in layers:
            layer.visible = False
    active = viewer.layers.selection.active
    for layer in layers:
        if layer not in viewer.layers:
            viewer.layers.append(layer)
        layer.visible = True
    viewer.layers.selection.active = active


def remove(viewer: Any, layers: Collection[Any]) -> None:
    """Take layers of trials away, where they are still there."""
    for layer in layers:
        if layer in viewer.layers:
            viewer.layers.remove(layer)


def is_replaced(layer: Any, of: str) -> bool:
    """Whether it shows the replaced pixels of a slide, given by its layer's id."""
    own = layer.metadata.get(METADATA)
    return isinstance(own, dict) and own.get("key") == {"part": PART, "of": of}


def _added(viewer: Any, data: Any, **options: Any) -> Any:
    """Add an image; whoever draws goes on in the layer that is active."""
    active = viewer.layers.selection.active
    layer = viewer.add_image(data, **options)
    viewer.layers.selection.active = active
    return layer
