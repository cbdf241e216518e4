"""Annotation: something marked on a slide, in level-0 px, whichever file it came from.

Whole numbers lie on the edges of pixels, as in GeoJSON: the centre of level-0 pixel k is at
k + 1/2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import shapely

from napari_smoothsal.core.errors import AnnotationError

Colour = tuple[int, int, int]
Geometry: TypeAlias = (
    shapely.Polygon | shapely.MultiPolygon | shapely.Point | shapely.MultiPoint | shapely.LineString
)
KINDS = ("Polygon", "MultiPolygon", "Point", "MultiPoint", "LineString")
"""Geometries that are read and written; polygons may have holes."""
MOST_EXTENT = 2**24
"""Level-0 px. No slide is larger: beyond it a number is none of a place."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """One thing that is marked.

    Attributes
    ----------
    geometry
        One of `KINDS`, in level-0 px.
    class_name
        What it is; empty where nobody says.
    colour
        (r, g, b) of the class, 0..255; None where there is none.
    name
        Of this one thing, beside its class; may be empty.
    id
        Of this one thing, as its file has it; may be empty.
    rest
        What else its file says of it. A file of the same format gets it back as it was.
    """

    geometry: Geometry
    class_name: str = ""
    colour: Colour | None = None
    name: str = ""
    id: str = ""
    rest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def polygons(self) -> list[shapely.Polygon]:
        """Its parts that have a surface; none of points and lines."""
        parts = getattr(self.geometry, "geoms", [self.geometry])
        return [part for part in parts if isinstance(part, shapely.Polygon) and not part.is_empty]


@dataclass(frozen=True, eq=False)
class Annotations(Sequence[Annotation]):
    """All that one file marks.

    Attributes
    ----------
    items
        In the file's order.
    format
        Name of the file's format; empty where it comes from none.
    rest
        What else the file says, beside the annotations.
    """

    items: tuple[Annotation, ...]
    format: str = ""
    rest: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Annotation]:
        return iter(self.items)

    @property
    def counts(self) -> dict[str, int]:
        """Number of annotations by class, most frequent first; "" are those without."""
        return dict(Counter(one.class_name for one in self.items).most_common())

    def check_on_slide(self, size: tuple[int, int], file_name: str = "the annotations") -> None:
        """Refuse annotations that cannot be of a slide.

        One that reaches over the border is drawn generously; one that lies wholly beside the
        slide belongs to another slide, or is not in pixels of level 0.

        Parameters
        ----------
        size
            (width, height) of the slide in level-0 px.
        file_name
            For the message.

        Raises
        ------
        AnnotationError
            If one lies wholly beside the slide; it names the first and both extents.
        """
        if not self.items:
            return
        width, height = size
        bounds = shapely.bounds(np.array([one.geometry for one in self.items], object))
        left, top, right, bottom = bounds.T
        beside = (right < 0) | (bottom < 0) | (left > width) | (top > height)
        if beside.any():
            first = bounds[np.flatnonzero(beside)[0]]
            raise AnnotationError(
                f"{file_name}: {beside.sum()} of {len(self)} annotations lie beside the slide, the "
                f"first at x {first[0]:.6g} to {first[2]:.6g} and y {first[1]:.6g} to "
                f"{first[3]:.6g}; the slide has x 0 to {width} and y 0 to {height}. They must be "
                "in pixels of level 0, counted from the slide's upper left corner, and belong to "
                "this slide"
            )


def checked_geometry(geometry: shapely.Geometry, file_name: str, which: str) -> Geometry:
    """A geometry that can be used as it is.

    Parameters
    ----------
    geometry
        As it was read.
    file_name, which
        For the message: the file, and which of its annotations it is.

    Raises
    ------
    AnnotationError
        If it is of another kind, empty, or its coordinates are no places of any slide.
    """
    if geometry.geom_type not in KINDS:
        raise AnnotationError(
            f"{file_name}: {which} is a {geometry.geom_type}; only {', '.join(KINDS)} can be used. "
            "Split it in the program that drew it"
        )
    if geometry.is_empty:
        raise AnnotationError(f"{file_name}: {which} has no coordinates; delete it")
    extent = np.abs(geometry.bounds)
    if not (extent <= MOST_EXTENT).all():  # NaN is not, either
        raise AnnotationError(
            f"{file_name}: {which} has the coordinate {extent.max():g}; coordinates must be "
            "numbers, in pixels of the slide's level 0"
        )
    return geometry
