"""Colour limits: symmetric, and one for a whole map, so that a colour means one value."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_smoothsal.runs import RunMap

PERCENTILE = 99.0


def symmetric_limit(run_map: RunMap) -> float:
    """Magnitude of full colour: the 99th percentile over the slide, of the coarsest extremes.

    Returns
    -------
    float
        Above 0; 1 where the map is empty.
    """
    return run_map.largest_magnitude(PERCENTILE) or 1.0
