"""What is seen in a viewer as a `SharedView`, and a viewer brought to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import AnnotationError
from napari_smoothsal.viewer.choice import NO_DOCK
from napari_smoothsal.viewer.map_layer import is_map
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.slide_on_show import pixels_at, run_of, slide_on_show
from napari_smoothsal.viewer.slide_source import METADATA, source_of

if TYPE_CHECKING:
    from napari_smoothsal.runs.shared_view import SharedMap, SharedSettings, SharedView
    from napari_smoothsal.viewer.choice import Choice


@dataclass(frozen=True)
class Opened:
    """What has come of a view that was opened.

    Attributes
    ----------
    missing
        Titles of visible maps that are not open here.
    notes
        What could not be taken over, in words.
    explainable
        Whether the settings are entered, so that a missing map of a view can be computed.
    """

    missing: tuple[str, ...]
    notes: tuple[str, ...]
    explainable: bool


def seen_in(viewer: Any, choice: Choice | None = None) -> SharedView:
    """What is seen in a viewer.

    Parameters
    ----------
    viewer
        With a slide, or a store.
    choice
        What the Saliency dock is set to, where one is open.

    Raises
    ------
    AnnotationError
        If no slide is open, or it has no file, so that nobody else could open it.
    """
    from napari_smoothsal.runs.shared_view import SharedView

    slide = _slide(viewer)
    (top, left), (bottom, right) = _corners(viewer)
    window = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
    corners = pixels_at(slide, window)[:, ::-1] * slide.mpp  # (y, x) um
    centre, size = corners.mean(axis=0), np.ptp(corners, axis=0)
    height, width = slide.size
    return SharedView(
        slide_fingerprint=fingerprint_of(slide),
        slide_size=(width, height),
        mpp=slide.mpp,
        centre_um=tuple(centre.tolist()),
        size_um=tuple(size.tolist()),
        settings=choice.shared() if choice is not None else None,
        maps=tuple(_shared_map(layer) for layer in viewer.layers if is_map(layer)),
    ).without_paths


def bring_to(viewer: Any, view: SharedView, choice: Choice | None = None) -> Opened:
    """Bring a viewer to what somebody else has seen.

    Raises
    ------
    AnnotationError
        If no slide is open, or another one; nothing is changed then.
    """
    slide = _slide(viewer)
    height, width = slide.size
    view.check_slide(fingerprint_of(slide), (width, height))
    # Micrometres are counted with the view's own resolution: this slide may be given another.
    centre, half = np.array(view.centre_um), np.array(view.size_um) / 2
    start, end = (slide.world(_place(at / view.mpp)) for at in (centre - half, centre + half))
    spans = np.abs(end - start)
    camera = viewer.scene.camera
    camera.center = (0.0, *((start + end) / 2).tolist())
    camera.zoom = float(min(np.array(viewer.canvas.size) / np.maximum(spans, 1e-9)))
    notes: tuple[str, ...] = ()
    if view.settings is not None and choice is not None:
        notes = choice.take_over(view.settings)
    elif view.settings is not None:
        notes = (NO_DOCK,)
    missing = _show_maps(viewer, view.maps, (start + end) / 2)
    explainable = view.settings is not None and choice is not None and not notes
    return Opened(missing, notes, explainable)


def fingerprint_of(slide: ExplainedSlide) -> str:
    """Of a slide's pixels.

    Raises
    ------
    AnnotationError
        If its layer has no file.
    """
    source, run = source_of(slide.layer), run_of(slide.layer)
    if run is not None:
        return str(run.provenance["slide"]["fingerprint"])
    if source is None:
        raise AnnotationError(
            f"layer {slide.layer.name!r} was not opened as a slide's file, so that nobody else "
            "could find the same one; open the slide with File > Open"
        )
    if source.fingerprint:
        return source.fingerprint
    from napari_smoothsal.slides import open_slide

    with open_slide(source.path) as opened:
        return opened.fingerprint


def _slide(viewer: Any) -> ExplainedSlide:
    slide = slide_on_show(viewer)
    if slide is None:
        raise AnnotationError(
            "no slide is open: open the slide that the view is of, e.g. with File > Open"
        )
    return slide


def _corners(viewer: Any) -> NDArray[np.float64]:
    """(2, 2): where the window begins and ends in the world, (y, x)."""
    camera = viewer.scene.camera
    centre, half = np.array(camera.center[-2:]), np.array(viewer.canvas.size) / 2 / camera.zoom
    return np.array([centre - half, centre + half])


def _place(pixels: NDArray[np.float64]) -> tuple[float, float]:
    """From the corner of pixel 0 to its centre, which napari has at 0."""
    y, x = (pixels - 0.5).tolist()
    return (y, x)


def _shared_map(layer: Any) -> SharedMap:
    from napari_smoothsal.runs.shared_view import SharedMap

    own = layer.metadata[METADATA]
    return SharedMap(
        key=own["map"],
        title=own["title"],
        part=own.get("key", {}).get("part", "store"),
        visible=bool(layer.visible),
        opacity=float(layer.opacity),
        limit=max(abs(float(v)) for v in layer.contrast_limits),
    )


def _show_maps(
    viewer: Any, wanted: tuple[SharedMap, ...], middle: NDArray[np.float64]
) -> tuple[str, ...]:
    """Show maps as they were shown; titles of visible ones that are not here."""
    there = [layer for layer in viewer.layers if is_map(layer)]
    missing: list[str] = []
    taken: list[Any] = []
    for one in wanted:
        # A map of a view is of one place; one that is kept is the same in a store.
        alike = [
            x
            for x in there
            if x not in taken
            and x.metadata[METADATA]["map"] == one.key
            and (_part(x) == "view") == (one.part == "view")
            and (one.part != "view" or _covers(x, middle))
        ]
        if not alike:
            missing += [one.title or one.key] if one.visible else []
            continue
        layer = alike[-1]
        taken.append(layer)
        layer.visible, layer.opacity = one.visible, one.opacity
        layer.contrast_limits_range = (-one.limit, one.limit)
        layer.contrast_limits = (-one.limit, one.limit)
    for layer in there:
        if wanted and layer not in taken:
            layer.visible = False
    return tuple(missing)


def _part(layer: Any) -> str:
    return str(layer.metadata[METADATA].get("key", {}).get("part", "store"))


def _covers(layer: Any, place: NDArray[np.float64]) -> bool:
    """Whether a place in the world is on a layer."""
    start, end = layer.extent.world[:, -2:]
    return bool((start <= place).all() and (place <= end).all())


def settings_in_words(settings: SharedSettings) -> str:
    """What a map is of: layer, denoising, method, model."""
    spec = settings.spec
    named = (spec.layer_label, spec.denoising_label, spec.method_label)
    return ", ".join(text.replace("_", " ") for text in named) + f", {settings.model}"
