"""Which kind of tissue lies where: a coarse map in micrometres, before any cell is drawn.

The sample slide is laid out like a lymph node with metastases: capsule and trabeculae of
collagen, lymphoid tissue, tumour in nests, fat outside. Training tiles get small random layouts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours

from napari_smoothsal.sample_data.noise import Field, smooth_noise


class Region(IntEnum):
    """Kind of tissue at a place."""

    GLASS = 0
    STROMA = 1
    LYMPHOID = 2
    TUMOUR = 3
    ADIPOSE = 4


STEP_UM = 2.0
"""Spacing of a layout's grid."""


@dataclass(frozen=True)
class Layout:
    """Kinds of tissue on a grid of ``STEP_UM``.

    Parameters
    ----------
    regions
        ``Region`` numbers (rows, columns).
    tumour_area
        True inside a tumour's outline, stroma between its nests included.
    fibre_contours
        Field in micrometres whose contour lines collagen follows; None for one direction.
    """

    regions: NDArray[np.uint8]
    tumour_area: NDArray[np.bool_]
    fibre_contours: Field | None = None

    @property
    def size_um(self) -> tuple[float, float]:
        """Height and width."""
        return self.regions.shape[0] * STEP_UM, self.regions.shape[1] * STEP_UM

    def at(self, y_um: float, x_um: float) -> Region:
        """Kind of tissue at a point; the nearest one for points outside."""
        row = min(max(int(y_um / STEP_UM), 0), self.regions.shape[0] - 1)
        column = min(max(int(x_um / STEP_UM), 0), self.regions.shape[1] - 1)
        return Region(int(self.regions[row, column]))

    def share(self, region: Region, softness_um: float = 1.5) -> Field:
        """Smoothed share (0 to 1) of one kind of tissue, on the layout's grid."""
        here = (self.regions == region).astype(np.float32)
        return np.asarray(ndimage.gaussian_filter(here, softness_um / STEP_UM))

    def tumour_outlines(self) -> list[NDArray[np.float64]]:
        """Closed outlines (n, 2) of the tumour areas above 4000 um2, as (y, x) in micrometres."""
        filled = ndimage.binary_fill_holes(self.tumour_area).astype(np.float32)
        padded = np.pad(ndimage.gaussian_filter(filled, 2.0), 1)
        outlines = []
        for contour in find_contours(padded, 0.5):  # type: ignore[no-untyped-call]
            # Grid value i stands for the centre (i + 0.5) of its cell; the padding adds one.
            simpler = approximate_polygon(contour, 0.7)  # type: ignore[no-untyped-call]
            outline = (simpler - 0.5) * STEP_UM
            if len(outline) > 8 and _area(outline) > 4000:
                outlines.append(outline)
        return outlines


def _area(outline: NDArray[np.float64]) -> float:
    y, x = outline[:-1, 0], outline[:-1, 1]
    return float(abs(np.dot(y, np.roll(x, 1)) - np.dot(x, np.roll(y, 1))) / 2)


def _blob(
    shape: tuple[int, int],
    centre_um: tuple[float, float],
    radii_um: tuple[float, float],
    angle: float = 0.0,
) -> Field:
    """Signed depth inside an ellipse, in micrometres: positive inside, about 0 at its edge."""
    y = (np.arange(shape[0], dtype=np.float32)[:, None] + 0.5) * STEP_UM - centre_um[0]
    x = (np.arange(shape[1], dtype=np.float32)[None, :] + 0.5) * STEP_UM - centre_um[1]
    u = (x * np.cos(angle) + y * np.sin(angle)) / radii_um[1]
    v = (y * np.cos(angle) - x * np.sin(angle)) / radii_um[0]
    depth = (1 - np.sqrt(u * u + v * v)) * min(radii_um)
    return np.asarray(depth, np.float32)


def _septa(rng: np.random.Generator, shape: tuple[int, int], nest_um: float, width: float) -> Field:
    """Positive in thin bands that divide a tumour into nests."""
    field = smooth_noise(rng, shape, STEP_UM, nest_um) + 0.25 * smooth_noise(
        rng, shape, STEP_UM, nest_um / 4
    )
    return np.asarray(width - np.abs(field), np.float32)


