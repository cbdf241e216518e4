"""VerdictOutlines: the places of a map, outlined and numbered over their slide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.viewer.annotation_paths import path_of
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.slide_on_show import level0_placement
from napari_smoothsal.viewer.slide_source import METADATA
from napari_smoothsal.viewer.verdict_table import Place

OUTLINES = "verdicts"
UNJUDGED = (20, 20, 24)
WIDTH_UM = 2.5


class VerdictOutlines:
    """One Shapes layer: made when there is something to outline, and changed in place.

    Parameters
    ----------
    viewer
        Where.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self.layer: Any = None

    def show(self, places: Sequence[Place], slide: ExplainedSlide) -> None:
        """Outline places, in the colour of what was said of them."""
        if not places:
            self.clear()
            return
        paths = [_path(place) for place in places]
        colours = _colours(places)
        numbers = {"number": [str(n) for n in range(1, len(places) + 1)]}
        placement = level0_placement(slide)
        if self.layer is None or self.layer not in self._viewer.layers:
            active = self._viewer.layers.selection.active
            self.layer = self._viewer.add_shapes(
                paths,
                shape_type="polygon",
                name="verdicts",
                edge_color=colours,
                face_color="transparent",
                edge_width=WIDTH_UM / slide.mpp[0],
                features=numbers,
                text={"string": "{number}", "anchor": "upper_left", "size": 12, "color": "black"},
                metadata={METADATA: {OUTLINES: True}},
                **placement,
            )
            self.layer.editable = False
            if active in self._viewer.layers:  # the map stays what one works on
                self._viewer.layers.selection.active = active
            return
        layer = self.layer
        layer.editable = True
        layer.selected_data = set()
        layer.data = []
        layer.add(
            paths,
            shape_type="polygon",
            edge_color=colours,
            face_color="transparent",
            edge_width=WIDTH_UM / slide.mpp[0],
        )
        layer.features = numbers
        for name, value in placement.items():
            setattr(layer, name, value)
        layer.visible = True
        layer.editable = False

    def clear(self) -> None:
        """Outline nothing, until there is something again."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self.layer.visible = False

    def remove(self) -> None:
        """Take the layer away."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None


def is_outlines(layer: Any) -> bool:
    """Whether a layer outlines verdicts."""
    own = layer.metadata.get(METADATA)
    return isinstance(own, dict) and OUTLINES in own


def _path(place: Place) -> NDArray[np.float64]:
    return path_of(place.hotspot.geometry)[:, ::-1] - 0.5


def _colours(places: Sequence[Place]) -> NDArray[np.float64]:
    from napari_smoothsal.runs.verdicts import COLOURS

    return (
        np.array(
            [
                (*(UNJUDGED if place.verdict is None else COLOURS[place.verdict.said]), 255)
                for place in places
            ]
        )
        / 255.0
    )
