"""repair_store: what is damaged is forgotten, so that the same run computes it again, and no more.

Each step can be interrupted: what is still damaged is found again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_smoothsal.core.findings import Finding, some_of
from napari_smoothsal.runs.chunk_check import BrokenChunk, Damage, ImageBand, bands_of
from napari_smoothsal.runs.durable_store import DurableStore
from napari_smoothsal.runs.layout import NAMESPACE, PENDING
from napari_smoothsal.runs.stored_images import StoredImage, StoredMap
from napari_smoothsal.runs.zarr_io import array_at, attributes_of, unknown_value, wholly_kept

PLANNED = ("x_px", "y_px", "w_px", "h_px")
"""Columns that say where tiles lie: a run compares them with its plan, and does not write them."""
AGAIN = "the same `smoothsal run` command again computes what is missing, and nothing else"


def is_repairable(chunk: BrokenChunk) -> bool:
    """Whether a run, or what else is stored, can replace it."""
    folder, _, name = chunk.array.rpartition("/")
    return folder not in ("overview", "tiles") or (folder == "tiles" and name not in PLANNED)


class Repair:
    """Repairs a store that nobody else writes into.

    Parameters
    ----------
    path
        Of the store, which is held (`only_writer`).
    images
        Of the store; see `stored_images`.
    """

    def __init__(self, path: Path, images: Sequence[StoredImage]) -> None:
        self._path = path
        self._store = DurableStore(path)
        self._root = zarr.open_group(self._store, mode="r+", use_consolidated=False)
        self._images = {image.number: image for image in images}

    def damage(self, damage: Damage) -> list[Finding]:
        """Repair what can be; says what was done. What cannot is left as it is."""
        mine = [chunk for chunk in damage.broken if is_repairable(chunk)]
        remade = self._derived(mine, damage)
        opened: set[ImageBand] = {*damage.contradicting, *damage.lost}
        for chunk in mine:
            if chunk not in remade:
                opened.update(bands_of(chunk, self._root, list(self._images.values())))
        table = [chunk for chunk in mine if chunk.array.startswith("tiles/")]
        state = [chunk for chunk in mine if chunk.array.startswith("state/")]
        if opened or table or state:
            # First of all: a store that lacks something must not look complete.
            self._set_running()
        tiles = self._empty(table)
        self._remove(state)
        self._open(opened)
        self._remove(chunk for chunk in mine if chunk not in table and chunk not in state)
        self._blank(opened)
        self._make_again(remade)
        self._store.settle()
        found = []
        if remade:
            said = f"made again from level 0: {some_of(remade)}"
            found.append(Finding("coarser levels", "repaired", said))
        if opened:
            said = f"{len(opened)} band(s) were emptied and opened again"
            found.append(Finding("bands", "repaired", said, AGAIN))
        if tiles:
            said = f"{tiles} tile(s) wait again, whose rows could not be read"
            found.append(Finding("tiles", "repaired", said, AGAIN))
        if state:
            said = f"forgotten, as it could not be read: {some_of(state)}"
            found.append(Finding("state", "repaired", said, AGAIN))
        return found

    def tiles(self, numbers: NDArray[np.int64]) -> list[Finding]:
        """Let tiles wait again whose rows cannot be right."""
        if not len(numbers):
            return []
        self._set_running()
        self._wait(numbers)
        return [Finding("tiles", "repaired", f"{len(numbers)} tile(s) wait again", AGAIN)]

    def finish_later(self) -> list[Finding]:
        """Call a store unfinished that calls itself finished and is not."""
        self._set_running()
        return [Finding("status", "repaired", "the store calls itself unfinished now", AGAIN)]

    def _derived(self, chunks: Sequence[BrokenChunk], damage: Damage) -> list[BrokenChunk]:
        """Chunks of coarser levels of maps whose level 0 is whole."""
        images = list(self._images.values())
        base: set[ImageBand] = {*damage.contradicting, *damage.lost}
        for chunk in damage.broken:
            if any(image.level_of(chunk.array) == 0 for image in images):
                base.update(bands_of(chunk, self._root, images))
        return [
            chunk
            for chunk in chunks
            if any(isinstance(image, StoredMap) and image.level_of(chunk.array) for image in images)
            and not base & set(bands_of(chunk, self._root, images))
        ]

    def _set_running(self) -> None:
        own = attributes_of(self._root)[NAMESPACE]
        self._root.attrs[NAMESPACE] = {**own, "status": "running"}
        self._store.settle()

    def _wait(self, numbers: NDArray[np.int64]) -> None:
        status = wholly_kept(array_at(self._root, "tiles/status"))
        status.oindex[numbers] = np.full(len(numbers), PENDING, np.uint8)
        self._store.settle()

    def _empty(self, chunks: Sequence[BrokenChunk]) -> int:
        """Rows of the table as they were before anything was computed; returns their number."""
        rows: set[int] = set()
        for chunk in sorted(chunks, key=lambda one: one.array != "tiles/status"):
            array = wholly_kept(array_at(self._root, chunk.array))
            start = chunk.chunk[0] * array.chunks[0]
            place = slice(start, min(start + array.chunks[0], array.shape[0]))
            numbers = np.arange(place.start, place.stop)
            if chunk.array != "tiles/status":
                self._wait(numbers)
            self._remove([chunk])
            array[place] = unknown_value(array.basename, array.dtype)
            rows.update(numbers.tolist())
        self._store.settle()
        return len(rows)

    def _open(self, bands: set[ImageBand]) -> None:
        by_image = defaultdict(list)
        for number, band in bands:
            by_image[number].append(band)
        for number, of_image in by_image.items():
            rows = array_at(self._root, f"state/rows_{number}")
            marks = np.asarray(rows[:])
            marks[of_image] = 0
            rows[:] = marks
        self._store.settle()

    def _remove(self, chunks: Iterable[BrokenChunk]) -> None:
        for chunk in chunks:
            array = array_at(self._root, chunk.array)
            key = array.metadata.encode_chunk_key(chunk.chunk)
            (self._path / chunk.array / key).unlink(missing_ok=True)

    def _blank(self, bands: set[ImageBand]) -> None:
        for number, band in bands:
            image = self._images[number]
            for level in range(image.levels):
                for path in image.paths(level):
                    array = array_at(self._root, path)
                    array[(..., image.rows(band, level), slice(None))] = array.fill_value

    def _make_again(self, chunks: Sequence[BrokenChunk]) -> None:
        bands = {
            one for c in chunks for one in bands_of(c, self._root, list(self._images.values()))
        }
        for number, band in sorted(bands):
            image = self._images[number]
            assert isinstance(image, StoredMap)
            for path, place, values in image.coarser(self._root, band):
                array_at(self._root, path)[place] = values
