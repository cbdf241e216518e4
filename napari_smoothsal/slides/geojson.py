"""The one parser of GeoJSON: regions of tissue and outlines of nuclei both come through it.

Files come from outside, so that their size is checked before they are read and every number
before it is used. QuPath's dialects are read: bare lists of features, the nucleus of a cell
beside the cell's own outline, classes by name, by a list of names or as plain text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import shape as shapely_shape

from napari_smoothsal.core.errors import SlideError

MAX_GEOJSON_BYTES = 256 * 2**20
UNCLASSIFIED = "unclassified"

_SURFACES = ("Polygon", "MultiPolygon")
_NO_SURFACES = ("Point", "MultiPoint", "LineString", "MultiLineString")


@dataclass(frozen=True)
class Marked:
    """One Polygon or MultiPolygon of a file.

    Attributes
    ----------
    geometry
        In level-0 px, whole numbers lying on the edges of pixels.
    class_name
        Of its feature; `UNCLASSIFIED` where there is none.
    object_type
        QuPath's: ``annotation``, ``detection``, ``cell``, ...; empty where there is none.
    """

    geometry: shapely.Polygon | shapely.MultiPolygon
    class_name: str
    object_type: str

    @property
    def polygons(self) -> list[shapely.Polygon]:
        """Its parts."""
        parts = getattr(self.geometry, "geoms", [self.geometry])
        return [part for part in parts if not part.is_empty]


def marked_in(path: Path, *, nuclei_of_cells: bool = False) -> Iterator[Marked]:
    """Everything in a GeoJSON file that has a surface; points and lines are passed over.

    Parameters
    ----------
    path
        A FeatureCollection, Feature, GeometryCollection, MultiPolygon or Polygon, or a list of
        them.
    nuclei_of_cells
        Take a QuPath cell's ``nucleusGeometry``, where it has one, instead of its outline.

    Raises
    ------
    SlideError
        Where the file is missing, too large, no GeoJSON, or has malformed coordinates.
    """
    name = path.name
    pending: list[tuple[Any, str, str]] = [(_loaded(path), UNCLASSIFIED, "")]
    while pending:
        node, class_name, object_type = pending.pop()
        # QuPath may export a bare list of features.
        if isinstance(node, list):
            pending.extend((part, class_name, object_type) for part in reversed(node))
            continue
        kind = node.get("type") if isinstance(node, dict) else None
        if kind == "FeatureCollection":
            pending.append((_part(node, "features", name), class_name, object_type))
        elif kind == "GeometryCollection":
            pending.append((_part(node, "geometries", name), class_name, object_type))
        elif kind == "Feature":
            geometry = node.get("nucleusGeometry") if nuclei_of_cells else None
            geometry = geometry or node.get("geometry")
            if isinstance(geometry, dict):
                pending.append((geometry, *_said_of(node)))
        elif kind in _SURFACES:
            geometry = _geometry(node, name)
            if geometry is not None:
                yield Marked(geometry, class_name, object_type)
        elif kind not in _NO_SURFACES:
            raise SlideError(f"{name}: not GeoJSON; it holds an object of type {kind!r}")


def _loaded(path: Path) -> Any:
    if not path.is_file():
        raise SlideError(f"{path.name}: there is no such file; give the path of a GeoJSON file")
    size = path.stat().st_size
    if size > MAX_GEOJSON_BYTES:
        raise SlideError(
            f"{path.name}: {size / 2**20:.0f} MiB of GeoJSON is more than the "
            f"{MAX_GEOJSON_BYTES // 2**20} MiB that are read; outline tissue by regions, and "
            "export nuclei from a part of the slide"
        )
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SlideError(
            f"{path.name}: not GeoJSON ({type(error).__name__}); export the regions as GeoJSON, "
            "e.g. from QuPath"
        ) from error


def _part(node: dict[str, Any], key: str, name: str) -> list[Any]:
    part = node.get(key)
    if not isinstance(part, list):
        raise SlideError(f"{name}: not GeoJSON; {node['type']} without a list of {key}")
    return part


def _said_of(feature: dict[str, Any]) -> tuple[str, str]:
    """Class and object type of a feature, as the versions of QuPath write them."""
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        return UNCLASSIFIED, ""
    said = properties.get("classification")
    if isinstance(said, dict):
        names = said.get("names")
        said = ": ".join(map(str, names)) if isinstance(names, list) else said.get("name")
    object_type = properties.get("objectType", properties.get("object_type"))
    return str(said or UNCLASSIFIED), str(object_type or "")


def _geometry(node: dict[str, Any], name: str) -> shapely.Polygon | shapely.MultiPolygon | None:
    try:
        found = shapely_shape(node)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise SlideError(f"{name}: a {node['type']} has malformed coordinates") from error
    except shapely.errors.ShapelyError as error:
        raise SlideError(f"{name}: a {node['type']} has malformed coordinates") from error
    if found.is_empty:
        return None
    if not all(math.isfinite(v) for v in found.bounds):
        raise SlideError(f"{name}: a {node['type']} has coordinates that are not numbers")
    return found
