"""Blocks of native tiles, each read once: tiles that overlap do not decode the same pixels again.

OpenSlide's own cache keeps decoded native tiles, but composes each region anew out of them, which
takes longer than decoding. Here whole native tiles are asked for, kept as RGB, and regions are
cut out of them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import TileReadError

CAPACITY_BYTES = 160 * 2**20
"""The same for all slides: what a row of tiles needs again of the row before it, where a slide of
100,000 px is half glass. Of one that is wider or full, some blocks are read twice: memory comes
first."""

SIDE = 256
"""Level px. Smaller native tiles are joined to about this: asking costs more than reading them."""

MOST_SIDE = 1024
"""Larger native tiles, and formats that do not say how they are tiled, are read in `LOOSE_SIDE`."""

LOOSE_SIDE = 512

Key = tuple[int, int, int]
"""Level, row and column of a block."""

Read = Callable[[int, int, int, int, int], NDArray[np.uint8]]
"""Pixels (h, w, 3) of level, x, y, w, h, in px of the level, inside it."""


@dataclass(frozen=True)
class LevelBlocks:
    """How a level is cut into blocks, all in px of the level.

    Attributes
    ----------
    width, height
        Of the level.
    block_w, block_h
        Of a block; those at the far edges are cut.
    aligned
        Whether every native tile lies in one block.
    joined
        Whether a block may hold several native tiles.
    """

    width: int
    height: int
    block_w: int
    block_h: int
    aligned: bool
    joined: bool

    @classmethod
    def of(cls, size: tuple[int, int], native: tuple[int, int] | None) -> LevelBlocks:
        """Blocks of a level of (width, height) with native tiles of (width, height), if known."""
        if native is None or min(native) < 1 or max(native) > MOST_SIDE:
            return cls(*size, LOOSE_SIDE, LOOSE_SIDE, aligned=False, joined=True)
        w, h = (side * max(1, round(SIDE / side)) for side in native)
        return cls(*size, w, h, aligned=True, joined=(w, h) != native)

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """x, y, w, h of a block."""
        x, y = column * self.block_w, row * self.block_h
        return x, y, min(self.block_w, self.width - x), min(self.block_h, self.height - y)

    def touching(self, x: int, y: int, w: int, h: int) -> Iterator[tuple[int, int]]:
        """Row and column of every block that a region has pixels of."""
        for row in range(y // self.block_h, (y + h - 1) // self.block_h + 1):
            for column in range(x // self.block_w, (x + w - 1) // self.block_w + 1):
                yield row, column


class BlockCache:
    """Keeps the blocks that were asked for last; may be used from any thread.

    Parameters
    ----------
    levels
        How each level is cut.
    read
        Reads pixels; called for one block at a time and thread, never twice at once for a block.
    capacity
        Bytes that are kept at most.
    """

    def __init__(
        self, levels: Sequence[LevelBlocks], read: Read, capacity: int = CAPACITY_BYTES
    ) -> None:
        self._levels = tuple(levels)
        self._read = read
        self._capacity = capacity
        self._bytes = 0
        self._lock = threading.Lock()
        self._blocks: OrderedDict[Key, Future[NDArray[np.uint8]]] = OrderedDict()
        self._looks = 0
        self._broken: dict[Key, str] = {}

    def clear(self) -> None:
        """Forget all blocks."""
        with self._lock:
            self._blocks.clear()
            self._bytes = 0

    @contextmanager
    def each_fault_once(self) -> Iterator[None]:
        """Meanwhile, a block that could not be read is not tried again.

        Whoever looks for the outline of what is broken asks many times for the same blocks, and
        each failure costs a new handle of the file. Afterwards they are tried as any other: a
        drive may have come back.
        """
        with self._lock:
            self._looks += 1
        try:
            yield
        finally:
            with self._lock:
                self._looks -= 1
                if not self._looks:
                    self._broken.clear()

    def region(self, level: int, x: int, y: int, w: int, h: int) -> NDArray[np.uint8]:
        """Return pixels (h, w, 3) of a region that lies inside the level, in px of the level.

        Raises
        ------
        TileReadError
            Where one of its blocks cannot be read; the region itself may be readable.
        SlideError
            As the reading says.
        """
        cut = self._levels[level]
        out = np.empty((h, w, 3), np.uint8)
        # Blocks that another thread is reading come last: meanwhile the others are read, so that
        # threads at neighbouring tiles do not wait for each other block by block.
        under_way = []
        keys = [(level, *place) for place in cut.touching(x, y, w, h)]
        if self._broken:
            self._raise_known(keys)
        for key in keys:
            _, row, column = key
            block, claimed = self._claim(key)
            if claimed:
                self._fill(key, block)
            elif not block.done():
                under_way.append((row, column, block))
                continue
            _paste(out, x, y, cut.box(row, column), block.result())
        for row, column, block in under_way:
            _paste(out, x, y, cut.box(row, column), block.result())
        return out

    def _raise_known(self, keys: Sequence[Key]) -> None:
        with self._lock:
            known = next((self._broken[key] for key in keys if key in self._broken), None)
        if known is not None:
            raise TileReadError(known)

    def _claim(self, key: Key) -> tuple[Future[NDArray[np.uint8]], bool]:
        with self._lock:
            block = self._blocks.get(key)
            if block is not None:
                self._blocks.move_to_end(key)
                return block, False
            block = self._blocks[key] = Future()
            return block, True

    def _fill(self, key: Key, block: Future[NDArray[np.uint8]]) -> None:
        level, row, column = key
        try:
            pixels = self._read(level, *self._levels[level].box(row, column))
        except BaseException as error:
            with self._lock:
                if self._blocks.get(key) is block:
                    del self._blocks[key]
                if self._looks and isinstance(error, TileReadError):
                    self._broken[key] = str(error)  # with its traceback it would hold pixels
            block.set_exception(error)
            raise
        with self._lock:
            block.set_result(pixels)
            if self._blocks.get(key) is block:  # not where all were forgotten meanwhile
                self._bytes += pixels.nbytes
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        while self._bytes > self._capacity:
            key, block = self._blocks.popitem(last=False)
            if block.done():
                self._bytes -= block.result().nbytes
            else:  # still being read: it is counted once it is there
                self._blocks[key] = block


def _paste(
    out: NDArray[np.uint8],
    x: int,
    y: int,
    box: tuple[int, int, int, int],
    pixels: NDArray[np.uint8],
) -> None:
    """Copy what a block has of the region at x, y into its place."""
    left, top = max(x, box[0]), max(y, box[1])
    right = min(x + out.shape[1], box[0] + box[2])
    bottom = min(y + out.shape[0], box[1] + box[3])
    out[top - y : bottom - y, left - x : right - x] = pixels[
        top - box[1] : bottom - box[1], left - box[0] : right - box[0]
    ]
