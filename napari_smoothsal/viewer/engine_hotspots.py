"""How the engine finds hotspots of a stored map."""

from __future__ import annotations

import shapely

from napari_smoothsal.core.hotspot import Hotspot
from napari_smoothsal.runs import open_run
from napari_smoothsal.runs.hotspots import hotspot_at, hotspots, measured_place
from napari_smoothsal.viewer.asked import FindHotspots
from napari_smoothsal.viewer.told import HotspotsFound


def hotspots_found(request: FindHotspots) -> HotspotsFound:
    """All of a map, the one at a place, or what it says of those that are drawn.

    Raises
    ------
    StoreError
        Where the store is not there any more.
    """
    run, key = open_run(request.store), request.key
    found: list[Hotspot]
    if request.at is not None:
        found = [hotspot_at(run, key, request.at, request.percentile)]
    elif request.drawn:
        places = (
            shapely.MultiPolygon([(rings[0], list(rings[1:])) for rings in polygons])
            for polygons in request.drawn
        )
        found = [measured_place(run, key, place) for place in places]
    else:
        found = hotspots(run, key, request.percentile)
    return HotspotsFound(id=request.id, hotspots=tuple(found))
