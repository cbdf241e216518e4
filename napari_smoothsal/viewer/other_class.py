"""Hatching of the tiles that the model predicts as another class than its map explains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.viewer.placement import Pair
from napari_smoothsal.viewer.prediction_layer import TileCells, tile_cells
from napari_smoothsal.viewer.slide_source import METADATA
from napari_smoothsal.viewer.told import MOST_ROWS, TileRow

COLOUR = "#292933"
OPACITY = 0.7
WIDTH = 0.02
"""Of a line, in steps from tile to tile."""
LINES: NDArray[np.float64] = np.array(
    [
        [[0.5, -0.5], [-1.0, 1.0]],
        [[0.0, -0.5], [-0.5, 0.5]],
        [[0.5, 0.0], [-0.5, 0.5]],
    ]
)
"""Start and direction (y, x) of a cell's lines, from its centre, in cells."""


class OtherClass:
    """The hatched tiles of one map.

    Parameters
    ----------
    target
        What the map explains.
    rows
        Its tiles, one or more.
    mpp
        (y, x) micrometres per level-0 px of their slide.
    """

    def __init__(self, target: str, rows: Sequence[TileRow], mpp: Pair) -> None:
        self.target = target
        self.some = len(rows) == MOST_ROWS
        """Whether there may be more tiles than were told."""
        self.cells: TileCells = tile_cells(rows, mpp)
        self._rows = rows

    @property
    def lines(self) -> NDArray[np.float64]:
        """(n, 2, 2): start and direction (y, x) of the hatching's lines, in cells."""
        other = [row.predicted != self.target for row in self._rows]
        hatched = np.array([False, *other])[self.cells.labels]
        centres = np.argwhere(hatched).astype(float)
        lines = np.repeat(centres[:, None, None], len(LINES), axis=1) * [[[1.0], [0.0]]]
        return (lines + LINES).reshape(-1, 2, 2)

    def said_at(self, layer: Any, position: Any) -> str:
        """What is to be said at a place: empty where the model predicts what is explained."""
        y, x = np.rint(layer.world_to_data(position)).astype(int)[-2:]
        labels = self.cells.labels
        if not (0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]) or labels[y, x] == 0:
            return ""
        row = self._rows[labels[y, x] - 1]
        if row.predicted == self.target:
            return ""
        sure = "" if row.probability is None else f", p({self.target}) = {row.probability:.2g}"
        return f"explains {self.target}, model says {row.predicted}{sure}"


def hatching_options(found: OtherClass) -> dict[str, Any]:
    """Options of the layer of lines, except its placement."""
    return {
        "name": f"hatched: the model does not say {found.target}",
        "edge_width": WIDTH,
        "edge_color": COLOUR,
        "opacity": OPACITY,
        "vector_style": "line",
        "metadata": {METADATA: {"beside a map": True, "found": found}},
    }


class Hatching:
    """The hatching of one map layer: it is drawn over it, and hidden and removed with it.

    Parameters
    ----------
    viewer, map_layer
        Where, and of which map.
    found
        The tiles.
    placement
        Options of a layer in their cells.
    """

    def __init__(
        self, viewer: Any, map_layer: Any, found: OtherClass, placement: dict[str, Any]
    ) -> None:
        self._viewer = viewer
        self._map = map_layer
        active = viewer.layers.selection.active
        options = hatching_options(found) | placement
        self._layer = viewer.add_vectors(found.lines, **options, visible=map_layer.visible)
        if active in viewer.layers:
            viewer.layers.selection.active = active
        map_layer.events.visible.connect(self._follow)

    def remove(self) -> None:
        """Take it away."""
        self._map.events.visible.disconnect(self._follow)
        if self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)

    def _follow(self, _event: Any = None) -> None:
        self._layer.visible = self._map.visible


def other_class_at(viewer: Any, position: Any) -> str:
    """What the topmost visible hatching says at a place."""
    for layer in reversed(viewer.layers):
        own = layer.metadata.get(METADATA)
        if layer.visible and isinstance(own, dict) and "found" in own:
            said: str = own["found"].said_at(layer, position)
            if said:
                return said
    return ""
