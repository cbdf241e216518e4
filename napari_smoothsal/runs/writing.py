"""WritingThread: takes explained batches, stitches them, writes finished bands and tiles."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.attribution import BatchMaps
from napari_smoothsal.evaluation import total_variation
from napari_smoothsal.evaluation.prediction_difference import prediction_difference
from napari_smoothsal.runs import layout
from napari_smoothsal.runs.layout import DONE
from napari_smoothsal.runs.plan import RunPlan
from napari_smoothsal.runs.stitch import BandStitcher
from napari_smoothsal.runs.stitched import Stitched
from napari_smoothsal.runs.store import StoreWriter
from napari_smoothsal.slides.grid import window_weights

QUEUE_LENGTH = 2


@dataclass(frozen=True)
class Batch:
    """One explained batch: indices of its tiles, their maps, their status."""

    indices: NDArray[np.int64]
    result: BatchMaps
    status: NDArray[np.uint8]


class WritingThread:
    """Stitches and writes beside the computation; the only user of the store's writer.

    Leaving its block ends the thread. What is not in a finished band then is computed again
    when the run is resumed.

    Parameters
    ----------
    writer, plan, images, batch_size
        Of the store and its run.
    table_last
        Whether the tiles' table is written at once, by `finish`: for a store that nobody resumes.
        Each write of a column costs milliseconds.
    """

    def __init__(
        self,
        writer: StoreWriter,
        plan: RunPlan,
        images: Sequence[Stitched],
        batch_size: int,
        *,
        table_last: bool = False,
    ) -> None:
        self._writer = writer
        self._table_last = table_last
        self._table: list[tuple[int, dict[str, NDArray[np.generic]]]] = []
        self._grid = plan.grid
        self._images = images
        self._windows = [plan.grid.windows[image.window] for image in images]
        self._weights = [window_weights(w, plan.grid.step) for w in self._windows]
        first = [writer.first_open_band(i) for i in range(len(images))]
        self._stitchers = [
            BandStitcher(image.grid.shape, layout.BAND, band)
            for image, band in zip(images, first, strict=True)
        ]
        self._corners = [self._corners_of(i) for i in range(len(images))]
        n = len(plan.grid)
        self._batches = [
            np.arange(start, min(start + batch_size, n)) for start in range(0, n, batch_size)
        ]
        self._queue: queue.Queue[Batch | None] = queue.Queue(QUEUE_LENGTH)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="smoothsal-writer", daemon=True)

    def open_batches(self) -> list[NDArray[np.int64]]:
        """Batches that still have to be computed: those that are not done, or that touch a band
        that is not written. Always a tail of the plan, cut as in the first run."""
        done = self._writer.done_tiles()
        for start, batch in enumerate(self._batches):
            touches = any(
                (self._corners[i][batch, 0] + self._windows[i].count[0] > s.first_open_row).any()
                for i, s in enumerate(self._stitchers)
            )
            if touches or not done[batch].all():
                return self._batches[start:]
        return []

    def put(self, batch: Batch) -> None:
        """Hand a batch over; waits where the disk is slower than the device."""
        while True:
            self._raise_if_broken()
            try:
                self._queue.put(batch, timeout=0.5)
            except queue.Full:
                continue
            return

    def finish(self) -> None:
        """Wait until everything handed over is written, then write the bands that remain."""
        self._end()
        self._write_table()
        for index, stitcher in enumerate(self._stitchers):
            for band, rows in stitcher.finish(None):
                self._writer.write_band(index, band, rows)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._end()
        except BaseException:
            if error is None:
                raise

    def _end(self) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.5)
            except queue.Full:
                continue
            self._thread.join()
        self._raise_if_broken()

    def _raise_if_broken(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            while (batch := self._queue.get()) is not None:
                self._write(batch)
        except BaseException as error:  # noqa: BLE001 - handed to the computing thread
            self._error = error

    def _write(self, batch: Batch) -> None:
        good = batch.status == DONE
        for index, image in enumerate(self._images):
            values = image.values(batch.result)
            window, corners = self._windows[index], self._corners[index]
            y, x = window.first
            h, w = window.count
            for row in np.flatnonzero(good):
                patch = values[row, ..., y : y + h, x : x + w]
                top, left = corners[batch.indices[row]]
                self._stitchers[index].add(int(top), int(left), patch, self._weights[index])
        columns = {"status": batch.status, **_columns(batch.result, good)}
        self._table.append((int(batch.indices[0]), columns))
        if not self._table_last:
            self._write_table()
        self._write_finished(int(batch.indices[-1]) + 1)

    def _write_table(self) -> None:
        """Write what is known of consecutive tiles, all batches of it in one go."""
        if not self._table:
            return
        parts = [columns for _, columns in self._table]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        self._writer.write_tiles(self._table[0][0], joined)
        self._table.clear()

    def _write_finished(self, next_tile: int) -> None:
        for index, stitcher in enumerate(self._stitchers):
            # Tiles come row by row, so no later one starts above the next one.
            below = None
            if next_tile < len(self._grid):
                below = int(self._corners[index][next_tile, 0])
            for band, rows in stitcher.finish(below):
                self._writer.write_band(index, band, rows)

    def _corners_of(self, index: int) -> NDArray[np.int64]:
        """(N, 2): map pixel (y, x) of each tile's first kept layer pixel."""
        window, grid = self._windows[index], self._images[index].grid
        corner = self._grid.origins // np.array(window.stride)
        return np.asarray(corner + np.array(window.first) - np.array(grid.origin))


def _columns(result: BatchMaps, good: NDArray[np.bool_]) -> dict[str, NDArray[np.generic]]:
    """The tile table's columns of one batch."""
    predicted = result.decision.predicted.numpy()
    columns: dict[str, NDArray[np.generic]] = {
        "predicted": np.where(good, predicted, -1).astype(np.int16)
    }
    for index, column in enumerate(result.decision.probabilities.numpy().T):
        columns[f"p_{index}"] = _where(good, column)
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
