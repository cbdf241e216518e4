"""The plan of a run: which tiles, in which batches, onto which maps. No pixel is read for it
but the thumbnail that shows the tissue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.core.specs import Tiling
from napari_smoothsal.models import Model
from napari_smoothsal.slides import Box, Slide
from napari_smoothsal.slides.grid import (
    SAME_RESOLUTION,
    LayerShape,
    MapGrid,
    TileGrid,
    map_grid,
    model_scale,
    plan_grid,
    tiles_in_tissue,
)
from napari_smoothsal.slides.reader import TileBatch, TileReader
from napari_smoothsal.slides.tissue import TissueMask, find_tissue

Region = tuple[int, int, int, int]
Pair = tuple[float, float]


@dataclass(frozen=True)
class PlacedLayer:
    """A layer whose maps are stitched, and where they belong.

    Attributes
    ----------
    name
        Of the layer.
    moved_px
        (y, x) tile px by which its maps lie beside what they show; the placement takes it back.
    """

    name: str
    moved_px: Pair = (0.0, 0.0)

    @property
    def window(self) -> str:
        """Key of its window in `TileGrid.windows`."""
        y, x = self.moved_px
        return self.name if (y, x) == (0, 0) else f"{self.name} moved by {y:g}, {x:g}"

    def shape(self, model: Model, tile_px: int) -> LayerShape:
        """What the grid must know of it."""
        info = model.layer(self.name)
        (y, x), (dy, dx) = info.centre, self.moved_px
        return LayerShape(info.stride, (y - dy, x - dx), model.map_size(self.name, tile_px))


@dataclass(frozen=True)
class RunPlan:
    """Tiles of one slide for one model; iterating gives their boxes.

    Attributes
    ----------
    region
        (x, y, w, h), level-0 px.
    grid
        The tiles that hold tissue, row by row.
    tissue
        The mask they were chosen by.
    resampling
        How they are made of finer pixels, as the model's card says.
    slide_name
        Base name of the slide, for the terminal only.
    """

    region: Region
    grid: TileGrid
    tissue: TissueMask
    resampling: Resampling = "area"
    slide_name: str = ""

    def __len__(self) -> int:
        return len(self.grid)

    def __iter__(self) -> Iterator[Box]:
        """Level-0 box of each tile."""
        return (self.grid.box(index) for index in range(len(self)))

    def read(
        self, slide: Slide, batch_size: int = 16, *, threads: int | None = None
    ) -> Iterator[TileBatch]:
        """Read the tiles, as the model gets them, ahead of whoever computes on them.

        Parameters
        ----------
        slide
            That the plan is of, open.
        batch_size
            Tiles per batch; the last one may have fewer.
        threads
            That read; see `Compute.readers`.

        Yields
        ------
        TileBatch
            ``images`` (B, tile_px, tile_px, 3) uint8, in the order of the boxes, and ``errors``:
            for each tile None, or why it could not be read.

        Raises
        ------
        SettingError
            If the batch size is below 1.
        """
        if batch_size < 1:
            raise SettingError(f"batch_size = {batch_size}: give 1 or more tiles")
        boxes = iter(self)
        batches = iter(lambda: list(islice(boxes, batch_size)), [])
        side = self.grid.tile_px
        with TileReader(slide, side, threads=threads, resampling=self.resampling) as reader:
            yield from reader.batches(batches)

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """(N, 4): x, y, w, h of every tile in level-0 px."""
        return self.grid.boxes()

    def map_grid(self, window: str) -> MapGrid:
        """Where the stitched map of a window lies."""
        return map_grid(self.region, self.grid.scale, self.grid.windows[window])


def placed_layers(explainer: Explainer) -> list[PlacedLayer]:
    """Where each spec's map belongs: displacement is taken back where it can be."""
    return [
        PlacedLayer(spec.layer, displacement.placed_px)
        for spec, displacement in zip(explainer.specs, explainer.displacements, strict=True)
    ]


