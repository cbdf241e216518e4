"""Rows of the table of tiles: what a run says of each. Made where the run's code is loaded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from napari_smoothsal.viewer.told import MOST_ROWS, TileRow

if TYPE_CHECKING:
    from napari_smoothsal.runs import Run, RunMap

MOST_PX = 4_000_000
"""Blocks of a map that tiles are looked up in, at most."""
_ROUNDING = 1e-6


def tile_rows(run: Run, key: str | None = None) -> tuple[TileRow, ...]:
    """What a run says of its predicted tiles, explained ones first, by one map; None: the first."""
    tiles = run.predicted
    explained = tiles["status"] == "done"
    tiles = pd.concat([tiles[explained], tiles[~explained]]).head(MOST_ROWS)
    key = key or next(iter(run.maps))
    shown = run.maps[key]
    boxes = tiles[["x_px", "y_px", "w_px", "h_px"]].to_numpy(float)
    names = run.provenance["model"]["class_names"]
    target = shown.target if shown.target in names else None
    probabilities = tiles[[f"p_{name}" for name in names]].to_numpy(float)
    chosen = probabilities[:, names.index(target)] if target else probabilities.max(axis=1)
    saliency = _mean_magnitudes(shown, boxes, run.mpp)
    # A neighbour's map may reach into a tile that has none.
    saliency[(tiles["status"] != "done").to_numpy()] = np.nan
    difference, against = _differences(tiles, shown, key), _against(tiles, shown, chosen)
    return tuple(
        TileRow(
            box=(box[0], box[1], box[2], box[3]),
            predicted=str(predicted),
            probability=_known(probability),
            total_variation=_known(rough),
            saliency=_known(value),
            difference=_known(differing),
            against=_known(speaking),
        )
        for box, predicted, probability, rough, value, differing, speaking in zip(
            boxes.tolist(),
            tiles["predicted"],
            chosen,
            tiles[f"tv_{key}"],
            saliency,
            difference,
            against,
            strict=True,
        )
    )


def _differences(tiles: pd.DataFrame, shown: RunMap, key: str) -> NDArray[np.float64]:
    """Between the model and the network that is explained; NaN where they are the same one."""
    column = f"difference_{key}"
    if not shown.changes_network or column not in tiles:
        return np.full(len(tiles), np.nan)
    return np.asarray(tiles[column], float)


def _against(
    tiles: pd.DataFrame, shown: RunMap, probability: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What speaks against the class that is explained; NaN where there is no one class."""
    if shown.target == "auto":
        return np.zeros(len(tiles))  # the class predicted is the one explained
    if f"p_{shown.target}" not in tiles:
        return np.full(len(tiles), np.nan)
    return np.where(tiles["predicted"] == shown.target, 0.0, 1 - probability)


def _mean_magnitudes(
    shown: RunMap, boxes: NDArray[np.float64], mpp: tuple[float, float]
) -> NDArray[np.float64]:
    """Mean |value| of a map in each box (x, y, w, h) in level-0 px."""
    # Of the finest level: means of signed values, which the coarser ones are, cancel.
    finest = shown.levels[0]
    block = max(1, math.ceil(math.sqrt(finest.size / MOST_PX)))
    sums, counts = (_integral(part) for part in _blocks(finest, block))
    step = np.array(shown.scale_um) * block / mpp
    # The edge of the first pixel: napari has its centre at 0, boxes begin at its edge.
    first = (np.array(shown.translate_um) - np.array(shown.scale_um) / 2) / mpp + 0.5
    top_left = np.floor((boxes[:, 1::-1] - first) / step + _ROUNDING).astype(int)
    bottom_right = np.ceil((boxes[:, 1::-1] + boxes[:, 3:1:-1] - first) / step - _ROUNDING)
    size = np.array(sums.shape) - 1
    y0, x0 = np.clip(top_left, 0, size).T
    y1, x1 = np.clip(bottom_right.astype(int), 0, size).T

    def inside(table: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0])

    number_of = inside(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(number_of > 0, inside(sums) / number_of, np.nan))


def _blocks(values: zarr.Array[Any], block: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of |value|, and numbers of values, of square blocks; by strips of whole chunks."""
    height, width = values.shape
    shape = (-(-height // block), -(-width // block))
    sums, counts = np.zeros(shape), np.zeros(shape)
    columns = np.arange(0, width, block)
    together = max(1, values.chunks[0] // block)
    for first in range(0, shape[0], together):
        strip = np.abs(np.asarray(values[first * block : (first + together) * block], np.float64))
        there = np.isfinite(strip)
        rows = np.arange(0, len(strip), block)
        for table, part in ((sums, np.where(there, strip, 0.0)), (counts, there.astype(float))):
            blocks = np.add.reduceat(np.add.reduceat(part, rows, axis=0), columns, axis=1)
            table[first : first + together] = blocks
    return sums, counts


def _integral(values: NDArray[np.float64]) -> NDArray[np.float64]:
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    np.cumsum(np.cumsum(values, axis=0), axis=1, out=table[1:, 1:])
    return table


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