def sample_layout(seed: int, size_um: tuple[float, float] = (2048.0, 3072.0)) -> Layout:
    """Layout of the sample slide: one node, a strip of collagen, glass around them.

    Parameters
    ----------
    seed
        Decides every irregularity; the arrangement itself is fixed.
    size_um
        Height and width.
    """
    rng = np.random.default_rng([seed, 11])
    shape = (round(size_um[0] / STEP_UM), round(size_um[1] / STEP_UM))

    def rough(scale: float, height: float) -> Field:
        return np.float32(height) * smooth_noise(rng, shape, STEP_UM, scale)

    edge = rough(160, 40) + rough(40, 12) + rough(10, 3)
    node = _blob(shape, (960, 1200), (680, 1010), -0.12) + edge
    strip = _blob(shape, (1560, 2560), (120, 430), -0.75) + rough(90, 28) + rough(16, 5)
    fat = _blob(shape, (560, 2180), (270, 380), 0.5) + rough(90, 40) + rough(25, 8)

    regions = np.zeros(shape, np.uint8)
    regions[strip > 0] = Region.STROMA
    regions[fat > 0] = Region.ADIPOSE
    regions[node > -38] = Region.STROMA
    cortex = (node > 14 + rough(60, 9)) & (_septa(rng, shape, 75, 0.16) < 0)
    medulla = _blob(shape, (1130, 700), (330, 420)) + rough(80, 70)
    # The medulla has broad collagen between its cords.
    cords = smooth_noise(rng, shape, STEP_UM, 38) + 0.3 * smooth_noise(rng, shape, STEP_UM, 12)
    cortex &= ~((medulla > 0) & (cords < 0.25))
    regions[cortex] = Region.LYMPHOID

    tumour = np.full(shape, -1e3, np.float32)
    for centre, radii, angle in (
        ((820, 1530), (330, 430), 0.3),
        ((760, 640), (170, 250), -0.5),
        ((1330, 1250), (120, 190), 0.2),
        ((1330, 2660), (60, 110), -0.8),
    ):
        tumour = np.maximum(tumour, _blob(shape, centre, radii, angle))
    tumour += rough(55, 30) + rough(18, 7)
    area = (tumour > 0) & ((node > 25) | (strip > 8))
    regions[area] = Region.TUMOUR
    # A desmoplastic seam around the tumour, and septa within it.
    seam = (tumour > -34 + rough(40, 14)) & ~area & (node > -38)
    regions[seam & (rough(50, 1) > -0.4)] = Region.STROMA
    nests = area & (_septa(rng, shape, 58, 0.17) > 0)
    regions[nests] = Region.STROMA
    pockets = area & ~nests & (rough(30, 1) > 2.15)
    regions[pockets] = Region.LYMPHOID

    # Vessels and tears: holes in the collagen and a few in the tumour.
    holes = (rough(11, 1) > 2.3) & (node > 0) & ~cortex
    tears = np.abs(rough(70, 1)) < 0.012
    regions[holes | (tears & (node > -38) & (rough(90, 1) > 0.6))] = Region.GLASS
    contours = 1.6 * np.where(strip > node, strip, node).astype(np.float32)
    return Layout(regions, area, ndimage.gaussian_filter(contours, 4.0))


TILE_KINDS = ("tumour", "lymphoid", "stroma", "adipose", "mixed", "glass")


def tile_layout(rng: np.random.Generator, kind: str, size_um: float) -> Layout:
    """Small random layout for one training tile.

    Parameters
    ----------
    rng
        Source of randomness.
    kind
        One of ``TILE_KINDS``: what fills most of the tile. Only ``"tumour"`` has tumour, which
        then covers the middle.
    size_um
        Side of the square.
    """
    side = max(int(np.ceil(size_um / STEP_UM)), 8)
    shape = (side, side)
    slope = smooth_noise(rng, shape, STEP_UM, rng.uniform(12, 60))
    other = smooth_noise(rng, shape, STEP_UM, rng.uniform(10, 40))
    regions = np.full(shape, Region.STROMA, np.uint8)
    area = np.zeros(shape, bool)
    if kind == "tumour":
        regions[slope > rng.uniform(-1, 1.5)] = Region.LYMPHOID
        middle = (size_um / 2, size_um / 2)
        radius = size_um * rng.uniform(0.45, 0.9)
        depth = _blob(shape, middle, (radius, radius)) + size_um * 0.08 * other
        area = depth > 0
        regions[area] = Region.TUMOUR
        regions[area & (_septa(rng, shape, 58, rng.choice([0.0, 0.1, 0.17])) > 0)] = Region.STROMA
        regions[area & (slope > 2.1)] = Region.LYMPHOID
        regions[smooth_noise(rng, shape, STEP_UM, 11.0) > rng.uniform(2.1, 4)] = Region.GLASS
        return Layout(regions, area)
    if kind == "lymphoid":
        regions[:] = Region.LYMPHOID
        regions[other > rng.uniform(1.0, 4.0)] = Region.STROMA
    elif kind == "adipose":
        regions[:] = Region.ADIPOSE
        regions[other > rng.uniform(0.6, 2.0)] = Region.STROMA
    elif kind == "mixed":
        regions[slope > rng.uniform(-0.8, 0.8)] = Region.LYMPHOID
        regions[other > rng.uniform(0.5, 2.0)] = Region.ADIPOSE
    elif kind == "glass":
        regions[:] = Region.GLASS
        regions[slope > rng.uniform(0.3, 3.0)] = Region.STROMA
    regions[smooth_noise(rng, shape, STEP_UM, 9.0) > rng.uniform(1.8, 4)] = Region.GLASS
    return Layout(regions, area)
