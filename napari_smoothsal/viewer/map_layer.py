"""The layer of a map: diverging, clear at zero, veiled where nothing was computed."""

from __future__ import annotations

from typing import Any

from napari_smoothsal.viewer.map_picture import MapPicture
from napari_smoothsal.viewer.slide_source import METADATA
from napari_smoothsal.viewer.ways import TINT, colormap_of

STALE = "earlier settings"
OPACITY = 0.75
"""Nuclei stay visible under the strongest colours."""


def map_layer_options(picture: MapPicture, name: str, multiscale: bool) -> dict[str, Any]:
    """Options of the layer except its placement."""
    return {
        "name": name,
        "rgb": False,
        "multiscale": multiscale,
        "colormap": colormap_of(TINT, picture.palette),
        "contrast_limits": (-picture.limit, picture.limit),
        "blending": "translucent",
        "opacity": OPACITY,
        "interpolation2d": "nearest",
        "metadata": {METADATA: {"limit": picture.limit, "stretch": False} | told_by(picture)},
    }


def told_by(picture: MapPicture) -> dict[str, Any]:
    """What a layer keeps of its picture: for the legend, the pointer and the limits."""
    return {
        "map": picture.key,
        "title": picture.title,
        "legend": picture.legend,
        "limits": {False: picture.limit, True: picture.stretched},
        "limit_of": picture.limit_of,
        "calibration": picture.calibration,
        "palette": picture.palette,
        "target": picture.target,
        "model": picture.model,
        "of_a_part": picture.of_a_part,
    }


def apply_limits(layer: Any) -> None:
    """Set the limits of full colour that are chosen; others than those we set are the user's."""
    own = layer.metadata[METADATA]
    limit = own["limits"][own["stretch"]]
    if limit != own["limit"] and tuple(layer.contrast_limits) == (-own["limit"], own["limit"]):
        layer.contrast_limits_range = (-limit, limit)
        layer.contrast_limits = (-limit, limit)
        own["limit"] = limit


def apply_calibration(layer: Any, wanted: bool) -> None:
    """Show only what exceeds a map's limits, where it has useful ones, or all of it."""
    own = layer.metadata[METADATA]
    calibration, pixels = own.get("calibration"), own.get("pixels")
    used = wanted and calibration is not None and calibration.useful
    if pixels is not None and pixels.blanked != used:
        pixels.blank(used)
        layer.refresh(extent=False)


def is_blanked(layer: Any) -> bool:
    """Whether it is shown only where it exceeds its limits."""
    pixels = layer.metadata[METADATA].get("pixels")
    return pixels is not None and bool(pixels.blanked)


def rename(layer: Any) -> None:
    """Let the name say of what it is a map and what it lacks; another name is the user's."""
    own = layer.metadata[METADATA]
    if layer.name != own["name"]:
        return
    part = own["key"]["part"]
    said = [] if part == "slide" else [part]
    said += [] if own["complete"] else ["partial"]
    said += [STALE] if own["stale"] else []
    layer.name = own["title"] + (f" ({', '.join(said)})" if said else "")
    own["name"] = layer.name


def hide_marks(layer: Any) -> None:
    """Hatching and dots of a map that is about to change."""
    marks = layer.metadata[METADATA].get("marks")
    if marks is not None:
        marks.hide()


def unmark(layer: Any) -> None:
    """Take away the hatching and dots that were drawn for a map."""
    marks = layer.metadata[METADATA].pop("marks", None)
    if marks is not None:
        marks.remove()


def mark_stale(layer: Any, settings: object) -> None:
    """Say of the map of a view whether it is of other settings than those that are chosen now."""
    own = layer.metadata[METADATA]
    if own.get("key", {}).get("part") == "view":
        own["stale"] = own["settings"] != settings
        rename(layer)


def is_map(layer: Any) -> bool:
    """Whether a layer is a saliency map of ours."""
    own = layer.metadata.get(METADATA)
    return isinstance(own, dict) and "legend" in own


def belongs_to_map(layer: Any) -> bool:
    """Whether it is a map, or is drawn over the tissue because of one."""
    own = layer.metadata.get(METADATA)
    return is_map(layer) or (isinstance(own, dict) and "beside a map" in own)
