"""StoreWriter: the OME-Zarr store of one run while it is being written. One thread uses it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs.accumulators import BUDGET_BYTES
from napari_smoothsal.runs.codecs import zstd
from napari_smoothsal.runs.durable_store import DurableStore, settle, sweep
from napari_smoothsal.runs.layout import (
    CHOSEN,
    FAILED,
    FORMAT,
    LEFT_OUT,
    NAMESPACE,
    PENDING,
    UNDECIDED,
    WITH_ERRORS,
)
from napari_smoothsal.runs.ome import image_attributes, rgb_channels
from napari_smoothsal.runs.places import Place, on_url
from napari_smoothsal.runs.remote_draft import put_laid_out, sweep_draft
from napari_smoothsal.runs.remote_store import KeptStore, store_at
from napari_smoothsal.runs.stitch import Block
from napari_smoothsal.runs.stitched import Pair, Stitched
from napari_smoothsal.runs.store_litter import DRAFT, sweep_drafts
from napari_smoothsal.runs.unit_writer import UnitDone
from napari_smoothsal.runs.zarr_io import (
    array_at,
    attributes_of,
    group_at,
    unknown_value,
    wholly_kept,
)


class StoreWriter:
    """Writes a store; made by `create_store` or `reopen_store`.

    What marks work as done is written after that work lies on the disk, so that even a power cut
    loses nothing but what was not marked.

    Attributes
    ----------
    path
        Of the store.
    scratch
        Folder for what does not fit into memory.
    stitching_bytes
        Memory for sums of all images.
    """

    stitching_bytes = BUDGET_BYTES

    def __init__(self, store: KeptStore, images: Sequence[Stitched]) -> None:
        self._store = store
        self.path = store.place
        self.scratch: Path | None = store.scratch
        self._root = zarr.open_group(store, mode="r+", use_consolidated=False)
        self._images = images
        self._rows = [array_at(self._root, f"state/rows_{i}") for i in range(len(images))]
        columns = group_at(self._root, "tiles").arrays()
        self._tiles = {name: wholly_kept(column) for name, column in columns}

    def open_bands(self, index: int) -> NDArray[np.bool_]:
        """(bands,) which bands of an image are not written yet."""
        return np.asarray(self._rows[index][:] == 0)

    def write_band(self, index: int, band: int, blocks: Iterable[Block]) -> None:
        """Write one band of an image and its share of the coarser levels, then mark it written.

        Parameters
        ----------
        index
            Of the image.
        band, blocks
            From `BandStitcher.finish`; where there is no block the band stays as it was created.
        """
        for block in blocks:
            for piece in self._images[index].pieces(block):
                piece.write(self._root)
        self._store.settle()
        self._rows[index][band] = 1

    def record(self, done: UnitDone) -> None:
        """Write what a unit left to the owner of the store, then mark its bands and tiles.

        Parameters
        ----------
        done
            Of a unit whose own chunks lie on the disk.
        """
        for piece in done.pieces:
            piece.write(self._root)
        self._store.settle()
        for index, bands in done.bands.items():
            self._rows[index].oindex[np.array(bands)] = np.ones(len(bands), np.uint8)
        for tiles, columns in done.tables:
            self.write_tiles(tiles, columns)
        for fallback in done.fallbacks:
            self.add_fallback(*fallback)

    def open_again(self, index: int, bands: NDArray[np.bool_]) -> None:
        """Forget bands of an image, so that they are computed again."""
        self._rows[index][:] = np.where(bands, 0, self._rows[index][:])
        self._store.settle()
        for band in np.flatnonzero(bands):
            for piece in self._images[index].pieces(self._images[index].blank(int(band))):
                piece.write(self._root)

    def write_tiles(
        self, tiles: NDArray[np.int64], columns: Mapping[str, NDArray[np.generic]]
    ) -> None:
        """Write columns of some tiles; ``status`` last, so that a done tile is complete."""
        consecutive = len(tiles) == tiles[-1] - tiles[0] + 1
        place = slice(int(tiles[0]), int(tiles[-1]) + 1) if consecutive else tiles
        for name in sorted(columns, key=lambda n: n == "status"):
            if name not in self._tiles:
                continue  # the store is older than the column
            if name == "status":
                self._store.settle()
            self._tiles[name].oindex[place] = columns[name]

    def column(self, name: str) -> NDArray[np.generic]:
        """(N,) one column of the tiles' table."""
        return np.asarray(self._tiles[name][:])

    def status(self) -> NDArray[np.uint8]:
        """(N,) of every tile."""
        return np.asarray(self._tiles["status"][:], np.uint8)

    def chosen(self) -> NDArray[np.bool_] | None:
        """(N,) which tiles are to be explained; None where that is not decided yet."""
        flags = np.asarray(array_at(self._root, "state/chosen")[:])
        return None if (flags == UNDECIDED).any() else flags == CHOSEN

    def choose(self, chosen: NDArray[np.bool_]) -> None:
        """Record which tiles are to be explained; one chunk, so that it is there or it is not."""
        self._store.settle()
        array_at(self._root, "state/chosen")[:] = np.where(chosen, CHOSEN, LEFT_OUT)

    def set_aside(self, tiles: NDArray[np.int64], status: int) -> None:
        """Give some tiles another status, before they are computed again."""
        self._tiles["status"].oindex[tiles] = np.full(len(tiles), status, np.uint8)
        self._store.settle()

    def count_tiles(self, status: int) -> int:
        """Number of tiles of one status."""
        return int(np.count_nonzero(self.status() == status))

    def finished(self) -> str:
        """Record that nothing is left to do; returns the status that says how it went."""
        if self.count_tiles(PENDING):
            raise StoreError("the store has tiles that nobody computed; run the same command again")
        status = WITH_ERRORS if self.count_tiles(FAILED) else "complete"
        self._store.settle()
        self.set_status(status)
        self._store.settle()
        return status

    def add_fallback(self, what: str, tiles: NDArray[np.int64], rows_per_pass: int) -> None:
        """Record that some tiles were computed otherwise than planned."""
        own = dict(attributes_of(self._root)[NAMESPACE])
        entry = {
            "what": what,
            "first_tile": int(tiles[0]),
            "last_tile": int(tiles[-1]),
            "rows_per_pass": rows_per_pass,
        }
        provenance = own["provenance"]
        own["provenance"] = {**provenance, "fallbacks": [*provenance["fallbacks"], entry]}
        self._root.attrs[NAMESPACE] = own

    def noted(self, path: str) -> dict[str, Any]:
        """What is recorded beside an image."""
        return dict(attributes_of(group_at(self._root, path))[NAMESPACE])

    def note(self, path: str, values: Mapping[str, Any]) -> None:
        """Record more beside an image."""
        group_at(self._root, path).attrs[NAMESPACE] = {**self.noted(path), **values}

    def set_status(self, status: str) -> None:
        """Record the run's status, in one atomic write."""
        own = attributes_of(self._root)[NAMESPACE]
        self._root.attrs[NAMESPACE] = {**own, "status": status}


