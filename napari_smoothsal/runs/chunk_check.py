"""What is damaged in a store's arrays: chunks that do not decode or are gone, bands that contradict
themselves, bands whose tiles are done and that show nothing there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_smoothsal.runs.layout import DONE, NAMESPACE, NOT_EXPLAINED
from napari_smoothsal.runs.stored_images import StoredClasses, StoredImage
from napari_smoothsal.runs.zarr_io import array_at, attributes_of, group_at

_STRIP = 16
"""Chunks that are decoded together."""

ImageBand = tuple[int, int]
"""Number of an image, number of a band."""


@dataclass(frozen=True)
class BrokenChunk:
    """A chunk that does not decode, or that is gone.

    Attributes
    ----------
    array, chunk
        Path in the store, and place in the array's grid of chunks.
    why
        In words.
    """

    array: str
    chunk: tuple[int, ...]
    why: str

    def __str__(self) -> str:
        return f"{self.array}/{'/'.join(map(str, self.chunk))}"


@dataclass(frozen=True)
class Damage:
    """What is wrong with a store's arrays.

    Attributes
    ----------
    broken
        Chunks that do not decode, or that are gone.
    contradicting
        Bands that are written and whose levels, or labels, contradict each other.
    lost
        Bands that are written and show nothing where tiles are done.
    looked_at
        Number of chunks that are there.
    """

    broken: tuple[BrokenChunk, ...] = ()
    contradicting: frozenset[ImageBand] = field(default_factory=frozenset)
    lost: frozenset[ImageBand] = field(default_factory=frozenset)
    looked_at: int = 0

    def __bool__(self) -> bool:
        return bool(self.broken or self.contradicting or self.lost)


def find_damage(path: Path, root: zarr.Group, images: Sequence[StoredImage]) -> Damage:
    """Decode every chunk of a store, and compare what is stored more than once.

    Parameters
    ----------
    path, root
        The store; it may be growing.
    images
        Of the store; see `stored_images`.
    """
    # Read first: what is marked now is written, whatever is written meanwhile.
    written = {image.number: _written(root, image.number) for image in images}
    broken: list[BrokenChunk] = []
    there = 0
    for name, node in root.members(max_depth=None):
        if isinstance(node, zarr.Array):
            there += sum(1 for one in (path / name).rglob("*") if one.name.isdecimal())
            broken += lacking_chunks(path, node, name)
            broken += broken_chunks(node, name)
    unreadable = {one.array for one in broken}
    touched = {band for one in broken for band in bands_of(one, root, images)}
    whole = [
        (image, band)
        for image in images
        for band in np.flatnonzero(written[image.number]).tolist()
        if (image.number, band) not in touched
    ]
    contradicting = {(i.number, b) for i, b in whole if not i.agrees(root, b)}
    lost = {
        (image.number, band)
        for image in images
        for band in _without_done_tiles(root, image, unreadable)
        if (image.number, band) not in touched and written[image.number][band]
    }
    return Damage(tuple(broken), frozenset(contradicting), frozenset(lost), there)


def broken_chunks(array: zarr.Array[Any], name: str) -> Iterator[BrokenChunk]:
    """Chunks of an array that do not decode; those that are not there hold its fill value."""
    sizes = array.shards or array.chunks
    counts = [-(-extent // size) for extent, size in zip(array.shape, sizes, strict=True)]
    for lead in product(*(range(count) for count in counts[:-1])):
        for start in range(0, counts[-1], _STRIP):
            stop = min(start + _STRIP, counts[-1])
            if _trouble(array, [*((i, i + 1) for i in lead), (start, stop)]) is None:
                continue
            for last in range(start, stop):
                chunk = (*lead, last)
                why = _trouble(array, [(i, i + 1) for i in chunk])
                if why is not None:
                    yield BrokenChunk(name, chunk, why)


def lacking_chunks(path: Path, array: zarr.Array[Any], name: str) -> Iterator[BrokenChunk]:
    """Chunks that are gone, of arrays of which every chunk is written: table and overview.

    Parameters
    ----------
    path, array, name
        Of the store; the array, and its path in there.
    """
    # Columns with the fill value 0 are those of older stores, or statuses: such a chunk may be
    # left out there. No picture of a slide is black all over.
    column = name.startswith("tiles/") and array.fill_value != 0
    if not column and not name.startswith("overview/"):
        return
    counts = [-(-extent // size) for extent, size in zip(array.shape, array.chunks, strict=True)]
    for chunk in product(*(range(count) for count in counts)):
        if not (path / name / array.metadata.encode_chunk_key(chunk)).exists():
            yield BrokenChunk(name, chunk, "its file is gone")


def bands_of(
    broken: BrokenChunk, root: zarr.Group, images: Sequence[StoredImage]
) -> Iterator[ImageBand]:
    """Bands of images that a chunk is part of."""
    for image in images:
        level = image.level_of(broken.array)
        if level is not None:
            array = array_at(root, broken.array)
            rows = (array.shards or array.chunks)[-2]  # a shard goes as a whole
            start = broken.chunk[-2] * rows
            for band in image.bands_of_rows(start, start + rows, level):
                yield image.number, band


def _trouble(array: zarr.Array[Any], chunks: list[tuple[int, int]]) -> str | None:
    sizes = array.shards or array.chunks
    place = tuple(slice(a * n, b * n) for (a, b), n in zip(chunks, sizes, strict=True))
    try:
        array[place]
    except Exception as error:  # noqa: BLE001 - each codec has its own, and all mean the same
        return "its checksum does not match" if "checksum" in str(error) else "it is no valid chunk"
    return None


def _written(root: zarr.Group, number: int) -> NDArray[np.bool_]:
    """(bands,) which are marked so; none where nobody can read it."""
    marks = array_at(root, f"state/rows_{number}")
    if _trouble(marks, [(0, 1)]) is not None:
        return np.zeros(marks.shape, np.bool_)
    return np.asarray(marks[:] != 0)


def _without_done_tiles(root: zarr.Group, image: StoredImage, unreadable: set[str]) -> set[int]:
    """Bands in which the kept part of a tile that is done was never computed."""
    names = ("x_px", "y_px", "w_px", "h_px", "status")
    if unreadable & {f"tiles/{name}" for name in names}:
        return set()
    if any(image.level_of(array) == 0 for array in unreadable):
        return set()
    tiles = group_at(root, "tiles")
    x, y, w, h, status = (np.asarray(array_at(tiles, name)[:]) for name in names)
    # A model's decisions are there of every tile that was predicted, maps of those explained.
    wanted = (DONE, NOT_EXPLAINED) if isinstance(image, StoredClasses) else (DONE,)
    boxes = np.stack([y, x, y + h, x + w], axis=1)[np.isin(status, wanted)]
    places = _within(image, boxes, own_of(root))
    missing = places[~image.known(root, places)] if len(places) else places
    return set((missing[:, 0] // image.band).tolist())


def _within(
    image: StoredImage, boxes: NDArray[np.float64], own: Mapping[str, Any]
) -> NDArray[np.int64]:
    """(M, 2) pixels (y, x) of level 0, one of each chunk that the kept part of a tile reaches into.

    Parameters
    ----------
    boxes
        (N, 4) of tiles: top, left, bottom, right in level-0 px.
    own
        Our attributes of the store.
    """
    identity = own["identity"]
    rim = np.multiply(identity["grid"]["halo"], identity["grid"]["level0_px_per_model_px"])
    # Whole pixels of the map, one less on each side: which of them are kept is a matter of half.
    low, high = (
        image.positions(edge - 0.5, identity["slide"]["mpp"])
        for edge in (boxes[:, :2] + rim, boxes[:, 2:] - rim)
    )
    first = np.maximum(np.ceil(low).astype(np.int64) + 1, 0)
    last = np.minimum(np.floor(high).astype(np.int64) - 1, np.array(image.extent) - 1)
    there = (first <= last).all(1)
    first, last = first[there], last[there]
    chunk = image.band
    reach = (last // chunk - first // chunk).max(0, initial=0) + 1
    steps = np.stack(np.meshgrid(*map(np.arange, reach), indexing="ij"), axis=-1).reshape(-1, 2)
    centres = (first // chunk)[:, None] * chunk + steps[None] * chunk + chunk // 2
    places = np.clip(centres, first[:, None], last[:, None])
    return np.asarray(places.reshape(-1, 2), np.int64)


def own_of(root: zarr.Group) -> Mapping[str, Any]:
    """Our attributes of a store."""
    own: Mapping[str, Any] = attributes_of(root)[NAMESPACE]
    return own
