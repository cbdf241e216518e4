"""The part of a slide that somebody has drawn in a Shapes layer."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.specs import Tiling
from napari_smoothsal.viewer.field_of_view import Region
from napari_smoothsal.viewer.requests import ExplainedSlide, NotExplainableError

ELLIPSE_CORNERS = 72
FILE = "region.geojson"


@dataclass(frozen=True)
class DrawnRegion:
    """What was drawn, on the pixels of a slide.

    Attributes
    ----------
    polygons
        Each (n, 2), (x, y) in level-0 px.
    region
        (x, y, w, h) in level-0 px around all of them.
    """

    polygons: tuple[NDArray[np.float64], ...]
    region: Region

    def __str__(self) -> str:
        return str([np.round(polygon, 1).tolist() for polygon in self.polygons])

    def within(self, tiling: Tiling, folder: Path) -> Tiling:
        """The same, but of tiles that meet what was drawn, whatever is there."""
        path = folder / FILE
        rings = [np.vstack([p, p[:1]]).round(2).tolist() for p in self.polygons]
        geometry = {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}
        path.write_text(json.dumps(geometry), encoding="utf-8")
        return tiling.model_copy(update={"tissue": str(path), "min_tissue": 0.0})


def drawn_region(viewer: Any, slide: ExplainedSlide) -> DrawnRegion:
    """The chosen shapes of the chosen Shapes layer, or all of its shapes.

    Parameters
    ----------
    viewer
        Its active layer is taken where it has shapes, else the topmost Shapes layer.
    slide
        On whose pixels.

    Raises
    ------
    NotExplainableError
        Where nothing is drawn, only lines are, or it lies beside the slide.
    """
    layer = _shapes_layer(viewer)
    chosen = sorted(layer.selected_data) or range(layer.nshapes)
    polygons = []
    for index in chosen:
        corners = _corners(np.asarray(layer.data[index]), layer.shape_type[index])
        if corners is not None:
            world = np.array([layer.data_to_world(corner)[-2:] for corner in corners])
            pixels = np.array([slide.layer.world_to_data(place)[:2] for place in world])
            # Pixel 0 has its centre at 0 in napari, and spans 0 to 1 in GeoJSON.
            polygons.append(pixels[:, ::-1] + 0.5)
    if not polygons:
        raise NotExplainableError(
            f"layer {layer.name!r} holds lines only; draw a rectangle, an ellipse or a polygon "
            "around what is to be explained"
        )
    everything = np.concatenate(polygons)
    height, width = slide.size
    left, top = (max(0, math.floor(v)) for v in everything.min(axis=0))
    right, bottom = (
        min(size, math.ceil(v))
        for size, v in zip((width, height), everything.max(axis=0), strict=True)
    )
    if right <= left or bottom <= top:
        raise NotExplainableError(
            f"what is drawn in layer {layer.name!r} lies beside layer {slide.layer.name!r}"
        )
    return DrawnRegion(tuple(polygons), (left, top, right - left, bottom - top))


def _shapes_layer(viewer: Any) -> Any:
    layers = [layer for layer in reversed(viewer.layers) if _has_shapes(layer)]
    active = viewer.layers.selection.active
    if active in layers:
        return active
    if not layers:
        raise NotExplainableError(
            "draw what is to be explained first: add a Shapes layer (the polygon above the layer "
            "list) and draw a rectangle, an ellipse or a polygon"
        )
    return layers[0]


def _has_shapes(layer: Any) -> bool:
    return hasattr(layer, "shape_type") and layer.nshapes > 0


def _corners(data: NDArray[np.float64], kind: str) -> NDArray[np.float64] | None:
    """Corners (n, 2), (y, x), of an area; None of a line."""
    points = data[:, -2:]
    if kind in ("line", "path"):
        return None
    if kind != "ellipse":
        return points
    angle = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)[:, None]
    first, second = (points[1] - points[0]) / 2, (points[3] - points[0]) / 2
    return np.asarray(points.mean(axis=0) + np.cos(angle) * first + np.sin(angle) * second)
