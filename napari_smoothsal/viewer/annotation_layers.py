"""Annotations as layers over their slide, and back.

Areas and lines are a Shapes layer, points a Points layer; classes and names are features, which
napari's own table edits. Each row knows which annotation of the file it came from, so that what
nobody has moved goes back with the numbers that the file had (napari keeps fewer digits).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from napari_smoothsal.annotations import Annotation, Annotations
from napari_smoothsal.annotations.annotation import Colour, Geometry
from napari_smoothsal.viewer.annotation_paths import area_of, path_of
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.slide_on_show import level0_placement
from napari_smoothsal.viewer.slide_source import METADATA

LayerData = tuple[Any, dict[str, Any], str]
ANNOTATIONS = "annotations"
CLASS, NAME, NUMBER = "class", "name", "number"
"""Columns of a layer's features; the last is that of the annotation in its file, -1 of new ones."""
NEW = -1
DEFAULTS = {CLASS: "", NAME: "", NUMBER: NEW}
"""Of what is drawn, unless something is chosen: then napari gives it the features of that."""
UNCLASSIFIED: Colour = (60, 60, 70)
MOST_NAMED = 100
"""Of more areas the classes are not written beside them."""
POINT_UM = 12.0
ROUNDED = 2.0**-20
"""Of a coordinate's size that napari's 32 bits may change."""
ELLIPSE_CORNERS = 72

ToPixels = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Drawn = tuple[int, NDArray[np.float64], Callable[[NDArray[np.float64]], Geometry | None]]
"""A row, its corners (y, x) in the layer, and what makes a geometry of them in level-0 px."""


def annotation_layers(
    annotations: Annotations, name: str, slide: ExplainedSlide | None
) -> list[LayerData]:
    """Layer data of annotations on a slide; without one they lie in pixels."""
    placement = {} if slide is None else level0_placement(slide)
    areas: list[tuple[int, Annotation]] = []
    points: list[tuple[int, Annotation]] = []
    for number, one in enumerate(annotations):
        (points if isinstance(one.geometry, shapely.Point | shapely.MultiPoint) else areas).append(
            (number, one)
        )
    layers = []
    for rows, of in ((areas, _areas), (points, _points)):
        if rows:
            data, options, kind = of(rows, slide)
            options |= {"name": name, "metadata": {METADATA: {ANNOTATIONS: annotations}}}
            layers.append((data, options | placement, kind))
    return layers


def annotations_of(
    layers: Sequence[tuple[LayerData, ToPixels]], classes: str = CLASS
) -> Annotations:
    """What layers mark.

    Parameters
    ----------
    layers
        Shapes and Points, each with what turns (n, 2) coordinates (y, x) of its data into level-0
        px (x, y).
    classes
        The feature that says the class.
    """
    found: list[tuple[int, Annotation]] = []
    known = [options.get("metadata", {}).get(METADATA) for (_, options, _), _ in layers]
    files = [own.get(ANNOTATIONS) if isinstance(own, dict) else None for own in known]
    file = next((one for one in files if one is not None), Annotations(()))
    for (layer, to_pixels), its_file in zip(layers, files, strict=True):
        before = its_file if its_file is not None else Annotations(())
        for number, one in _rows_of(layer, to_pixels, before, classes):
            kept = before.format == file.format
            found.append((number, one if kept else replace(one, rest={})))
    found.sort(key=lambda pair: pair[0] if pair[0] != NEW else len(file) + len(found))
    return Annotations(tuple(one for _, one in found), file.format, file.rest)


def _areas(rows: list[tuple[int, Annotation]], _slide: Any) -> LayerData:
    paths = [_path(one.geometry) for _, one in rows]
    kinds = ["path" if isinstance(x.geometry, shapely.LineString) else "polygon" for _, x in rows]
    spans = [np.ptp(path, axis=0).max() for path in paths]
    options: dict[str, Any] = {
        "shape_type": kinds,
        "features": _features(rows),
        "feature_defaults": DEFAULTS,
        "edge_color": _colours(rows),
        "face_color": "transparent",
        "edge_width": float(max(1.0, np.median(spans) / 50)),
    }
    if len(rows) <= MOST_NAMED:
        options["text"] = {
            "string": f"{{{CLASS}}}",
            "anchor": "upper_left",
            "size": 10,
            "color": "black",
        }
    return paths, options, "shapes"


def _points(rows: list[tuple[int, Annotation]], slide: ExplainedSlide | None) -> LayerData:
    each = [(number, one, at) for number, one in rows for at in _centres(one.geometry)]
    rows = [(number, one) for number, one, _ in each]
    size = POINT_UM / slide.mpp[0] if slide is not None else 2 * POINT_UM
    options = {
        "features": _features(rows),
        "feature_defaults": DEFAULTS,
        "face_color": _colours(rows),
        "border_color": "white",
        "size": size,
    }
    return np.array([at for *_, at in each]), options, "points"


