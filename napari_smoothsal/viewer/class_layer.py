"""The class map as a labels layer: outlines of what the model takes for which class."""

from __future__ import annotations

from typing import Any

import pandas as pd

from napari_smoothsal.viewer.map_picture import ClassPicture
from napari_smoothsal.viewer.placement import Pair, Part, placement_on
from napari_smoothsal.viewer.slide_source import METADATA
from napari_smoothsal.viewer.stored_pixels import StoredPixels

OUTLINE_PX = 2
"""Outlines, so that tissue and saliency stay visible inside; 0 in the layer's controls fills."""
OPACITY, FILLED_OPACITY = 0.8, 0.35
SET_ASIDE = "set aside"
"""Marks a class map that was hidden because of another model's map, not by the user."""


def class_layer_options(picture: ClassPicture, name: str, multiscale: bool) -> dict[str, Any]:
    """Options of the layer except its placement."""
    from napari.utils.colormaps import DirectLabelColormap

    colours: dict[int | None, Any] = {0: (0, 0, 0, 0), None: (0, 0, 0, 0)}
    for label, outcome in enumerate(picture.outcomes, start=1):
        colours[label] = picture.shown.get(outcome, (0, 0, 0, 0))
    labels = range(len(picture.outcomes) + 1)
    return {
        "name": name,
        "multiscale": multiscale,
        "colormap": DirectLabelColormap(color_dict=colours),
        "opacity": OPACITY,
        # The status bar then names the class under the pointer.
        "features": pd.DataFrame(
            {"index": list(labels), "class": ["not computed", *picture.outcomes]}
        ),
        "metadata": {METADATA: {"classes": list(picture.outcomes)}},
    }


def finish_class_layer(layer: Any) -> None:
    """What a layer cannot be created with."""
    layer.contour, layer.opacity = OUTLINE_PX, OPACITY
    layer.editable = False


class ClassOverlay:
    """The class map of one request, as a layer over the layer it explains.

    Explaining again updates the same layer and leaves alone how the user shows it.

    Parameters
    ----------
    viewer
        Where it is shown.
    slide_layer
        The layer that is explained.
    mpp
        (y, x) micrometres per level-0 px with which it is.
    part
        Of what it is the class map.
    """

    def __init__(self, viewer: Any, slide_layer: Any, mpp: Pair, *, part: Part) -> None:
        self._viewer = viewer
        self._slide_layer = slide_layer
        self._mpp = mpp
        self._part = part
        self._pixels: StoredPixels | None = None
        self._layer: Any = None

    @property
    def shown(self) -> bool:
        """Whether `show` was called."""
        return self._pixels is not None

    def show(self, picture: ClassPicture) -> None:
        """Add the layer, or bring it up to date with what the store holds now."""
        if self._layer is not None and self._layer not in self._viewer.layers:
            return  # the user has deleted it
        if self._pixels is None or not self._pixels.shows(picture):
            self._pixels = StoredPixels(picture, whole=self._part == "view")
            self._layer = self._placed(picture, self._pixels)
        else:
            self._pixels.reload()
            self._layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _placed(self, picture: ClassPicture, pixels: StoredPixels) -> Any:
        identity = {
            "of": str(self._slide_layer.unique_id),
            "part": self._part,
            "classes": list(picture.outcomes),
        }
        name = f"classes of {self._slide_layer.name}"
        if self._part != "slide":
            name += f" ({self._part})"
        options = class_layer_options(picture, name, pixels.multiscale)
        options["metadata"][METADATA] = identity
        old = next((x for x in self._viewer.layers if _is_of(x, identity)), None)
        active = self._viewer.layers.selection.active
        # On top: outlines hide nothing of the saliency map, which would hide them.
        layer = self._viewer.add_labels(
            pixels.data, **options, **placement_on(self._slide_layer, picture, self._mpp)
        )
        finish_class_layer(layer)
        if old is not None:
            for shown_as in ("opacity", "contour"):
                setattr(layer, shown_as, getattr(old, shown_as))
            layer.visible = old.visible or SET_ASIDE in old.metadata[METADATA]
            self._viewer.layers.remove(old)
        # The controls stay those of what was looked at: the map.
        if active in self._viewer.layers:
            self._viewer.layers.selection.active = active
        return layer


def is_class_map_of(layer: Any, slide: str) -> bool:
    """Whether a layer is the class map of a slide, given by its layer's id."""
    own = layer.metadata.get(METADATA)
    return isinstance(own, dict) and "classes" in own and own.get("of") == slide


def set_aside(layer: Any) -> None:
    """Hide a class map that does not belong to the map on show."""
    if layer.visible:
        layer.metadata[METADATA][SET_ASIDE] = True
        layer.visible = False


def _is_of(layer: Any, identity: dict[str, Any]) -> bool:
    own = layer.metadata.get(METADATA)
    return isinstance(own, dict) and all(own.get(k) == v for k, v in identity.items())
