"""The tile grid: pure arithmetic from a slide's size and a model's needs to tiles and maps.

Three pixel grids meet here. *Level 0* is the slide's. The *model grid* has pixels of the
model's resolution; its pixel m covers the level-0 interval [m d, (m + 1) d). Each layer has
one *layer grid* over the whole slide: its pixel g is centred on model pixel g * stride +
centre. Tile origins are multiples of the run's largest stride on the model grid, so that
every tile's layer pixels fall on the layer grid and stitching never resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import (
    MissingResolutionError,
    SettingError,
    SlideTooCoarseError,
)
from napari_smoothsal.slides.base import Box, Slide

IntPair = tuple[int, int]
Pair = tuple[float, float]

SAME_RESOLUTION = 0.01
"""Scales that differ from 1 by less than this are read as 1: resampling would only blur."""

COARSEST = 1.2
"""A slide may be coarser than the model wants by this factor before it is refused."""


def model_scale(slide: Slide, model_mpp: float | None, upsample: bool = False) -> Pair:
    """Level-0 px per model px, (y, x).

    Raises
    ------
    MissingResolutionError
        If slide or model has no micrometres per pixel.
    SlideTooCoarseError
        If the slide is coarser than the model wants by more than 1.2, unless ``upsample``.
    """
    slide_mpp = slide.require_mpp()
    if model_mpp is None:
        raise MissingResolutionError(
            "the model's card gives no input_mpp, so nobody knows at which magnification it "
            "looks at a slide; set input_mpp in the card, or give --card input_mpp=..."
        )
    coarser = max(slide_mpp) / model_mpp
    if coarser > COARSEST and not upsample:
        raise SlideTooCoarseError(
            f"slide {slide.name!r} has {max(slide_mpp):.4g} um per pixel, {coarser:.2g} times "
            f"coarser than the {model_mpp:.4g} that the model wants; give a finer slide, correct "
            "its resolution with --mpp, or accept enlarged pixels with --upsample"
        )
    d = [model_mpp / mpp for mpp in slide_mpp]
    return (_one_if_close(d[0]), _one_if_close(d[1]))


def _one_if_close(d: float) -> float:
    return 1.0 if abs(d - 1) < SAME_RESOLUTION else d


@dataclass(frozen=True)
class LayerWindow:
    """Which pixels of a tile's map are kept, per axis (y, x), and where they lie.

    Attributes
    ----------
    stride, centre
        Of the layer, in model px.
    first, count
        First kept layer pixel of a tile, and how many.
    """

    stride: IntPair
    centre: Pair
    first: IntPair
    count: IntPair


@dataclass(frozen=True)
class TileGrid:
    """Tiles of one run on the model grid.

    Attributes
    ----------
    tile_px, halo, step
        Side of a tile, its rim that is not kept, distance between tiles; model px.
    scale
        Level-0 px per model px, (y, x).
    origins
        (N, 2) int: (y, x) of each tile's first model pixel, row by row. May be negative and may
        reach beyond the slide: there the slide is read reflected.
    windows
        Kept part of each layer's map, by layer name.
    """

    tile_px: int
    halo: int
    step: int
    scale: Pair
    origins: NDArray[np.int64]
    windows: Mapping[str, LayerWindow]

    def __len__(self) -> int:
        return len(self.origins)

    def box(self, index: int, margin: int = 0) -> Box:
        """Level-0 box of one tile, with so many model px around it."""
        y, x = self.origins[index] - margin
        dy, dx = self.scale
        side = self.tile_px + 2 * margin
        return Box(float(x * dx), float(y * dy), side * dx, side * dy)

    def boxes(self) -> NDArray[np.float64]:
        """(N, 4): x, y, w, h of every tile in level-0 px."""
        return _level0(self.origins, self.tile_px, self.scale)

    def kept_boxes(self) -> NDArray[np.float64]:
        """(N, 4): the same without the halo."""
        return _level0(self.origins + self.halo, self.tile_px - 2 * self.halo, self.scale)

    def selected(self, keep: NDArray[np.bool_]) -> TileGrid:
        """The same grid with some of its tiles."""
        return TileGrid(
            self.tile_px, self.halo, self.step, self.scale, self.origins[keep], self.windows
        )


def _level0(origins: NDArray[np.int64], size: int, scale: Pair) -> NDArray[np.float64]:
    dy, dx = scale
    n = len(origins)
    return np.stack(
        [origins[:, 1] * dx, origins[:, 0] * dy, np.full(n, size * dx), np.full(n, size * dy)],
        axis=1,
    )


@dataclass(frozen=True)
class LayerShape:
    """What the grid must know of a layer: its stride, centre and the size of a tile's map."""

    stride: Pair
    centre: Pair
    size: IntPair