@dataclass(frozen=True)
class Contents:
    """What a new store is laid out from.

    Attributes
    ----------
    images, mpp
        What is stitched, and the slide's micrometres per level-0 px, (y, x).
    map_keys
        Keys of the saliency maps among the images, in the order of the specs.
    tile_columns
        Initial values of the tiles' columns, each (N,).
    own
        Our attributes of the root: status, identity, provenance.
    overview
        (h, w, 3) picture with its scale and translate in level-0 px.
    chooses
        Whether tiles are chosen once all are predicted.
    """

    images: Sequence[Stitched]
    map_keys: Sequence[str]
    tile_columns: Mapping[str, NDArray[np.generic]]
    mpp: Pair
    own: Mapping[str, Any]
    overview: tuple[NDArray[np.uint8], Pair, Pair]
    chooses: bool = False


def create_store(path: Place, contents: Contents) -> StoreWriter:
    """Lay out a new store, every array of it, before the first tile is read.

    Parameters
    ----------
    path
        A folder that is not there or empty, or a URL.
    contents
        What it holds.

    Raises
    ------
    StoreError
        If something else has appeared at the path.
    """
    if on_url(path):
        laid_out: dict[str, Buffer] = {}
        _lay_out(MemoryStore(laid_out), contents)
        put_laid_out(path, {key: value.to_bytes() for key, value in laid_out.items()})
        return reopen_store(path, contents.images)
    # Laid out beside its place and moved there whole: an interrupted start leaves no half store.
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_drafts(path)  # of a process that was killed
    with tempfile.TemporaryDirectory(prefix=f".{path.name}{DRAFT}", dir=path.parent) as folder:
        draft = Path(folder) / "store"
        store = DurableStore(draft)
        _lay_out(store, contents)
        store.settle()
        try:
            if path.exists():
                path.rmdir()  # an empty folder, or this raises and nothing is lost
            draft.rename(path)
            settle(path.parent)
        except OSError as error:
            raise StoreError(
                f"{path.name!r} cannot be made a store ({error.strerror}); choose another --out"
            ) from error
    return reopen_store(path, contents.images)


