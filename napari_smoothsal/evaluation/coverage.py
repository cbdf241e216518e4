"""How much of each layer pixel is nucleus, rim of a nucleus, or neither.

A layer pixel is 0.5 to 16 micrometres wide and a nucleus 5 to 16, so that a layer pixel is not
simply on or off a nucleus. Each is cut into s x s parts of at most `FINE_UM`; the share of parts
whose centre is inside an outline is its covered fraction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import partial

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_array

from napari_smoothsal.evaluation.nuclei import Nuclei
from napari_smoothsal.slides.drawing import drawn

FINE_UM = 0.25
WINDOW = 2048
"""Sides of what is drawn at once, in parts of layer pixels."""

Pair = tuple[float, float]


class Zone(IntEnum):
    """Parts of the tissue; a place inside a nucleus belongs to that nucleus, one outside all of
    them to a nucleus of the explained class within the rim's reach before any other."""

    ELSEWHERE = 0
    OTHER_OUTER_RIM = 1
    CLASS_OUTER_RIM = 2
    OTHER_INNER_RIM = 3
    OTHER_INTERIOR = 4
    CLASS_INNER_RIM = 5
    CLASS_INTERIOR = 6


@dataclass(frozen=True)
class Placement:
    """Where the pixels of a map lie; (y, x) pairs.

    Attributes
    ----------
    scale_um
        Width of a pixel.
    corner_um
        The outer corner of pixel (0, 0), from the slide's upper left corner.
    shape
        (h, w).
    """

    scale_um: Pair
    corner_um: Pair
    shape: tuple[int, int]

    @classmethod
    def of(cls, scale_um: Pair, translate_um: Pair, shape: tuple[int, int], mpp: Pair) -> Placement:
        """From a store's numbers.

        There 0 is the centre of level-0 pixel (0, 0) and ``translate_um`` the centre of the
        map's; outlines count from the slide's corner, half a level-0 px before.
        """
        y, x = (t + m / 2 - s / 2 for t, m, s in zip(translate_um, mpp, scale_um, strict=True))
        return cls(scale_um, (y, x), shape)


@dataclass(frozen=True, eq=False)
class Coverage:
    """Covered fractions of the explained pixels of a map.

    Attributes
    ----------
    zones
        (7, n) float32, by `Zone`; each column sums to 1.
    nuclei
        (nuclei, n) sparse: area of each nucleus on each pixel, in layer px.
    of_class
        (nuclei,) True for nuclei of the explained class.
    centres_um, nuclei_um
        (n, 2) and (nuclei, 2): (y, x) of pixels and nuclei.
    """

    zones: NDArray[np.float32]
    nuclei: csr_array
    of_class: NDArray[np.bool_]
    centres_um: NDArray[np.float64]
    nuclei_um: NDArray[np.float64]

    @property
    def areas(self) -> NDArray[np.float64]:
        """(nuclei,) area of each that was explained, in layer px."""
        return np.asarray(self.nuclei @ np.ones(len(self.centres_um)))

    def restricted(self, known: NDArray[np.bool_]) -> Coverage:
        """The same for some of the pixels."""
        if known.all():
            return self
        return Coverage(
            self.zones[:, known],
            self.nuclei[:, np.flatnonzero(known)],
            self.of_class,
            self.centres_um[known],
            self.nuclei_um,
        )


