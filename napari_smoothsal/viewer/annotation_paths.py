"""Polygons with holes, and of several parts, as the one closed path that napari has for them.

napari draws no edge that is walked twice. So a path goes around the first outline, over to the next
ring, around it and back by the same way.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

Places = NDArray[np.float64]


def path_of(geometry: shapely.Polygon | shapely.MultiPolygon) -> Places:
    """(n, 2) corners, in the geometry's coordinates, of a path around all of its rings."""
    parts = getattr(geometry, "geoms", [geometry])
    rings = [
        shapely.get_coordinates(ring)
        for part in parts
        for ring in (part.exterior, *part.interiors)
        if not ring.is_empty
    ]
    if len(rings) == 1:
        return np.asarray(rings[0][:-1])
    start = rings[0][:1]
    return np.concatenate([rings[0], *(np.vstack([ring, start]) for ring in rings[1:])])


def area_of(path: Places) -> shapely.Polygon | shapely.MultiPolygon | None:
    """What a closed path goes around; None where that is nothing.

    A ring ends where the path comes back to a corner. What is left after that is the way over to
    the next ring and back, which goes around nothing. A ring in another one is a hole of it.
    """
    rings: list[list[tuple[float, ...]]] = []
    walked: dict[tuple[float, ...], None] = {}  # in order, and found at once
    for corner in map(tuple, path.tolist()):
        if corner in walked:
            ring = [walked.popitem()[0]]
            while ring[-1] != corner:
                ring.append(walked.popitem()[0])
            rings.append(ring)
        walked[corner] = None
    area: shapely.Geometry = shapely.MultiPolygon()
    for ring in [*rings, list(walked)]:
        if len(ring) > 2:
            area = shapely.symmetric_difference(area, shapely.make_valid(shapely.Polygon(ring)))
    parts = [p for p in getattr(area, "geoms", [area]) if isinstance(p, shapely.Polygon)]
    parts = [part for part in parts if part.area > 0]
    if len(parts) == 1:
        return parts[0]
    return shapely.MultiPolygon(parts) if parts else None
