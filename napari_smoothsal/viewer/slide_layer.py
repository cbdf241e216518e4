"""From a slide to the layer data that shows it, in micrometres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_smoothsal.slides import Slide, open_slide
from napari_smoothsal.viewer import display_colours
from napari_smoothsal.viewer.display_colours import Correction
from napari_smoothsal.viewer.slide_levels import slide_levels
from napari_smoothsal.viewer.slide_probe import probe_slide
from napari_smoothsal.viewer.slide_source import METADATA, SlideSource
from napari_smoothsal.viewer.tile_loader import load_beside

LayerData = tuple[Any, dict[str, Any], str]


def slide_layer_data(
    slide: Slide, source: SlideSource, name: str, correct: Correction | None = None
) -> LayerData:
    """Layer data tuple of an open slide, which must stay open as long as the layer.

    The centre of level-0 pixel i lies at i * mpp. A slide without a resolution is shown in
    pixels; the docks ask for it. Its colours are those of the file, or what ``correct`` makes of
    them.
    """
    levels: list[Any] = list(slide_levels(slide, correct))
    many = len(levels) > 1
    placement: dict[str, Any] = {}
    if slide.mpp is not None:
        placement = {"scale": slide.mpp, "translate": (0.0, 0.0), "units": ("um", "um")}
    options = {
        "name": name,
        "rgb": True,
        "multiscale": many,
        "contrast_limits": (0, 255),
        "metadata": {METADATA: source},
        **placement,
    }
    return (levels if many else levels[0], options, "image")


def _load_what_napari_needs() -> None:
    """For its first layer: half of the time until that is drawn."""
    import pint
    import scipy.ndimage  # noqa: F401

    getattr(pint.get_application_registry(), "um")  # type: ignore[no-untyped-call]  # noqa: B009


def open_slide_layer(path: str | Path, name: str | None = None) -> LayerData:
    """Open a slide file and describe its layer; an open viewer reads it beside its GUI thread.

    Raises
    ------
    SlideError
        Where the file is no slide, a damaged one, or one that crashes its decoder: see
        `probe_slide`.
    """
    import napari

    probe_slide(Path(path), _load_what_napari_needs)
    load_beside(napari.current_viewer())
    slide = open_slide(path)
    profile = slide.colour_profile
    wanted = profile is not None and display_colours.wanted()
    correct = display_colours.correction(profile) if wanted else None
    source = SlideSource(
        Path(path).absolute(),
        slide.mpp,
        (slide.height, slide.width),
        correct is not None,
        slide.fingerprint,
    )
    return slide_layer_data(slide, source, name or slide.name, correct)
