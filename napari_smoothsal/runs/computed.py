"""Computed: what is kept of a batch, values for the images and columns of the tiles' table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.attribution import BatchMaps
from napari_smoothsal.evaluation import total_variation
from napari_smoothsal.evaluation.prediction_difference import prediction_difference
from napari_smoothsal.runs.layout import FAILED
from napari_smoothsal.runs.stage import Stage

Columns = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Computed:
    """A batch of tiles, ready to be written without another look at a tensor.

    Attributes
    ----------
    numbers
        (B,) of its tiles in their stage.
    good
        (B,) those that did not fail.
    values
        (B, h, w) or (B, channels, h, w) of each image, of the window that is kept of a tile.
    columns
        Of the tiles' table, (B,) each.

    Notes
    -----
    Made by the thread that computes. A second thread that uses torch has OpenMP workers of its
    own, and more workers than processors make OpenMP put all of them to sleep between loops: each
    pass of a small network then takes a quarter longer.
    """

    numbers: NDArray[np.int64]
    good: NDArray[np.bool_]
    values: Mapping[int, NDArray[np.float32]]
    columns: Columns

    @classmethod
    def of(
        cls,
        stage: Stage,
        numbers: NDArray[np.int64],
        result: BatchMaps,
        status: NDArray[np.uint8],
    ) -> Computed:
        """What a stage keeps of a result, given the (B,) status of its tiles."""
        good = status != FAILED
        values = {}
        for n, image in stage.images.items():
            window = stage.grid.windows[image.window]
            (y, x), (h, w) = window.first, window.count
            values[n] = image.values(result)[..., y : y + h, x : x + w]
        columns: Columns = {"status": status}
        if stage.decides:
            columns |= _decisions(result, good)
        return cls(numbers, good, values, columns | _of_maps(result, good))


def _decisions(result: BatchMaps, good: NDArray[np.bool_]) -> Columns:
    """The tile table's columns of what the model decides of one batch."""
    predicted = result.decision.predicted.numpy()
    columns: Columns = {"predicted": np.where(good, predicted, -1).astype(np.int16)}
    for index, column in enumerate(result.decision.probabilities.numpy().T):
        columns[f"p_{index}"] = _where(good, column)
    return columns


def _of_maps(result: BatchMaps, good: NDArray[np.bool_]) -> Columns:
    """The tile table's columns of the maps of one batch."""
    columns: Columns = {}
    for index, maps in enumerate(result.specs):
        explained = maps.explained_px.numpy()
        # A map that is zero because there is nothing to explain is not a smooth one.
        tv = _where(good & (explained > 0), total_variation(maps.maps).numpy())
        columns[f"tv_{index}"] = tv
        columns[f"se_{index}"] = _where(good, maps.standard_error.numpy())
        columns[f"samples_{index}"] = _where(good, maps.samples.numpy())
        columns[f"delta_{index}"] = _where(good, maps.convergence_delta.numpy())
        columns[f"explained_px_{index}"] = _where(good, explained)
        difference = prediction_difference(
            result.decision.probabilities, maps.probabilities, result.decision.predicted
        )
        columns[f"difference_{index}"] = _where(good, difference.all_classes.numpy())
    return columns


def _where(good: NDArray[np.bool_], values: NDArray[np.generic]) -> NDArray[np.float32]:
    return np.where(good, values, np.nan).astype(np.float32)