def coverage(
    placement: Placement, explained: NDArray[np.bool_], nuclei: Nuclei, rim_um: float
) -> Coverage:
    """Draw nuclei, their rims and their interiors onto the pixels of a map.

    Parameters
    ----------
    placement, explained
        Where the map lies and (h, w) which of its pixels have a value.
    nuclei
        In micrometres.
    rim_um
        A rim reaches this far to both sides of an outline.
    """
    strokes = _Strokes(nuclei, rim_um)
    split = tuple(max(2, math.ceil(s / FINE_UM)) for s in placement.scale_um)
    fine_um = np.divide(placement.scale_um, split)
    number = np.full(placement.shape, -1, np.int64)
    number[explained] = np.arange(explained.sum())
    zones = np.zeros((len(Zone), int(explained.sum())), np.float32)
    zones[Zone.ELSEWHERE] = 1
    found: list[NDArray[np.int64]] = []
    for rows, columns in _windows(placement.shape, split):
        here = number[rows, columns]
        if (here < 0).all():
            continue
        start = np.array([rows.start * split[0], columns.start * split[1]])
        size = (here.shape[0] * split[0], here.shape[1] * split[1])
        labels, owned = strokes.drawn(
            np.array(placement.corner_um) + start * fine_um, fine_um, size
        )
        parts = labels.reshape(here.shape[0], split[0], here.shape[1], split[1])
        known = here >= 0
        for zone in np.unique(labels):
            share = np.add.reduce(parts == zone, axis=(1, 3), dtype=np.uint32)
            zones[zone, here[known]] = share[known] / (split[0] * split[1])
        if not (labels == Zone.ELSEWHERE).any():
            zones[Zone.ELSEWHERE, here[known]] = 0
        owner, y, x = owned
        pixel = here[y // split[0], x // split[1]]
        found.append(np.stack([owner, pixel])[:, pixel >= 0])
    owner, pixel = np.concatenate([np.empty((2, 0), np.int64), *found], axis=1)
    area = np.full(len(owner), 1 / (split[0] * split[1]))
    y, x = np.nonzero(explained)
    places = (np.stack([y, x], axis=1) + 0.5) * placement.scale_um + placement.corner_um
    centres: NDArray[np.float64] = np.asarray(places, np.float64)
    middles = shapely.get_coordinates(shapely.centroid(nuclei.shapes))[:, ::-1]
    matrix = csr_array((area, (owner, pixel)), shape=(len(nuclei.shapes), zones.shape[1]))
    return Coverage(zones, matrix, nuclei.of_class, centres, middles)


def _windows(shape: tuple[int, int], split: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    step = [max(1, WINDOW // s) for s in split]
    for y in range(0, shape[0], step[0]):
        for x in range(0, shape[1], step[1]):
            yield slice(y, min(shape[0], y + step[0])), slice(x, min(shape[1], x + step[1]))


class _Strokes:
    """All polygons to draw, in the order of `Zone`: what comes later covers what came before."""

    def __init__(self, nuclei: Nuclei, rim_um: float) -> None:
        layers = []
        grown = partial(shapely.buffer, nuclei.shapes, quad_segs=4)
        for shapes, other, of_class in (
            (grown(rim_um), Zone.OTHER_OUTER_RIM, Zone.CLASS_OUTER_RIM),
            (nuclei.shapes, Zone.OTHER_INNER_RIM, Zone.CLASS_INNER_RIM),
            (grown(-rim_um), Zone.OTHER_INTERIOR, Zone.CLASS_INTERIOR),
        ):
            parts, nucleus = shapely.get_parts(shapes, return_index=True)
            zone = np.where(nuclei.of_class[nucleus], of_class, other)
            owner = np.where(shapes is nuclei.shapes, nucleus, -1)
            layers.append((parts, zone, owner))
        polygons, zones, owners = (np.concatenate(column) for column in zip(*layers, strict=True))
        there = ~shapely.is_empty(polygons)
        order = np.flatnonzero(there)[np.argsort(zones[there], kind="stable")]
        self._polygons, self._zones, self._owners = polygons[order], zones[order], owners[order]
        self._tree = shapely.STRtree(self._polygons)

    def drawn(
        self, corner_um: NDArray[np.float64], step_um: NDArray[np.float64], size: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Zones (h, w) of a window, and (3, m): nucleus, row and column of what nuclei cover."""
        labels = np.zeros(size, np.uint8)
        top, left = corner_um
        bottom, right = corner_um + step_um * size
        chosen = np.sort(self._tree.query(shapely.box(left, top, right, bottom)))
        in_parts = shapely.transform(
            self._polygons[chosen], lambda points: (points - (left, top)) / step_um[::-1]
        )
        pixels = drawn(in_parts, size)
        # Of several values for one place the last remains.
        labels[pixels.row, pixels.column] = self._zones[chosen][pixels.polygon]
        owner = self._owners[chosen][pixels.polygon]
        of_nucleus = owner >= 0
        return labels, np.stack([owner, pixels.row, pixels.column])[:, of_nucleus]
