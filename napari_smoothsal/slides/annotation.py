"""Tissue that somebody else has marked: GeoJSON polygons, or an image stretched over the slide.

Both come from outside, so that sizes are checked before anything is allocated.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from shapely.geometry import shape as shapely_shape
from skimage.draw import polygon as polygon_pixels

from napari_smoothsal.core.errors import SlideError

MAX_GEOJSON_BYTES = 256 * 2**20
MAX_IMAGE_PX = 2**25


def mask_from_geojson(
    path: Path, shape: tuple[int, int], slide_size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Draw the polygons of a GeoJSON file.

    Parameters
    ----------
    path
        A FeatureCollection, Feature, GeometryCollection, MultiPolygon or Polygon, in level-0
        px. Points and lines, which QuPath exports beside polygons, are passed over.
    shape
        (h, w) of the mask.
    slide_size
        (width, height) of the slide, in level-0 px.

    Returns
    -------
    NDArray[np.bool_]
        True where a mask pixel's centre is inside a polygon and not in one of its holes.

    Raises
    ------
    SlideError
        Where the file is no such GeoJSON, is too large, or lies wholly outside the slide.
    """
    polygons = list(_polygons(_loaded(path), path.name))
    if not polygons:
        raise SlideError(f"{path.name}: there is no Polygon or MultiPolygon in the file")
    width, height = slide_size
    extents = np.array([polygon.bounds for polygon in polygons])
    left, top = extents[:, :2].min(axis=0)
    right, bottom = extents[:, 2:].max(axis=0)
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise SlideError(
            f"{path.name}: the polygons, x {left:.6g} to {right:.6g} and y {top:.6g} to "
            f"{bottom:.6g}, lie outside the slide, x 0 to {width} and y 0 to {height}; they "
            "must be in pixels of level 0, not in micrometres, and belong to this slide"
        )
    mask = np.zeros(shape, np.bool_)
    scale = np.array([shape[1] / width, shape[0] / height])
    for polygon in polygons:
        _draw(mask, polygon, scale)
    return mask


def mask_from_image(path: Path) -> NDArray[np.bool_]:
    """Read a mask image of any size: True where any colour channel is not 0.

    Raises
    ------
    SlideError
        Where the file is no image, or larger than `MAX_IMAGE_PX`.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images; the limit below is lower, and an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path)
        with image:
            if image.width * image.height > MAX_IMAGE_PX:
                raise SlideError(
                    f"{path.name}: a mask of {image.width} x {image.height} px is more than "
                    f"{MAX_IMAGE_PX} px; save it smaller, it is stretched over the slide"
                )
            alpha = image.mode in ("LA", "RGBA", "PA")
            pixels = np.asarray(image)
    except Image.DecompressionBombError as error:
        raise SlideError(
            f"{path.name}: the mask is more than {MAX_IMAGE_PX} px; save it smaller"
        ) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise SlideError(f"{path.name}: not an image that can be read; give PNG or TIFF") from error
    if pixels.ndim == 3:
        colours = pixels[..., :-1] if alpha else pixels
        return np.asarray((colours != 0).any(axis=2))
    return np.asarray(pixels != 0)


def _loaded(path: Path) -> Any:
    size = path.stat().st_size
    if size > MAX_GEOJSON_BYTES:
        raise SlideError(
            f"{path.name}: {size / 2**20:.0f} MiB of GeoJSON is more than the "
            f"{MAX_GEOJSON_BYTES // 2**20} MiB that are read; outline regions, not cells"
        )
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SlideError(
            f"{path.name}: not GeoJSON ({type(error).__name__}); export the regions as GeoJSON, "
            "e.g. from QuPath"
        ) from error


def _polygons(node: Any, name: str) -> Iterator[shapely.Polygon]:
    pending = [node]
    while pending:
        node = pending.pop()
        # QuPath may export a bare list of features.
        if isinstance(node, list):
            pending.extend(node)
            continue
        kind = node.get("type") if isinstance(node, dict) else None
        if kind == "FeatureCollection":
            pending.append(_part(node, "features", name))
        elif kind == "GeometryCollection":
            pending.append(_part(node, "geometries", name))
        elif kind == "Feature":
            if isinstance(node.get("geometry"), dict):
                pending.append(node["geometry"])
        elif kind in ("Polygon", "MultiPolygon"):
            yield from _geometry(node, name)
        elif kind not in ("Point", "MultiPoint", "LineString", "MultiLineString"):
            raise SlideError(f"{name}: not GeoJSON; it holds an object of type {kind!r}")


def _part(node: dict[str, Any], key: str, name: str) -> list[Any]:
    part = node.get(key)
    if not isinstance(part, list):
        raise SlideError(f"{name}: not GeoJSON; {node['type']} without a list of {key}")
    return part


def _geometry(node: dict[str, Any], name: str) -> Iterator[shapely.Polygon]:
    try:
        found = shapely_shape(node)
        parts = list(found.geoms) if found.geom_type == "MultiPolygon" else [found]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise SlideError(f"{name}: a {node['type']} has malformed coordinates") from error
    except shapely.errors.ShapelyError as error:
        raise SlideError(f"{name}: a {node['type']} has malformed coordinates") from error
    for part in parts:
        if part.is_empty:
            continue
        if not all(math.isfinite(v) for v in part.bounds):
            raise SlideError(f"{name}: a {node['type']} has coordinates that are not numbers")
        yield part


def _draw(mask: NDArray[np.bool_], polygon: shapely.Polygon, scale: NDArray[np.float64]) -> None:
    # Level-0 edges at whole numbers; skimage has pixel centres there, hence the half.
    outline = _ring(polygon.exterior, scale)
    size = np.array([mask.shape[1], mask.shape[0]])
    first = np.clip(np.floor(outline.min(axis=0)), 0, size).astype(int)
    end = np.clip(np.ceil(outline.max(axis=0)) + 1, 0, size).astype(int)
    if (end <= first).any():
        return
    part = np.zeros((end[1] - first[1], end[0] - first[0]), np.bool_)
    part[_inside(outline - first, part.shape)] = True
    if not part.any():
        # Smaller than a mask pixel: keep the one that it is in, rather than nothing.
        point = polygon.representative_point()
        x, y = np.floor(np.array([point.x, point.y]) * scale).astype(int)
        if 0 <= x < size[0] and 0 <= y < size[1]:
            mask[y, x] = True
        return
    for interior in polygon.interiors:
        part[_inside(_ring(interior, scale) - first, part.shape)] = False
    mask[first[1] : end[1], first[0] : end[0]] |= part


def _ring(ring: shapely.LinearRing, scale: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(shapely.get_coordinates(ring) * scale - 0.5)


def _inside(
    ring: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, columns = polygon_pixels(ring[:, 1], ring[:, 0], shape)  # type: ignore[no-untyped-call]
    return rows, columns