def plan_grid(
    region: tuple[int, int, int, int],
    scale: Pair,
    tile_px: int,
    layers: Mapping[str, LayerShape],
    halo: int = 0,
    overlap: float = 0.0,
    unit: int = 1,
) -> TileGrid:
    """Lay tiles over a region so that the kept parts of every layer cover it.

    Parameters
    ----------
    region
        (x, y, w, h), level-0 px.
    scale
        From `model_scale`.
    tile_px
        Side of a tile in model px.
    layers
        Of the maps to stitch; empty for predictions of whole tiles only.
    halo
        Rim of a tile that is not kept, in model px.
    overlap
        Share of the kept part that a tile shares with its neighbour.
    unit
        Origins are multiples of it, whatever the layers: a network with a coarser stride than
        theirs would otherwise see neighbouring tiles at different phases.

    Raises
    ------
    SettingError
        If a tile is too small for a layer's stride and the halo.

    Notes
    -----
    Origins do not depend on the region: tiles of a view and of the whole slide coincide.
    """
    windows = {name: _window(name, layer, tile_px, halo) for name, layer in layers.items()}
    unit = math.lcm(unit, *(s for w in windows.values() for s in w.stride))
    kept = min(
        (w.count[a] * w.stride[a] for w in windows.values() for a in (0, 1)),
        default=tile_px - 2 * halo,
    )
    if kept < unit or kept <= 0:
        raise SettingError(
            f"a tile of {tile_px} px with a halo of {halo} px keeps {max(kept, 0)} px, less than "
            f"the layers' common stride of {unit} px; give larger tiles (--tile-px) or less halo"
        )
    step = max(unit, int(kept * (1 - overlap)) // unit * unit)
    lead = -(-halo // unit) * unit
    axes = []
    for axis in (0, 1):
        first, last = _range_of_tiles(region, scale, windows, axis, step, lead)
        axes.append(np.arange(first, last + 1, dtype=np.int64) * step - lead)
    origins = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    return TileGrid(tile_px, halo, step, scale, origins, windows)


def _range_of_tiles(
    region: tuple[int, int, int, int],
    scale: Pair,
    windows: Mapping[str, LayerWindow],
    axis: int,
    step: int,
    lead: int,
) -> IntPair:
    """First and last index of the tiles (origins index * step - lead) that cover the region."""
    if not windows:
        start, size, d = region[1 - axis], region[3 - axis], scale[axis]
        first = math.floor(start / d) // step
        return first, max(first, -(-math.ceil((start + size) / d) // step) - 1)
    firsts, lasts = [], []
    for window in windows.values():
        grid, s = map_grid(region, scale, window), window.stride[axis]
        begin = (grid.origin[axis] - window.first[axis]) * s + lead
        end = begin + (grid.shape[axis] - window.count[axis]) * s
        firsts.append(begin // step)
        lasts.append(-(-end // step))
    return min(firsts), max(*firsts, *lasts)


def _window(name: str, layer: LayerShape, tile_px: int, halo: int) -> LayerWindow:
    stride = (round(layer.stride[0]), round(layer.stride[1]))
    if min(stride) < 1 or any(abs(layer.stride[a] - stride[a]) > 1e-9 for a in (0, 1)):
        raise SettingError(
            f"layer {name!r} has a stride of {layer.stride} tile px; maps on slides need whole "
            "pixels"
        )
    first, count = [], []
    for axis in (0, 1):
        c, s, n = layer.centre[axis], stride[axis], layer.size[axis]
        low = max(0, math.ceil((halo - c) / s))
        high = min(n - 1, math.floor((tile_px - 1 - halo - c) / s))
        first.append(low)
        count.append(high - low + 1)
    if min(count) < 1 or tile_px < max(stride):
        raise SettingError(
            f"a tile of {tile_px} px with a halo of {halo} px leaves nothing of layer {name!r}, "
            f"whose stride is {max(stride)} px; give larger tiles (--tile-px) or less halo"
        )
    return LayerWindow(stride, layer.centre, (first[0], first[1]), (count[0], count[1]))


@dataclass(frozen=True)
class MapGrid:
    """The stitched map of one layer over a region: a crop of the layer grid.

    Attributes
    ----------
    origin
        (y, x) index of the map's first pixel on the layer grid.
    shape
        (h, w) that covers the region.
    scale_px
        Level-0 px per map pixel, (y, x).
    translate_px
        Level-0 position (pixel centres at integers) of the centre of map pixel (0, 0), (y, x).
    """

    origin: IntPair
    shape: IntPair
    scale_px: Pair
    translate_px: Pair


def map_grid(region: tuple[int, int, int, int], scale: Pair, window: LayerWindow) -> MapGrid:
    """Crop the layer grid to a region (x, y, w, h in level-0 px).

    A layer pixel belongs to the map if its cell (stride model px around its centre) meets
    the region.
    """
    origin, shape, step, place = [], [], [], []
    for axis, (start, size) in enumerate(((region[1], region[3]), (region[0], region[2]))):
        d, s, c = scale[axis], window.stride[axis], window.centre[axis]
        # Cell g covers the model interval [g s + c + 1/2 - s/2, ... + s).
        lead = c + 0.5 - s / 2
        low = math.floor((start / d - lead) / s)
        high = math.ceil(((start + size) / d - lead) / s)
        origin.append(low)
        shape.append(max(1, high - low))
        step.append(s * d)
        place.append((low * s + c + 0.5) * d - 0.5)
    return MapGrid(
        (origin[0], origin[1]), (shape[0], shape[1]), (step[0], step[1]), (place[0], place[1])
    )


def window_weights(window: LayerWindow, step: int) -> NDArray[np.float32]:
    """Blending weights (h, w) of a tile's kept part: linear ramps where neighbours overlap.

    Positive everywhere, so that any covered pixel has a weight; sums of w v over sums of w make
    a constant field constant whatever the ramps are.
    """
    ramps = []
    for axis in (0, 1):
        n = window.count[axis]
        overlap = max(0, n - step // window.stride[axis])
        position = np.arange(n) + 0.5
        edge = np.minimum(position, n - position)
        ramps.append(np.minimum(1.0, edge / (overlap + 0.5)))
    return np.asarray(np.outer(*ramps), dtype=np.float32)


def tiles_in_tissue(fractions: NDArray[np.float64], min_tissue: float) -> NDArray[np.bool_]:
    """Which tiles hold enough tissue; a threshold of 0 still asks for some."""
    return np.asarray(fractions >= max(min_tissue, 1e-9), dtype=np.bool_)
