"""TileLoader: reads a slide's tiles beside the GUI thread, and has them drawn when they are there.

Decoding what a view needs can take half a second. The window does not wait for it: napari gets
coarser pixels at once, and true ones as soon as threads have read them. Putting tiles together is
copying, which other cores slow down as well as the disk; so what is drawn again is ready-made.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from weakref import WeakSet

from qtpy.QtCore import QTimer

from napari_smoothsal.viewer.display_colours import Pixels
from napari_smoothsal.viewer.slide_levels import Key, SlideLevel, TilePyramid

THREADS = max(1, min(2, (os.cpu_count() or 1) - 1))
"""A core stays with the window."""
EVERY_MS = 30
"""Between two looks at what has been read and put together."""

Region = tuple[int, range, range]
"""Level, rows and columns."""


class TileLoader:
    """Answers napari's drawing of one slide.

    Parameters
    ----------
    pyramid
        The slide's tiles.

    Attributes
    ----------
    layers
        Those that show the slide.
    """

    def __init__(self, pyramid: TilePyramid) -> None:
        self.layers: WeakSet[Any] = WeakSet()
        self._pyramid = pyramid
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="smoothsal-tiles")
        self._composer = ThreadPoolExecutor(1, thread_name_prefix="smoothsal-view")
        self._reading: dict[Key, Future[Pixels]] = {}
        self._wanted: Region | None = None
        self._composing: Future[tuple[Region, Pixels]] | None = None
        self._composed: tuple[Region, Pixels] | None = None
        self._outdated = False
        self._timer = QTimer()
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self._look)

    def at_once(self, level: int, rows: range, columns: range) -> Pixels:
        """Pixels of a region, as far as they have been read; the rest is being read."""
        wanted = (level, rows, columns)
        if self._composed is not None and self._composed[0] == wanted:
            return self._composed[1]
        pixels, missing = self._pyramid.at_once(*wanted)
        if missing:
            self._wanted = wanted
            self._read(missing)
        return pixels

    def _compose(self, wanted: Region) -> tuple[Region, Pixels]:
        return wanted, self._pyramid.at_once(*wanted)[0]

    def _read(self, keys: Iterable[Key]) -> None:
        """Read tiles; those that were wanted before and have not been begun are not any more."""
        wanted = set(keys)
        for key, future in list(self._reading.items()):
            if key not in wanted and future.cancel():
                del self._reading[key]
        for key in wanted - self._reading.keys():
            self._reading[key] = self._threads.submit(self._pyramid.tile, key)
        self._timer.start()

    def _look(self) -> None:
        done = [key for key, future in self._reading.items() if future.done()]
        for key in done:
            del self._reading[key]
        self._outdated |= bool(done)
        if self._composing is not None and self._composing.done():
            self._composed, self._composing = self._composing.result(), None
            for layer in self.layers:
                layer.refresh(extent=False, thumbnail=False, highlight=False)
            self._composed = None  # napari has them
        if self._outdated and self._composing is None and self._wanted is not None:
            self._outdated = False
            self._composing = self._composer.submit(self._compose, self._wanted)
        if not self._reading and self._composing is None:
            self._timer.stop()


def load_beside(viewer: Any) -> None:
    """From now on have slides that come into a viewer read beside its GUI thread."""
    if viewer is not None:
        viewer.layers.events.inserted.connect(_on_inserted)


def _on_inserted(event: Any) -> None:
    layer = event.value
    finest = layer.data[0] if getattr(layer, "multiscale", False) else None
    if isinstance(finest, SlideLevel):
        pyramid = finest.pyramid
        pyramid.loader = pyramid.loader or TileLoader(pyramid)
        pyramid.loader.layers.add(layer)
