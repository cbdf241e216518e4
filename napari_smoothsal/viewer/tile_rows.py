"""Rows of the table of tiles: what a run says of each. Made where the run's code is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.viewer.messages import TileRow

if TYPE_CHECKING:
    from napari_smoothsal.models import Model
    from napari_smoothsal.runs import Run, RunMap

MOST_PX = 4_000_000
"""Pixels of the level of a map that tiles are looked up in, at most."""
MOST_ROWS = 20_000


def tile_rows(run: Run, model: Model) -> tuple[TileRow, ...]:
    """What a run of one map says of its explained tiles."""
    tiles = run.tiles
    tiles = tiles[tiles["status"] == "done"].head(MOST_ROWS)
    key, shown = next(iter(run.maps.items()))
    boxes = tiles[["x_px", "y_px", "w_px", "h_px"]].to_numpy(float)
    names = model.card.class_names
    target = shown.target if shown.target in names else None
    probabilities = tiles[[f"p_{name}" for name in names]].to_numpy(float)
    chosen = probabilities[:, names.index(target)] if target else probabilities.max(axis=1)
    saliency = _mean_magnitudes(shown, boxes, run.mpp)
    return tuple(
        TileRow(
            box=(box[0], box[1], box[2], box[3]),
            predicted=str(predicted),
            probability=_known(probability),
            total_variation=_known(rough),
            saliency=_known(value),
        )
        for box, predicted, probability, rough, value in zip(
            boxes.tolist(),
            tiles["predicted"],
            chosen,
            tiles[f"tv_{key}"],
            saliency,
            strict=True,
        )
    )


def _mean_magnitudes(
    shown: RunMap, boxes: NDArray[np.float64], mpp: tuple[float, float]
) -> NDArray[np.float64]:
    """Mean |value| of a map in each box (x, y, w, h) in level-0 px."""
    levels = shown.levels
    number = next((i for i, v in enumerate(levels) if v.size <= MOST_PX), len(levels) - 1)
    values = np.abs(np.asarray(levels[number][:], np.float64))
    there = np.isfinite(values)
    sums = _integral(np.where(there, values, 0.0))
    counts = _integral(there.astype(np.float64))
    step = np.array(shown.scale_um) * 2**number / mpp
    # The first pixel of a coarser level lies further in, by half of what it has in common.
    first = np.array(shown.translate_um) / mpp - np.array(shown.scale_um) / mpp / 2
    top_left = np.floor((boxes[:, 1::-1] - first) / step).astype(int)
    bottom_right = np.ceil((boxes[:, 1::-1] + boxes[:, 3:1:-1] - first) / step).astype(int)
    y0, x0 = np.clip(top_left, 0, values.shape).T
    y1, x1 = np.clip(bottom_right, 0, values.shape).T

    def inside(table: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0])

    number_of = inside(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(number_of > 0, inside(sums) / number_of, np.nan))


def _integral(values: NDArray[np.float64]) -> NDArray[np.float64]:
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    np.cumsum(np.cumsum(values, axis=0), axis=1, out=table[1:, 1:])
    return table


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
