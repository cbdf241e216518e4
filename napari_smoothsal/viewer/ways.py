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


def legend_stops(way: str, palette: str) -> tuple[Stop, ...]:
    """(position, RGBA) of a colour bar; contour lines have the colours of the tint."""
    if way != SPOTLIGHT:
        return palette_named(palette).stops
    darkness = ((0.0, 0.0), (0.25, 0.2), (0.5, 1.0), (0.75, 0.2), (1.0, 0.0))
    return tuple((place, (0.0, 0.0, 0.0, share * DARKEST)) for place, share in darkness)


def colormap_of(way: str, palette: str) -> Any:
    """The napari colormap of a map; contour lines are a layer of their own, beside a clear map."""
    from napari.utils import Colormap

    clear = (1.0, 1.0, 1.0, 0.0)
    stops = ((0.0, clear), (1.0, clear)) if way == CONTOURS else legend_stops(way, palette)
    return Colormap(
        colors=[colour for _, colour in stops],
        controls=[place for place, _ in stops],
        nan_color=NOT_COMPUTED,
        name=palette if way == TINT else way,  # short: napari makes room for all of it
    )
