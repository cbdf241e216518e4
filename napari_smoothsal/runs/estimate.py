"""What a run will take, before it is started: tiles, time, memory, disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from napari_smoothsal.attribution import Explainer, Stopped
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.models import Model
from napari_smoothsal.runs import layout
from napari_smoothsal.runs.accumulators import BUDGET_BYTES
from napari_smoothsal.runs.disk_space import bytes_beside_maps
from napari_smoothsal.runs.explain import choice_of
from napari_smoothsal.runs.plan import PlacedLayer, Region, RunPlan, placed_layers, plan_tiles
from napari_smoothsal.runs.writing import QUEUE_LENGTH
from napari_smoothsal.slides import Slide
from napari_smoothsal.slides.blocks import CAPACITY_BYTES
from napari_smoothsal.slides.reader import TileReader

BYTES_PER_PX = 4 * (1 + 2 / 3)
"""A map in float32, its coarser levels, and those of largest magnitudes."""
CLASS_BYTES_PER_PX = 1.4
"""Class and probability of a pixel, with the coarser levels."""

_TIMED_TILES = 2
_SOON_S = 1.0
"""What took less is timed again: the first time it is also loaded and compiled."""
_ENOUGH_S = 4.0
"""What takes longer is not waited for: the rest takes as long as its beginning did."""
_READ_AHEAD = 3
"""Batches of tiles that are read or wait to be computed."""


@dataclass(frozen=True)
class RunEstimate:
    """What a run will take.

    Attributes
    ----------
    plan
        Its tiles and tissue.
    seconds
        From a few tiles of the slide, reading not counted; None without tiles, or when stopped.
        With ``samples="auto"`` it may be as for the most samples that can be drawn. Where tiles
        are chosen it is as if all were.
    prediction_seconds
        For predicting all tiles, where those that are explained are chosen after that; else None.
    bytes
        Of the store on disk, an upper bound: maps before compression, and what is beside them,
        see `bytes_beside_maps`.
    memory_bytes
        Of the process on top of what Python and torch take: weights, the feature maps of a pass,
        tiles that are read ahead, maps that wait, sums that are stitched. On a CUDA device
        feature maps are in its memory. Measured peaks lie below.
    """

    plan: RunPlan
    seconds: float | None
    prediction_seconds: float | None
    bytes: int
    memory_bytes: int


def estimate_run(
    slide: Slide,
    model: Model,
    specs: Sequence[SaliencySpec],
    *,
    region: Region | None = None,
    tiling: Tiling | None = None,
    compute: Compute | None = None,
    where: str | None = None,
    top: int | None = None,
    predict_only: bool = False,
    stop: Callable[[], bool] | None = None,
    on_plan: Callable[[RunPlan], None] | None = None,
) -> RunEstimate:
    """Plan a run, and time two of its tiles.

    Parameters
    ----------
    slide, model, specs, region, tiling, compute, where, top, predict_only, stop, on_plan
        As of `explain_slide`.

    Raises
    ------
    SmoothsalError
        If the run could not start.
    """
    explainer = Explainer(model, [] if predict_only else specs, compute or Compute(), scope="slide")
    choice = choice_of(explainer, where, top)
    layers = placed_layers(explainer)
    plan = plan_tiles(slide, model, tiling, layers=layers, region=region)
    if on_plan is not None:
        on_plan(plan)
    tiles = len(plan) if top is None else min(top, len(plan))
    per_tile = _seconds_per_tile(slide, explainer, plan, stop, turns=(0, 1))
    predicting = None
    if choice is not None:
        predicting = _seconds_per_tile(slide, explainer.predicting(), plan, stop, turns=(2, 3))
    maps = _map_bytes(plan, model, layers) * (tiles / len(plan) if len(plan) else 1)
    return RunEstimate(
        plan,
        None if per_tile is None else per_tile * tiles,
        None if predicting is None else predicting * len(plan),
        round(maps) + bytes_beside_maps(slide, plan, explainer),
        _memory(plan, explainer, layers),
    )


def _seconds_per_tile(
    slide: Slide,
    explainer: Explainer,
    plan: RunPlan,
    stop: Callable[[], bool] | None,
    turns: tuple[int, int],
) -> float | None:
    """Of a few tiles, twice; turned each time, as what a network said of a tile is remembered."""
    chosen = np.linspace(0, len(plan) - 1, min(_TIMED_TILES, len(plan))).astype(int)
    if not len(chosen):
        return None
    grid, margin = plan.grid, explainer.margin
    side = grid.tile_px + 2 * margin
    boxes = [grid.box(int(i), margin) for i in chosen]
    # An unreadable tile costs as much as any other.
    with TileReader(slide, side, resampling=plan.resampling) as reader:
        (tiles,) = reader.batches([boxes])
    batch = torch.from_numpy(tiles.images).permute(0, 3, 1, 2)
    places = [(int(y), int(x)) for y, x in grid.origins[chosen]]
    took = 0.0
    for turn in turns:
        turned = torch.rot90(batch, turn, (2, 3))
        began = time.perf_counter()
        try:
            explanation = explainer.begin(turned, places, margin=margin)
            while not explanation.finished and time.perf_counter() - began < _ENOUGH_S:
                explanation.step(stop=stop)
        except Stopped:
            return None
        spent = time.perf_counter() - began
        took = spent if explanation.finished else spent / explanation.share
        if spent > _SOON_S:
            break
    return took / len(chosen)


def _map_bytes(plan: RunPlan, model: Model, layers: Sequence[PlacedLayer]) -> int:
    grid, (_, _, width, height) = plan.grid, plan.region
    kept = (grid.step * grid.scale[0]) * (grid.step * grid.scale[1]) * len(grid)
    share = min(1.0, kept / (width * height))
    px = sum(float(np.prod(plan.map_grid(layer.window).shape)) for layer in layers)
    total = px * BYTES_PER_PX
    if model.output is not None:
        dense = float(np.prod(plan.map_grid(model.output.name).shape))
        total += dense * CLASS_BYTES_PER_PX * max(1, len(model.card.class_names))
    return round(total * share)


def _memory(plan: RunPlan, explainer: Explainer, layers: Sequence[PlacedLayer]) -> int:
    model, grid = explainer.model, plan.grid
    rows = explainer.batch_size(grid.tile_px)
    weights = sum(p.numel() * p.element_size() for p in model.module.parameters())
    networks = 2 if explainer.wide_network is not explainer.network else 1
    # Forward maps, their gradients, and the running mean beside them, as passes are cut by.
    passes = explainer.bytes_per_row(grid.tile_px) * rows
    side = grid.tile_px + 2 * explainer.margin
    # A tile's bytes, and the same as numbers once it is computed.
    tiles = side * side * len(model.card.mean) * rows * (_READ_AHEAD + 2 * 4)
    held, kept, depths, sums = 0, 0, [], 0
    for layer in layers:
        values = int(np.prod(model.map_size(layer.name, grid.tile_px))) * rows
        held += 4 * values * model.layer(layer.name).channels
        kept += 4 * values
        depths.append((plan.map_grid(layer.window).shape, 2))
    if (output := model.output) is not None:
        values = int(np.prod(model.map_size(output.name, grid.tile_px))) * rows
        held += 4 * values * output.channels
        kept += 4 * values * output.channels
        depths.append((plan.map_grid(output.name).shape, output.channels + 1))
    for (height, width), depth in depths:
        # Two bands are open at once.
        sums += min(2 * layout.BAND, height) * width * depth * 4
    return round(
        weights * (1 + networks)
        + passes
        + tiles
        + held
        # Queued, being made and being written.
        + kept * (QUEUE_LENGTH + 2)
        + min(sums, BUDGET_BYTES)
        + CAPACITY_BYTES
    )
