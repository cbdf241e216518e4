"""Named outlines of things on a slide, such as nuclei by class, from somebody's GeoJSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.slides.geojson import marked_in

BEYOND_PX = 1.0
"""How far an outline may reach beyond the slide, in level-0 px: rounding, not another slide."""


@dataclass(frozen=True, eq=False)
class Outlines:
    """What a GeoJSON file outlines.

    Attributes
    ----------
    shapes
        (n,) Polygons and MultiPolygons in level-0 px; whole numbers lie on the edges of pixels,
        so that the centre of level-0 pixel k is at k + 1/2.
    names
        (n,) class names.
    object_types
        (n,) QuPath's object types, or empty.
    file_name
        For messages; never the folder.
    """

    shapes: NDArray[np.object_]
    names: NDArray[np.str_]
    object_types: NDArray[np.str_]
    file_name: str

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def counts(self) -> dict[str, int]:
        """Number of outlines by class name, most frequent first."""
        return dict(Counter(self.names.tolist()).most_common())

    def check_on_slide(self, size: tuple[int, int]) -> None:
        """Refuse outlines that cannot be of a slide.

        Parameters
        ----------
        size
            (width, height) of the slide in level-0 px.

        Raises
        ------
        SlideError
            If one reaches further beyond the slide than `BEYOND_PX`; it names both extents.
        """
        width, height = size
        left, top, right, bottom = shapely.total_bounds(self.shapes)
        if min(left, top, width - right, height - bottom) < -BEYOND_PX:
            raise SlideError(
                f"{self.file_name}: the outlines, x {left:.6g} to {right:.6g} and y {top:.6g} to "
                f"{bottom:.6g}, reach beyond the slide, x 0 to {width} and y 0 to {height}; they "
                "must be in pixels of level 0, counted from the slide's upper left corner, and "
                "belong to this slide"
            )


def read_outlines(path: str | Path) -> Outlines:
    """Read every outline of a GeoJSON file with its class; of a QuPath cell, its nucleus.

    Raises
    ------
    SlideError
        Where the file is missing, too large, no GeoJSON, or outlines nothing.
    """
    path = Path(path)
    found = list(marked_in(path, nuclei_of_cells=True))
    if not found:
        raise SlideError(
            f"{path.name}: there is no Polygon or MultiPolygon in the file; export the outlines "
            "of nuclei with their classes"
        )
    shapes = np.empty(len(found), object)
    shapes[:] = [marked.geometry for marked in found]
    return Outlines(
        shapes,
        np.array([marked.class_name for marked in found]),
        np.array([marked.object_type for marked in found]),
        path.name,
    )
