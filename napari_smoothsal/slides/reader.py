"""Reading tiles ahead of whoever computes on them: threads, a bounded lead, order kept.

OpenSlide releases the interpreter's lock, and a slide's handle may be shared, so that threads
suffice and one cache of decoded native tiles serves all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SettingError, SlideError, TileReadError
from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.core.thread_priority import give_way
from napari_smoothsal.slides.base import Box
from napari_smoothsal.slides.threads import default_threads

__all__ = ["TileBatch", "TileReader", "TileSource", "default_threads"]


class TileSource(Protocol):
    """What tiles are read from: a `Slide`, or what stands in for its pixels."""

    @property
    def name(self) -> str:
        """As messages call it."""

    @property
    def background(self) -> tuple[int, int, int]:
        """(r, g, b) of empty glass."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 that identifies its pixels."""

    def read_box(
        self, box: Box, size: tuple[int, int], resampling: Resampling = "area"
    ) -> NDArray[np.uint8]:
        """See `Slide.read_box`; called from several threads at once."""


@dataclass(frozen=True, eq=False)
class TileBatch:
    """Tiles that are computed together.

    Attributes
    ----------
    images
        (B, H, W, 3) uint8; a tile that could not be read has the background's colour.
    errors
        For each tile None, or why it could not be read.
    """

    images: NDArray[np.uint8]
    errors: tuple[TileReadError | None, ...]


class TileReader:
    """Reads batches of tiles in threads, ahead of the consumer.

    Parameters
    ----------
    slide
        An open slide, or what stands in for it; it stays open when the reader is closed.
    tile_px
        Side of a tile, in px of the result.
    threads
        Reading threads; None for one per available core, at most 8.
    prefetch
        How many batches are read ahead of the one that the consumer holds.
    resampling
        As the model's card says.

    Raises
    ------
    SettingError
        Where a number is below 1.
    """

    def __init__(
        self,
        slide: TileSource,
        tile_px: int,
        threads: int | None = None,
        prefetch: int = 2,
        resampling: Resampling = "area",
    ) -> None:
        threads = default_threads() if threads is None else threads
        for name, value in (("tile_px", tile_px), ("threads", threads), ("prefetch", prefetch)):
            if value < 1:
                raise SettingError(f"{name} = {value}: give 1 or more")
        self._slide = slide
        self._tile_px = tile_px
        self._prefetch = prefetch
        self._resampling: Resampling = resampling
        self._pool = ThreadPoolExecutor(threads, "smoothsal-reader", give_way)
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop what has not been started, and wait for the few reads that have."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def batches(self, batches: Iterable[Sequence[Box]]) -> Iterator[TileBatch]:
        """Read batches of boxes, in the order given.

        Parameters
        ----------
        batches
            Boxes in level-0 px; taken from lazily, at most `prefetch` ahead.

        Yields
        ------
        TileBatch
            One per sequence of boxes. A tile that cannot be decoded is reported in it and
            does not end the run.

        Raises
        ------
        SlideError
            Where the reader has been closed, or the slide is.
        """
        pending: deque[_Pending] = deque()
        source = iter(batches)
        try:
            while True:
                # The batch about to be handed out, and `prefetch` behind it.
                while len(pending) <= self._prefetch:
                    boxes = next(source, None)
                    if boxes is None:
                        break
                    pending.append(self._submitted(boxes))
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            for batch in pending:
                batch.cancel()

    def _submitted(self, boxes: Sequence[Box]) -> _Pending:
        if self._closed:
            raise SlideError(f"{self._slide.name}: the tile reader has been closed")
        side = self._tile_px
        images = np.empty((len(boxes), side, side, 3), np.uint8)
        futures = [self._pool.submit(self._read, box, images[i]) for i, box in enumerate(boxes)]
        return _Pending(images, futures)

    def _read(self, box: Box, out: NDArray[np.uint8]) -> TileReadError | None:
        try:
            out[:] = self._slide.read_box(box, (self._tile_px, self._tile_px), self._resampling)
        except TileReadError as error:
            out[:] = self._slide.background
            return error
        return None


@dataclass(frozen=True, eq=False)
class _Pending:
    """A batch of which some tiles are still being read, each into its place."""

    images: NDArray[np.uint8]
    futures: list[Future[TileReadError | None]]

    def result(self) -> TileBatch:
        try:
            return TileBatch(self.images, tuple(future.result() for future in self.futures))
        except BaseException:
            self.cancel()
            raise

    def cancel(self) -> None:
        for future in self.futures:
            future.cancel()
