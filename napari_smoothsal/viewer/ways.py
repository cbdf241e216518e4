"""Three ways to show a map: as a tint, as contour lines, as a spotlight."""

from __future__ import annotations

from typing import Any

from napari_smoothsal.render.colours import NOT_COMPUTED, Stop, palette_named

TINT, CONTOURS, SPOTLIGHT = "tint", "contour lines", "spotlight"
WAYS = {
    TINT: "Colour by value, clear where there is no influence.",
    CONTOURS: "Lines at a third, two thirds and all of full colour: the tissue keeps its colours.",
    SPOTLIGHT: "Darken the tissue where there is no influence, whichever its sign elsewhere.",
}

DARKEST = 0.72
"""Opacity of the spotlight's dark: the tissue can still be guessed."""


def colormap_of(way: str, palette: str) -> Any:
    """The napari colormap of a map; contour lines are a layer of their own, beside a clear map."""
    from napari.utils import Colormap

    stops: list[Stop] = {
        TINT: list(palette_named(palette).stops),
        CONTOURS: [(0.0, (1.0, 1.0, 1.0, 0.0)), (1.0, (1.0, 1.0, 1.0, 0.0))],
        SPOTLIGHT: [
            (0.00, (0.0, 0.0, 0.0, 0.0)),
            (0.25, (0.0, 0.0, 0.0, 0.2 * DARKEST)),
            (0.50, (0.0, 0.0, 0.0, DARKEST)),
            (0.75, (0.0, 0.0, 0.0, 0.2 * DARKEST)),
            (1.00, (0.0, 0.0, 0.0, 0.0)),
        ],
    }[way]
    return Colormap(
        colors=[colour for _, colour in stops],
        controls=[place for place, _ in stops],
        nan_color=NOT_COMPUTED,
        name=f"saliency {way}, {palette}",
    )
