"""Hatching of the tiles that the model predicts as another class than its map explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_smoothsal.viewer.hatched_level import DARK, LIGHT, Bounds, HatchedLevel, hatched_levels
from napari_smoothsal.viewer.map_picture import StoredPicture
from napari_smoothsal.viewer.placement import Pair
from napari_smoothsal.viewer.prediction_layer import TileCells, tile_cells
from napari_smoothsal.viewer.slide_source import METADATA
from napari_smoothsal.viewer.told import MOST_ROWS, TileRow

DARK_LINE, LIGHT_RIM = (0.12, 0.12, 0.16, 0.8), (1.0, 1.0, 1.0, 0.35)
FINEST_PX = 0.125
"""Pixels of the finest level, in level-0 px, at most: nobody looks nearer."""


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
    within
        The map: beyond it, where tiles reach out of what was asked for, nothing is hatched.
    """

    def __init__(
        self,
        target: str,
        rows: Sequence[TileRow],
        mpp: Pair,
        within: StoredPicture | None = None,
    ) -> None:
        self.target = target
        self.some = len(rows) == MOST_ROWS
        """Whether there may be more tiles than were told."""
        self.cells: TileCells = tile_cells(rows, mpp)
        self._rows = rows
        steps = np.divide(self.cells.scale_um, mpp)
        self._within = within
        self._per_cell = 1 << max(0, math.ceil(math.log2(max(steps) / FINEST_PX)))

    @property
    def levels(self) -> list[HatchedLevel]:
        """Of the hatching, finest first."""
        other = [row.predicted != self.target for row in self._rows]
        hatched = np.array([False, *other])[self.cells.labels]
        return hatched_levels(hatched, self._per_cell, self._bounds)

    @property
    def _bounds(self) -> Bounds | None:
        """Of the map, in pixels of the finest level."""
        if self._within is None:
            return None
        first = np.subtract(self.translate_um, np.divide(self.scale_um, 2))
        low, high = (np.subtract(c, first) / self.scale_um for c in self._within.extent_um)
        return (low[0], high[0]), (low[1], high[1])

    @property
    def scale_um(self) -> Pair:
        """(y, x) of a pixel of the finest level."""
        y, x = (size / self._per_cell for size in self.cells.scale_um)
        return (y, x)

    @property
    def translate_um(self) -> Pair:
        """(y, x) of the centre of its first one."""
        sizes = zip(self.cells.translate_um, self.cells.scale_um, self.scale_um, strict=True)
        y, x = (centre - cell / 2 + pixel / 2 for centre, cell, pixel in sizes)
        return (y, x)

    def said_at(self, layer: Any, position: Any) -> str:
        """What is to be said at a place: empty where the model predicts what is explained."""
        pixel = np.rint(layer.world_to_data(position)).astype(int)[-2:]
        bounds = self._bounds
        if bounds and not all(a <= p + 0.5 <= b for p, (a, b) in zip(pixel, bounds, strict=True)):
            return ""
        y, x = pixel // self._per_cell
        labels = self.cells.labels
        if not (0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]) or labels[y, x] == 0:
            return ""
        row = self._rows[labels[y, x] - 1]
        if row.predicted == self.target:
            return ""
        sure = "" if row.probability is None else f", p({self.target}) = {row.probability:.2g}"
        return f"explains {self.target}, model says {row.predicted}{sure}"


def hatching_options(found: OtherClass) -> dict[str, Any]:
    """Options of the layer, an image, except its placement."""
    from napari.utils import Colormap

    colours = [(*LIGHT_RIM[:3], 0.0), LIGHT_RIM, DARK_LINE]
    return {
        "name": f"hatched: the model does not say {found.target}",
        "rgb": False,
        "multiscale": True,
        "colormap": Colormap(colours, controls=[0.0, LIGHT / DARK, 1.0], name="hatching"),
        "contrast_limits": (0, DARK),
        "blending": "translucent",
        "interpolation2d": "linear",
        "metadata": {METADATA: {"beside a map": True, "found": found}},
    }


class Hatching:
    """The hatching of one map layer: it is drawn over it, and hidden and removed with it.

    The layer is made once, and hidden where nothing is hatched: napari takes a fifth of a second
    to remove one.

    Parameters
    ----------
    viewer, map_layer
        Where, and of which map.
    """

    def __init__(self, viewer: Any, map_layer: Any) -> None:
        self._viewer = viewer
        self._map = map_layer
        self._layer: Any = None
        self._wanted = False
        map_layer.events.visible.connect(self._follow)

    def show(self, found: OtherClass, placement: dict[str, Any]) -> None:
        """Hatch what was found; ``placement`` are options of the layer that say where."""
        self._wanted = True
        options = hatching_options(found) | placement
        if self._layer is None or self._layer not in self._viewer.layers:
            active = self._viewer.layers.selection.active
            self._layer = self._viewer.add_image(found.levels, **options, visible=self._map.visible)
            if active in self._viewer.layers:
                self._viewer.layers.selection.active = active
            return
        self._layer.data = found.levels
        for name, value in {"name": options["name"], **placement}.items():
            setattr(self._layer, name, value)
        self._layer.metadata = options["metadata"]
        self._follow()

    def hide(self) -> None:
        """Show none, until there is something to hatch again."""
        self._wanted = False
        if self._layer is not None:
            self._follow()

    def remove(self) -> None:
        """Take the layer away."""
        self._map.events.visible.disconnect(self._follow)
        if self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)

    def _follow(self, _event: Any = None) -> None:
        if self._layer is not None:
            self._layer.visible = self._wanted and self._map.visible


def other_class_at(viewer: Any, position: Any) -> str:
    """What the topmost visible hatching says at a place."""
    for layer in reversed(viewer.layers):
        own = layer.metadata.get(METADATA)
        if layer.visible and isinstance(own, dict) and "found" in own:
            said: str = own["found"].said_at(layer, position)
            if said:
                return said
    return ""
