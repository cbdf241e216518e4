"""``geojson``: a FeatureCollection as QuPath writes it.

A feature is taken apart into what an `Annotation` says and the rest; the rest is kept as it was,
foreign members included, and a feature that nobody has changed is written as it was read.
"""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import shapely
from shapely.geometry import mapping
from shapely.geometry import shape as shapely_shape

from napari_smoothsal.annotations.annotation import (
    KINDS,
    Annotation,
    Annotations,
    Colour,
    Geometry,
    checked_geometry,
)
from napari_smoothsal.annotations.formats import FORMATS, AnnotationFormat
from napari_smoothsal.core.errors import AnnotationError

NAME = "geojson"
_UNUSED = {"type": "Feature", "geometry": None}


def parsed(content: bytes, file_name: str) -> Annotations:
    """What a FeatureCollection, a Feature or a bare list of Features marks.

    Raises
    ------
    AnnotationError
        If it is no GeoJSON, or a feature has no geometry that is known here.
    """
    try:
        root = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(
            f"{file_name}: not JSON ({type(error).__name__}); export the annotations as GeoJSON, "
            "e.g. from QuPath"
        ) from error
    rest: dict[str, Any] = {}
    if isinstance(root, dict) and root.get("type") == "FeatureCollection":
        features = root.get("features")
        rest = {name: value for name, value in root.items() if name not in ("type", "features")}
    else:
        features = root if isinstance(root, list) else [root]
    if not isinstance(features, list):
        raise AnnotationError(f"{file_name}: not GeoJSON; its FeatureCollection lists no features")
    items = [_annotation(x, file_name, f"feature {n}") for n, x in enumerate(features, start=1)]
    return Annotations(tuple(items), NAME, rest)


def written(annotations: Annotations) -> bytes:
    """A FeatureCollection, in UTF-8."""
    ours = annotations.format == NAME
    features = [_feature(one, ours) for one in annotations]
    rest = dict(annotations.rest) if ours else {}
    root = {"type": "FeatureCollection", **rest, "features": features}
    return json.dumps(root, ensure_ascii=False, allow_nan=False).encode()


def class_of(classification: Any) -> tuple[str, Colour | None]:
    """Name and colour of a class, in each way that QuPath's versions write one."""
    if isinstance(classification, str):
        return classification, None
    if not isinstance(classification, dict):
        return "", None
    names = classification.get("names")
    name = ": ".join(map(str, names)) if isinstance(names, list) else classification.get("name")
    return str(name or ""), _colour(classification)


def _colour(classification: dict[str, Any]) -> Colour | None:
    found = classification.get("color", classification.get("colorRGB"))
    if isinstance(found, int) and not isinstance(found, bool):
        # As Java packs one: alpha, red, green, blue, a byte each, with a sign.
        return (found >> 16 & 255, found >> 8 & 255, found & 255)
    if isinstance(found, list) and len(found) >= 3 and all(_is_byte(v) for v in found[:3]):
        return (int(found[0]), int(found[1]), int(found[2]))
    return None


def _is_byte(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 255


def _annotation(feature: Any, file_name: str, which: str) -> Annotation:
    kind = feature.get("type") if isinstance(feature, dict) else type(feature).__name__
    if kind in KINDS:
        feature, kind = {"type": "Feature", "geometry": feature, "properties": {}}, "Feature"
    if kind != "Feature":
        raise AnnotationError(f"{file_name}: not GeoJSON; {which} is an object of type {kind!r}")
    geometry = _geometry(feature.get("geometry"), file_name, which)
    properties = feature.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    class_name, colour = class_of(properties.get("classification"))
    return Annotation(
        geometry,
        class_name,
        colour,
        _text(properties.get("name")),
        _text(feature.get("id")),
        {k: v for k, v in feature.items() if k != "type"},
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _geometry(node: Any, file_name: str, which: str) -> Geometry:
    if not isinstance(node, dict) or node.get("type") not in KINDS:
        kind = node.get("type") if isinstance(node, dict) else node
        raise AnnotationError(
            f"{file_name}: {which} has the geometry {kind!r}; only {', '.join(KINDS)} can be "
            "used. Split it in the program that drew it"
        )
    try:
        found = shapely_shape(node)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise AnnotationError(f"{file_name}: {which} has malformed coordinates") from error
    except shapely.errors.ShapelyError as error:
        raise AnnotationError(f"{file_name}: {which} has malformed coordinates") from error
    return checked_geometry(found, file_name, which)


def _feature(one: Annotation, ours: bool) -> dict[str, Any]:
    """As it was read, but for what has changed since."""
    feature: dict[str, Any] = dict(_UNUSED)
    if ours:
        feature |= copy.deepcopy(dict(one.rest))
    if one.id and _text(feature.get("id")) != one.id:
        feature["id"] = one.id
    feature["geometry"] = _node(one.geometry, feature["geometry"])
    properties = feature.get("properties")
    properties = properties if isinstance(properties, dict) else {"objectType": "annotation"}
    if one.name != _text(properties.get("name")):
        properties["name"] = one.name
    if (one.class_name, one.colour) != class_of(properties.get("classification")):
        properties.pop("classification", None)
        if one.class_name or one.colour:
            classified: dict[str, Any] = {"name": one.class_name}
            properties["classification"] = classified
            if one.colour is not None:
                classified["color"] = list(one.colour)
    feature["properties"] = properties
    return feature


def _node(geometry: Geometry, before: dict[str, Any] | None) -> dict[str, Any]:
    """A geometry as GeoJSON; the one that was read, with its numbers, where it is the same."""
    if before is not None:
        if shapely_shape(before).equals_exact(geometry, 0.0):
            return before
        # QuPath's plane and the like; a bounding box, or that it is an ellipse, is not true now.
        kept = {k: v for k, v in before.items() if k not in ("bbox", "isEllipse")}
    else:
        kept = {}
    return kept | {"type": geometry.geom_type, "coordinates": mapping(geometry)["coordinates"]}


GEOJSON = FORMATS.register(
    AnnotationFormat(
        name=NAME,
        title="GeoJSON, as QuPath writes it",
        endings=(".geojson", ".json"),
        most_bytes=256 * 2**20,
        parsed=parsed,
        written=written,
    )
)
