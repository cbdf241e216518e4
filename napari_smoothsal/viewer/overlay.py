"""Putting maps into a viewer: one layer per slide and map, updated in place."""

from __future__ import annotations

from typing import Any

from napari_smoothsal.runs.tile_states import TileStates
from napari_smoothsal.viewer.class_layer import ClassOverlay, is_class_map_of, set_aside
from napari_smoothsal.viewer.map_layer import (
    apply_limits,
    hide_marks,
    map_layer_options,
    rename,
    told_by,
)
from napari_smoothsal.viewer.map_picture import ClassPicture, MapPicture
from napari_smoothsal.viewer.mark_layers import MarkLayers
from napari_smoothsal.viewer.marked_tiles import marks_of
from napari_smoothsal.viewer.placement import Pair, Part, placement_on
from napari_smoothsal.viewer.prediction_layer import is_predictions_of
from napari_smoothsal.viewer.slide_source import METADATA
from napari_smoothsal.viewer.stored_pixels import StoredPixels
from napari_smoothsal.viewer.tissue_layer import show_tissue
from napari_smoothsal.viewer.told import TissueFound


class Overlay:
    """The map of one request, as a layer over the layer it explains.

    Explaining again with the same settings updates the same layer, and leaves alone what the
    user changed in it. Another map of the slide is hidden when a new one appears: two overlays
    on each other cannot be read.

    Parameters
    ----------
    viewer
        Where it is shown.
    slide_layer
        The layer that is explained.
    mpp
        (y, x) micrometres per level-0 px with which it is.
    part
        Of what it is the map: each part has a layer of its own.
    settings
        With which it is computed; see `mark_stale`.
    """

    def __init__(
        self, viewer: Any, slide_layer: Any, mpp: Pair, *, part: Part, settings: object = None
    ) -> None:
        self._viewer = viewer
        self._settings = settings
        self._slide_layer = slide_layer
        self._mpp = mpp
        self._part = part
        self._pixels: StoredPixels | None = None
        self._picture: MapPicture | None = None
        self._layer: Any = None
        self._classes = ClassOverlay(viewer, slide_layer, mpp, part=part)

    @property
    def layer(self) -> Any:
        """The layer; None before the first `show`."""
        return self._layer

    def show_tissue(self, found: TissueFound) -> None:
        """Outline the tissue that is about to be explained."""
        show_tissue(self._viewer, self._slide_layer, self._mpp, found)

    def show(
        self, picture: MapPicture, classes: ClassPicture | None = None, *, complete: bool = True
    ) -> None:
        """Add the layer, or bring it up to date with what the store holds now.

        Parameters
        ----------
        picture
            The saliency map.
        classes
            The class map beside it, of a model that decides per pixel.
        complete
            Whether nothing is missing; otherwise the layer's name says so.
        """
        if self._layer is not None and self._layer not in self._viewer.layers:
            return  # the user has deleted it
        if self._layer is None or self._pixels is None or not self._pixels.shows(picture):
            self._pixels = StoredPixels(picture, whole=self._part == "view")
            self._layer = self._placed(picture, self._pixels)
        else:
            self._pixels.reload()
        self._picture = picture
        own = _own(self._layer)
        own["shown"] = own.get("shown", 0) + 1
        own |= told_by(picture) | {"complete": complete, "stale": False, "pixels": self._pixels}
        own["settings"] = self._settings
        rename(self._layer)
        apply_limits(self._layer)
        self._layer.refresh(extent=False, thumbnail=complete, highlight=False)
        # What is predicted does not change while a view refines itself.
        if classes is not None and not (self._part == "view" and self._classes.shown):
            self._classes.show(classes)

    def mark(self, states: TileStates) -> None:
        """Hatch the tiles that the model predicts as another class, dot those not explained."""
        if self._layer is None or self._layer not in self._viewer.layers:
            return
        hide_marks(self._layer)
        own, found = _own(self._layer), marks_of(states, self._mpp, self._picture)
        if found:
            if "marks" not in own:
                own["marks"] = MarkLayers(self._viewer, self._layer)
            placed = [(x, placement_on(self._slide_layer, x, self._mpp)) for x in found]
            own["marks"].show(placed)

    def _hide_all(self, maps: list[Any], slide: str) -> None:
        # First: it brings back the maps that it had taken the place of.
        for layer in [x for x in self._viewer.layers if is_predictions_of(x, slide)]:
            layer.visible = False
        for layer in maps:
            layer.visible = False
        # Outlines of what another model takes for which class do not belong to this map.
        for layer in [x for x in self._viewer.layers if is_class_map_of(x, slide)]:
            set_aside(layer)

    def _placed(self, picture: MapPicture, pixels: StoredPixels) -> Any:
        slide = str(self._slide_layer.unique_id)
        identity = {
            "map": picture.key,
            "part": self._part,
            "of": slide,
            "model": picture.model,
        }
        placement = placement_on(self._slide_layer, picture, self._mpp)
        others = [layer for layer in self._viewer.layers if _is_map_of(layer, slide)]
        old = next((layer for layer in others if _own(layer)["key"] == identity), None)
        if old is not None and old.multiscale == pixels.multiscale:
            # Once: whoever hides it while it refines itself wants to see the tissue.
            if self._layer is None:
                if not old.visible:
                    self._hide_all(others, slide)
                    old.visible = True
                self._viewer.layers.selection.active = old
            hide_marks(old)
            old.data = pixels.data
            for name, value in placement.items():
                setattr(old, name, value)
            return old
        self._hide_all(others, slide)
        if old is not None:
            self._viewer.layers.remove(old)
        options = map_layer_options(picture, picture.title, pixels.multiscale)
        options["metadata"][METADATA]["key"] = identity
        layer = self._viewer.add_image(pixels.data, **(options | placement))
        _own(layer)["name"] = layer.name
        return layer


def _own(layer: Any) -> Any:
    return layer.metadata.get(METADATA)


def _is_map_of(layer: Any, slide: str) -> bool:
    own = _own(layer)
    return isinstance(own, dict) and "key" in own and bool(own["key"]["of"] == slide)
