"""Places that somebody points at: the next click on the canvas, or what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import shapely

from napari_smoothsal.core.hotspot import Ring
from napari_smoothsal.viewer.annotation_layers import annotations_of
from napari_smoothsal.viewer.requests import ExplainedSlide, NotExplainableError
from napari_smoothsal.viewer.slide_on_show import pixels_at, world_of
from napari_smoothsal.viewer.verdict_outlines import is_outlines

Polygons = tuple[tuple[Ring, ...], ...]


class NextClick:
    """Tells of one click on the canvas; a drag still moves the view.

    Parameters
    ----------
    viewer
        Whose canvas.
    told
        Called with the (y, x) world coordinates.
    """

    def __init__(self, viewer: Any, told: Callable[[tuple[float, float]], None]) -> None:
        self._viewer = viewer
        self._told = told

    @property
    def awaited(self) -> bool:
        """Whether it is waited for."""
        return self._on_press in self._viewer.mouse_drag_callbacks

    def await_it(self, wanted: bool) -> None:
        """Wait for it, or not any more."""
        callbacks = self._viewer.mouse_drag_callbacks
        if wanted and not self.awaited:
            callbacks.append(self._on_press)
        elif not wanted and self.awaited:
            callbacks.remove(self._on_press)

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged = True
            yield
        if not dragged:
            y, x = event.position[-2:]
            self._told((float(y), float(x)))


def drawn_places(viewer: Any, slide: ExplainedSlide) -> tuple[Polygons, ...]:
    """The areas that are chosen in the active Shapes layer, or all of the topmost one.

    Returns
    -------
    tuple
        Of each area its polygons, of rings (x, y) in level-0 px.

    Raises
    ------
    NotExplainableError
        Where no area is drawn, or it lies beside the slide.
    """
    layers = [x for x in viewer.layers if hasattr(x, "shape_type") and not is_outlines(x)]
    active = viewer.layers.selection.active
    layer = active if active in layers else next((x for x in reversed(layers) if x.nshapes), None)
    if layer is None or not layer.nshapes:
        raise NotExplainableError(
            "draw a place first: add a Shapes layer (the polygon above the layer list) and draw a "
            "rectangle, an ellipse or a polygon"
        )
    rows = sorted(layer.selected_data) or range(layer.nshapes)
    data = ([layer.data[n] for n in rows], {"shape_type": [layer.shape_type[n] for n in rows]})

    def pixels(places: Any) -> Any:
        return pixels_at(slide, world_of(layer, places))

    found = [one.polygons for one in annotations_of([((*data, "shapes"), partial(pixels))])]
    places = tuple(tuple(map(_rings, polygons)) for polygons in found if polygons)
    if not places:
        raise NotExplainableError(
            f"layer {layer.name!r} holds lines only; draw a rectangle, an ellipse or a polygon "
            "around the place"
        )
    height, width = slide.size
    glass = shapely.box(0, 0, width, height)
    for polygons in found:
        if polygons and not any(polygon.intersects(glass) for polygon in polygons):
            raise NotExplainableError(f"what is drawn in layer {layer.name!r} lies off the slide")
    return places


def _rings(polygon: shapely.Polygon) -> tuple[Ring, ...]:
    rings = (polygon.exterior, *polygon.interiors)
    return tuple(tuple(map(_pair, np.asarray(ring.coords))) for ring in rings)


def _pair(corner: Any) -> tuple[float, float]:
    return (float(corner[0]), float(corner[1]))
