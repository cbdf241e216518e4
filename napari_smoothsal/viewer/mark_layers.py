"""MarkLayers: hatching and dots over one map, as layers that come and go with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_smoothsal.viewer.hatched_level import DARK, LIGHT
from napari_smoothsal.viewer.marked_tiles import FOUND, MarkedTiles
from napari_smoothsal.viewer.slide_source import METADATA

DARK_LINE, LIGHT_RIM = (0.12, 0.12, 0.16, 0.8), (1.0, 1.0, 1.0, 0.35)


def mark_layer_options(found: MarkedTiles) -> dict[str, Any]:
    """Options of the layer, an image, except its placement."""
    from napari.utils import Colormap

    colours = [(*LIGHT_RIM[:3], 0.0), LIGHT_RIM, DARK_LINE]
    return {
        "name": found.name,
        "rgb": False,
        "multiscale": True,
        "colormap": Colormap(colours, controls=[0.0, LIGHT / DARK, 1.0], name="marks"),
        "contrast_limits": (0, DARK),
        "blending": "translucent",
        "interpolation2d": "linear",
        "metadata": {METADATA: {"beside a map": True, FOUND: found}},
    }


class MarkLayers:
    """What is marked over one map layer: drawn over it, hidden and removed with it.

    A layer of each kind is made once, and hidden where nothing is marked: napari takes a fifth of a
    second to remove one.

    Parameters
    ----------
    viewer, map_layer
        Where, and of which map.
    """

    def __init__(self, viewer: Any, map_layer: Any) -> None:
        self._viewer = viewer
        self._map = map_layer
        self._layers: dict[type[MarkedTiles], Any] = {}
        self._wanted: set[type[MarkedTiles]] = set()
        map_layer.events.visible.connect(self._follow)

    def show(self, marks: Sequence[tuple[MarkedTiles, dict[str, Any]]]) -> None:
        """Mark tiles.

        Parameters
        ----------
        marks
            One of each kind that there is, each with options of its layer that say where it lies.
        """
        self._wanted = {type(found) for found, _ in marks}
        for found, placement in marks:
            self._draw(found, placement)
        self._follow()

    def hide(self) -> None:
        """Show none, until there is something to mark again."""
        self._wanted = set()
        self._follow()

    def remove(self) -> None:
        """Take the layers away."""
        self._map.events.visible.disconnect(self._follow)
        for layer in self._layers.values():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _draw(self, found: MarkedTiles, placement: dict[str, Any]) -> None:
        options = mark_layer_options(found) | placement
        layer = self._layers.get(type(found))
        if layer is None or layer not in self._viewer.layers:
            active = self._viewer.layers.selection.active
            shown = self._map.visible
            self._layers[type(found)] = self._viewer.add_image(
                found.levels, **options, visible=shown
            )
            if active in self._viewer.layers:
                self._viewer.layers.selection.active = active
            return
        layer.data = found.levels
        for name, value in {"name": options["name"], **placement}.items():
            setattr(layer, name, value)
        layer.metadata = options["metadata"]

    def _follow(self, _event: Any = None) -> None:
        for kind, layer in self._layers.items():
            layer.visible = kind in self._wanted and self._map.visible
