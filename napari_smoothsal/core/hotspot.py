"""Hotspot: a region of a map, and what the map says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import shapely

Ring = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Hotspot:
    """A region of a map.

    Attributes
    ----------
    polygons
        Each (outline, hole, ...), rings of (x, y) in level-0 px.
    mean, peak
        Of the map's values in it; the peak is the value of largest magnitude. None where nothing
        was computed.
    area_um2
        Its area, without holes.
    percentile
        Of the magnitudes that it is above; None of a place that somebody has chosen.
    """

    polygons: tuple[tuple[Ring, ...], ...]
    mean: float | None
    peak: float | None
    area_um2: float
    percentile: float | None = None

    @property
    def geometry(self) -> shapely.MultiPolygon:
        """In level-0 px."""
        # Imported here: it travels between processes, of which few look at its geometry.
        import shapely

        return shapely.MultiPolygon([(rings[0], list(rings[1:])) for rings in self.polygons])

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x, y, w, h) around it, in level-0 px."""
        left, top, right, bottom = self.geometry.bounds
        return (left, top, right - left, bottom - top)