def _path(geometry: Geometry) -> NDArray[np.float64]:
    """(n, 2) corners (y, x); the centre of a pixel is a whole number there."""
    if isinstance(geometry, shapely.Polygon | shapely.MultiPolygon):
        return path_of(geometry)[:, ::-1] - 0.5
    return _centres(geometry)


def _centres(geometry: Geometry) -> NDArray[np.float64]:
    return np.asarray(shapely.get_coordinates(geometry)[:, ::-1] - 0.5)


def _features(rows: list[tuple[int, Annotation]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            CLASS: [one.class_name for _, one in rows],
            NAME: [one.name for _, one in rows],
            NUMBER: [number for number, _ in rows],
        }
    )


def _colours(rows: list[tuple[int, Annotation]]) -> NDArray[np.float64]:
    return np.array([(*(one.colour or UNCLASSIFIED), 255) for _, one in rows]) / 255


def _rows_of(
    layer: LayerData, to_pixels: ToPixels, file: Annotations, classes: str
) -> list[tuple[int, Annotation]]:
    data, options, kind = layer
    features = pd.DataFrame(options.get("features", {}))
    numbers = _numbers(features, len(data), file)
    if kind == "points":
        drawn = _points_drawn(np.asarray(data, float)[:, -2:], numbers, file)
    else:
        shapes = options.get("shape_type", "polygon")
        shapes = [shapes] * len(data) if isinstance(shapes, str) else shapes
        drawn = [
            (row, *_corners(np.asarray(corners, float)[:, -2:], shape))
            for row, (corners, shape) in enumerate(zip(data, shapes, strict=True))
        ]
    colours = {one.class_name: one.colour for one in reversed(file.items) if one.colour}
    found: list[tuple[int, Annotation]] = []
    taken: set[int] = set()
    for row, corners, make in drawn:
        number = int(numbers[row])
        if number in taken:  # a copy: napari gives what is new the features of what was chosen
            number = NEW
        taken.add(number)
        before = file[number] if number != NEW else None
        pixels = to_pixels(corners)
        unmoved = before is not None and _unmoved(pixels, before.geometry)
        geometry = before.geometry if before is not None and unmoved else make(pixels)
        if geometry is None:
            continue
        if before is None:
            name = _said(features, classes, row, "")
            found.append((number, Annotation(geometry, name, colours.get(name))))
            continue
        class_name = _said(features, classes, row, before.class_name)
        same = class_name == before.class_name
        one = replace(
            before,
            geometry=geometry,
            class_name=class_name,
            colour=before.colour if same else colours.get(class_name),
            name=_said(features, NAME, row, before.name),
        )
        found.append((number, one))
    return found


def _numbers(features: pd.DataFrame, rows: int, file: Annotations) -> NDArray[np.int64]:
    if NUMBER not in features or len(features) != rows:
        return np.full(rows, NEW)
    given = pd.to_numeric(features[NUMBER], errors="coerce").fillna(NEW).to_numpy(np.int64)
    return np.where((given >= 0) & (given < len(file)), given, NEW)


def _points_drawn(
    places: NDArray[np.float64], numbers: NDArray[np.int64], file: Annotations
) -> list[Drawn]:
    """Points; those that were several of one annotation are that again."""
    found: list[Drawn] = []
    together: set[int] = set()
    for row, number in enumerate(numbers.tolist()):
        if number != NEW and isinstance(file[number].geometry, shapely.MultiPoint):
            if number not in together:
                found.append((row, places[numbers == number], shapely.MultiPoint))
            together.add(number)
        else:
            found.append((row, places[row : row + 1], lambda pixels: shapely.Point(pixels[0])))
    return found


def _corners(
    corners: NDArray[np.float64], shape: str
) -> tuple[NDArray[np.float64], Callable[[NDArray[np.float64]], Geometry | None]]:
    """Corners of a shape, and what makes a geometry of them once they are level-0 px."""
    if shape in ("line", "path"):
        return corners, shapely.LineString
    if shape == "ellipse":
        angle = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)[:, None]
        first, second = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
        corners = corners.mean(axis=0) + np.cos(angle) * first + np.sin(angle) * second
    return corners, area_of


def _said(features: pd.DataFrame, column: str, row: int, otherwise: str) -> str:
    if column not in features or row >= len(features):
        return otherwise
    value = features[column].iloc[row]
    return "" if pd.isna(value) else str(value)


def _unmoved(pixels: NDArray[np.float64], before: Geometry) -> bool:
    """Whether only napari's rounding lies between corners and those of a geometry."""
    is_area = isinstance(before, shapely.Polygon | shapely.MultiPolygon)
    corners = path_of(before) if is_area else shapely.get_coordinates(before)
    if corners.shape != pixels.shape:
        return False
    allowed = ROUNDED * max(1.0, float(np.abs(corners).max()))
    return bool(np.abs(corners - pixels).max() <= allowed)
