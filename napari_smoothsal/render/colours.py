"""Diverging palettes of signed maps: transparent at zero, and grey where nothing was computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import UnknownNameError

Colour = tuple[float, float, float]
Stop = tuple[float, tuple[float, float, float, float]]

HALF_ALPHA = 0.75
NOT_COMPUTED = (0.45, 0.45, 0.52, 0.3)
"""RGBA of pixels that were not computed: a veil, for zero is clear."""


@dataclass(frozen=True)
class Palette:
    """Colours, RGB 0..1, of values above and below zero; each at half of the limit and at all.

    Attributes
    ----------
    name
        Both colours in words, what supports first.
    """

    name: str
    supports: Colour
    supports_fully: Colour
    against: Colour
    against_fully: Colour

    @property
    def stops(self) -> tuple[Stop, ...]:
        """(position, RGBA): -limit, zero and +limit are at 0, 0.5 and 1."""
        return (
            (0.00, (*self.against_fully, 1.0)),
            (0.25, (*self.against, HALF_ALPHA)),
            (0.50, (1.0, 1.0, 1.0, 0.0)),
            (0.75, (*self.supports, HALF_ALPHA)),
            (1.00, (*self.supports_fully, 1.0)),
        )


def bar_stops(stops: tuple[Stop, ...], one_sided: bool) -> tuple[Stop, ...]:
    """Stops of a colour bar: all of them, or from zero on, of maps with no value below."""
    if not one_sided:
        return stops
    return tuple((2 * place - 1, colour) for place, colour in stops if place >= 0.5)


AMBER_TEAL = Palette(
    "amber and teal", (1.0, 0.66, 0.0), (0.8, 0.36, 0.0), (0.0, 0.62, 0.62), (0.0, 0.36, 0.4)
)
"""Haematoxylin is blue to purple and eosin pink: neither amber nor teal."""
LIME_MAGENTA = Palette(
    "lime and magenta", (0.55, 0.9, 0.0), (0.25, 0.6, 0.0), (1.0, 0.2, 0.85), (0.7, 0.0, 0.6)
)
"""For brown stains, beside which amber is lost."""

PALETTES = {palette.name: palette for palette in (AMBER_TEAL, LIME_MAGENTA)}


def palette_named(name: str) -> Palette:
    """One of `PALETTES`.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    """
    if name not in PALETTES:
        raise UnknownNameError("palette", name, PALETTES)
    return PALETTES[name]


def coloured(
    values: NDArray[np.floating], limit: float, palette: Palette = AMBER_TEAL
) -> NDArray[np.float64]:
    """RGBA (h, w, 4), 0..1, of signed values; zero is fully transparent, NaN is `NOT_COMPUTED`.

    Parameters
    ----------
    values
        (h, w).
    limit
        Magnitude that gets the full colour; larger values keep it.
    palette
        Whose colours.
    """
    position = np.clip(values / max(limit, 1e-30), -1, 1) / 2 + 0.5
    places = [place for place, _ in palette.stops]
    colours = np.array([colour for _, colour in palette.stops])
    shown = np.stack([np.interp(position, places, colours[:, c]) for c in range(4)], axis=-1)
    shown[np.isnan(values)] = NOT_COMPUTED
    return shown


def over(
    picture: NDArray[np.uint8], overlay: NDArray[np.float64], opacity: float = 1.0
) -> NDArray[np.uint8]:
    """Lay an RGBA overlay (h, w, 4) over an RGB picture (h, w, 3)."""
    alpha = overlay[..., 3:] * opacity
    mixed = overlay[..., :3] * alpha + picture / 255.0 * (1 - alpha)
    return np.asarray(np.rint(mixed * 255), dtype=np.uint8)