def plan_tiles(
    slide: Slide,
    model: Model,
    tiling: Tiling | None = None,
    *,
    layers: Sequence[str | PlacedLayer] = (),
    region: Region | None = None,
) -> RunPlan:
    """Choose the tiles of a slide that a model looks at; no tile is read.

    Parameters
    ----------
    slide, model
        The model's card gives resolution and tile size.
    tiling
        Tile size, halo, overlap, tissue.
    layers
        Layers whose maps will be stitched, beside the model's dense output where it has one. With
        nothing to stitch, tiles neither overlap nor have a halo.
    region
        (x, y, w, h) in level-0 px; None: the slide's scanned area.

    Raises
    ------
    SmoothsalError
        If the resolution is missing or too coarse, the region lies outside the slide, or the
        tiles are too small for a layer.

    Examples
    --------
    Iterating gives boxes; `RunPlan.read` gives pixels, in batches, in the same order::

        plan = ss.plan_tiles(slide, model)
        for box in plan:
            print(box.x, box.y, box.w, box.h)  # level-0 px
        for batch in plan.read(slide, batch_size=16):
            print(batch.images.shape, batch.errors)
    """
    tiling = tiling or Tiling()
    region = _checked(slide, region)
    scale = model_scale(slide, model.card.input_mpp, tiling.upsample)
    _warn_outside_range(slide, model)
    tile_px = tiling.tile_px or model.card.input_size
    placed = [PlacedLayer(layer) if isinstance(layer, str) else layer for layer in layers]
    shapes = {layer.window: layer.shape(model, tile_px) for layer in placed}
    if (output := model.output) is not None:
        size = model.map_size(output.name, tile_px)
        shapes[output.name] = LayerShape(output.stride, output.centre, size)
    halo, overlap = tiling.halo, tiling.overlap
    if halo is None:
        halo = model.halo(tile_px) if shapes else 0
    if overlap is None:
        overlap = model.overlap if shapes else 0.0
    grid = plan_grid(region, scale, tile_px, shapes, halo, overlap, model.unit)
    tissue = find_tissue(slide, tiling.tissue)
    fractions = tissue.fractions(*_within(grid.kept_boxes(), region).T)
    least = model.min_tissue if tiling.min_tissue is None else tiling.min_tissue
    chosen = grid.selected(tiles_in_tissue(fractions, least))
    return RunPlan(region, chosen, tissue, model.card.resampling, slide.name)


def _warn_outside_range(slide: Slide, model: Model) -> None:
    limits, mpp = model.card.input_mpp_range, max(slide.require_mpp())
    if limits is not None and mpp > limits[1] * (1 + SAME_RESOLUTION):
        warn_caller(
            f"slide {slide.name!r} has {mpp:.3g} um per pixel; model {model.card.name!r} was "
            f"validated from {limits[0]:g} to {limits[1]:g}"
        )


def _within(boxes: NDArray[np.float64], region: Region) -> NDArray[np.float64]:
    """(N, 4) boxes cut to a region: a border tile counts by the part of it that is there."""
    start = np.maximum(boxes[:, :2], region[:2])
    stop = np.minimum(boxes[:, :2] + boxes[:, 2:], np.add(region[:2], region[2:]))
    return np.concatenate([start, np.maximum(stop - start, 1e-9)], axis=1)


def _checked(slide: Slide, region: Region | None) -> Region:
    if region is None:
        return slide.bounds
    x, y, w, h = region
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + w, slide.width), min(y + h, slide.height)
    if w <= 0 or h <= 0 or right <= left or bottom <= top:
        raise SettingError(
            f"region {x},{y},{w},{h} (x, y, width, height in level-0 px) has no part on slide "
            f"{slide.name!r}, which is {slide.width} x {slide.height} px"
        )
    return (left, top, right - left, bottom - top)
