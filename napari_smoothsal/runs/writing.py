"""WritingThread: takes explained batches, stitches them, writes finished bands and tiles."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.thread_priority import give_way
from napari_smoothsal.runs import layout
from napari_smoothsal.runs.computed import Computed
from napari_smoothsal.runs.sink import Sink
from napari_smoothsal.runs.stage import Stage
from napari_smoothsal.runs.stitch import BandStitcher
from napari_smoothsal.runs.unit import Unit
from napari_smoothsal.slides.grid import window_weights

Fallback = tuple[str, NDArray[np.int64], int]
"""What was done, tiles of the run, rows per pass."""

QUEUE_LENGTH = 2

TABLE_S = 3.0
"""Between two writes of the tiles' table, each of which costs milliseconds a column."""


class WritingThread:
    """Stitches and writes beside the computation; the only user of its sink.

    Leaving its block ends the thread. What is not in a finished band then is computed again
    when the run is resumed.

    Parameters
    ----------
    sink
        Takes what is finished.
    stage, unit
        What is computed, and which part of it.
    table_last
        Whether the tiles' table is written at once, by `finish`: for a store that nobody resumes.
    """

    def __init__(self, sink: Sink, stage: Stage, unit: Unit, *, table_last: bool = False) -> None:
        self._sink, self._stage, self._todo = sink, stage, unit.batches
        self._table_last = table_last
        self._table: list[tuple[NDArray[np.int64], dict[str, NDArray[np.generic]]]] = []
        self._written = 0.0
        grid = stage.grid
        self._windows = {n: grid.windows[image.window] for n, image in stage.images.items()}
        self._weights = {n: window_weights(w, grid.step) for n, w in self._windows.items()}
        self._stitchers = {
            n: BandStitcher(
                image.grid.shape,
                layout.BAND,
                unit.bands[n],
                sink.scratch,
                sink.stitching_bytes // max(1, len(stage.images)),
            )
            for n, image in stage.images.items()
        }
        self._queue: queue.Queue[tuple[Computed, Sequence[Fallback]] | None] = queue.Queue(
            QUEUE_LENGTH
        )
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="smoothsal-writer", daemon=True)

    def put(self, batch: Computed, fell_back: Sequence[Fallback] = ()) -> None:
        """Hand a batch over, in the order of the unit's, and how it was computed otherwise than
        planned; waits where the disk is slower than the device."""
        while True:
            self._raise_if_broken()
            try:
                self._queue.put((batch, fell_back), timeout=0.5)
            except queue.Full:
                continue
            return

    def finish(self) -> None:
        """Wait until everything handed over is written, then write the bands that remain."""
        self._end()
        self._write_bands(None)
        self._write_table()

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
            if error is None and not self._table_last:
                self._write_table()
        except BaseException:
            if error is None:
                raise

    def _end(self) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.5)
            except queue.Full:
                continue
            # Not for ever: an interruption within the queue may have cost it its waking, and then
            # the next end is heard.
            self._thread.join(0.5)
        self._raise_if_broken()

    def _raise_if_broken(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        give_way()
        try:
            following = iter([*self._todo[1:], None])
            while (handed := self._queue.get()) is not None:
                batch, fell_back = handed
                for fallback in fell_back:
                    self._sink.add_fallback(*fallback)
                self._write(batch, next(following))
        except BaseException as error:  # noqa: BLE001 - handed to the computing thread
            self._error = error

    def _write(self, batch: Computed, following: NDArray[np.int64] | None) -> None:
        for n, values in batch.values.items():
            corners = self._stage.corners[n][batch.numbers]
            for row in np.flatnonzero(batch.good):
                top, left = corners[row]
                self._stitchers[n].add(int(top), int(left), values[row], self._weights[n])
        self._table.append((self._stage.tiles[batch.numbers], batch.columns))
        self._write_bands(following)
        if not self._table_last and time.monotonic() - self._written >= TABLE_S:
            self._write_table()

    def _write_table(self) -> None:
        """Write what is known of tiles, all batches of it in one go."""
        if not self._table:
            return
        parts = [columns for _, columns in self._table]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        self._sink.write_tiles(np.concatenate([tiles for tiles, _ in self._table]), joined)
        self._table.clear()
        self._written = time.monotonic()

    def _write_bands(self, following: NDArray[np.int64] | None) -> None:
        """Write what no batch touches any more, from the following one on."""
        for n, stitcher in self._stitchers.items():
            # Tiles come row by row, so no later one starts above the next one.
            below = None if following is None else int(self._stage.corners[n][following[0], 0])
            for band, blocks in stitcher.finish(below):
                self._sink.write_band(n, band, blocks)
