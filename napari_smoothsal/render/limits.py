"""Colour limits: symmetric, and one for a whole map, so that a colour means one value."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_smoothsal.runs import RunMap

PERCENTILE = 99.0


def symmetric_limit(run_map: RunMap) -> float:
    """Magnitude of full colour: the 99th percentile of the coarsest level of extremes.

    That level shows the whole slide in at most 1024 px, each the strongest of those below it, so
    the limit of a large slide is somewhat higher than that of its finest level.

    Returns
    -------
    float
        Above 0; 1 where the map is empty.
    """
    return run_map.largest_magnitude(PERCENTILE) or 1.0