def reopen_store(path: Place, images: Sequence[Stitched]) -> StoreWriter:
    """Open an unfinished store to go on writing; who does so holds it (`only_writer`)."""
    if on_url(path):
        sweep_draft(path)
    else:
        sweep(path)
    return StoreWriter(store_at(path), images)


def _lay_out(store: Store, contents: Contents) -> None:
    root = zarr.create_group(store, zarr_format=3)
    series = ["overview", *(image.path for image in contents.images)]
    root.create_group("OME").attrs["ome"] = {"version": "0.5", "series": series}
    _add_overview(root, contents.overview, contents.mpp)
    root.create_group("maps")
    state = root.create_group("state")
    for index, image in enumerate(contents.images):
        image.lay_out(root, contents.mpp)
        n = image.bands
        state.create_array(f"rows_{index}", shape=(n,), chunks=(n,), dtype="u1", compressors=zstd())
    if contents.chooses:
        n = len(contents.tile_columns["status"])
        state.create_array(
            "chosen", shape=(n,), chunks=(max(n, 1),), dtype="u1", compressors=zstd()
        )
    tiles = root.create_group("tiles")
    for name, values in contents.tile_columns.items():
        column = tiles.create_array(
            name,
            shape=values.shape,
            chunks=(max(1, min(len(values), 4096)),),
            dtype=values.dtype,
            fill_value=unknown_value(name, values.dtype),
            compressors=zstd(),
        )
        wholly_kept(column)[:] = values
    root.attrs.update(
        {
            "ome": {"version": "0.5", "bioformats2raw.layout": 3},
            NAMESPACE: {
                "format": FORMAT,
                **contents.own,
                "maps": list(contents.map_keys),
            },
        }
    )


def _um(pair: Pair, mpp: Pair) -> Pair:
    return (pair[0] * mpp[0], pair[1] * mpp[1])


def _add_overview(
    root: zarr.Group, overview: tuple[NDArray[np.uint8], Pair, Pair], mpp: Pair
) -> None:
    picture, scale, place = overview
    group = root.create_group("overview")
    ome = image_attributes(
        "overview", ["0"], [_um(scale, mpp)], [_um(place, mpp)], channels=True, downsampling="mean"
    )
    group.attrs["ome"] = {**ome, "omero": rgb_channels()}
    planes = np.ascontiguousarray(picture.transpose(2, 0, 1))
    array = group.create_array(
        "0",
        shape=planes.shape,
        chunks=planes.shape,
        dtype="u1",
        compressors=zstd(),
        dimension_names=("c", "y", "x"),
    )
    wholly_kept(array)[:] = planes
