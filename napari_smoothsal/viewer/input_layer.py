"""The layer of what the model gets: a tile at its resolution, normalised, in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_smoothsal.viewer.placement import placement_on
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.slide_source import METADATA
from napari_smoothsal.viewer.told import InputShown

SHOWN_STD = 3.0
"""Normalised values from -3 to 3 are shown from black to white."""
RGB = 3


def show_input(viewer: Any, slide: ExplainedSlide, found: InputShown) -> Any:
    """Show it over its slide, in place of the one that was shown before.

    Parameters
    ----------
    viewer, slide
        Where, and over which slide.
    found
        Of the engine.
    """
    values = np.load(found.path, allow_pickle=False)
    shown = np.clip(values / (2 * SHOWN_STD) + 0.5, 0, 1)[..., :RGB]
    identity = {"input of": str(slide.layer.unique_id)}
    for old in [x for x in viewer.layers if x.metadata.get(METADATA) == identity]:
        viewer.layers.remove(old)
    return viewer.add_image(
        shown,
        rgb=True,
        name=f"model input, normalised, {found.um_per_px:.3g} um per pixel",
        interpolation2d="nearest",
        metadata={METADATA: identity},
        **placement_on(slide.layer, found, slide.mpp),
    )
