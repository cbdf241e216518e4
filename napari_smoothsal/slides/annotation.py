"""Tissue that somebody else has marked: GeoJSON polygons, or an image stretched over the slide.

Both come from outside, so that sizes are checked before anything is allocated.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.slides.drawing import drawn, pixel_of
from napari_smoothsal.slides.geojson import marked_in

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
    polygons = [polygon for marked in marked_in(path) for polygon in marked.polygons]
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
    for polygon in shapely.transform(np.array(polygons), lambda points: points * scale):
        pixels = drawn(np.array([polygon]), shape)
        mask[pixels.row, pixels.column] = True
        if not len(pixels.row) and (pixel := pixel_of(polygon, shape)) is not None:
            # Smaller than a mask pixel: keep the one that it is in, rather than nothing.
            mask[pixel] = True
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
