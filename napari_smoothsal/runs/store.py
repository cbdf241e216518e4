"""StoreWriter: the OME-Zarr store of one run while it is being written. One thread uses it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs.layout import FAILED, FORMAT, NAMESPACE, PENDING
from napari_smoothsal.runs.ome import image_attributes, rgb_channels
from napari_smoothsal.runs.stitched import Pair, Stitched
from napari_smoothsal.runs.zarr_io import array_at, attributes_of, group_at, open_root


class StoreWriter:
    """Writes a store; made by `create_store` or `reopen_store`."""

    def __init__(self, root: zarr.Group, images: Sequence[Stitched]) -> None:
        self._root = root
        self._images = images
        self._rows = [array_at(root, f"state/rows_{i}") for i in range(len(images))]
        self._tiles = dict(group_at(root, "tiles").arrays())

    def first_open_band(self, index: int) -> int:
        """The first band of an image that is not written yet."""
        written = np.asarray(self._rows[index][:])
        missing = np.flatnonzero(written == 0)
        return int(missing[0]) if len(missing) else len(written)

    def write_band(self, index: int, band: int, rows: NDArray[np.float32] | None) -> None:
        """Write one band of an image and its share of the coarser levels, then mark it written.

        Parameters
        ----------
        index
            Of the image.
        band, rows
            From `BandStitcher.finish`; None leaves the band as it was created.
        """
        if rows is not None:
            self._images[index].write_band(self._root, band, rows)
        # Last, so that a band that is marked is complete.
        self._rows[index][band] = 1

    def write_tiles(self, start: int, columns: Mapping[str, NDArray[np.generic]]) -> None:
        """Write consecutive tiles' columns; ``status`` last, so that a done tile is complete."""
        for name in sorted(columns, key=lambda n: n == "status"):
            if name not in self._tiles:
                continue  # the store is older than the column
            values = columns[name]
            self._tiles[name][start : start + len(values)] = values

    def done_tiles(self) -> NDArray[np.bool_]:
        """(N,): which tiles an earlier or this process finished, failed ones included."""
        done: NDArray[np.bool_] = np.asarray(self._tiles["status"][:]) != PENDING
        return done

    def count_tiles(self, status: int) -> int:
        """Number of tiles of one status."""
        return int(np.count_nonzero(np.asarray(self._tiles["status"][:]) == status))

    def finished(self) -> str:
        """Record that nothing is left to do; returns the status that says how it went."""
        if self.count_tiles(PENDING):
            raise StoreError("the store has tiles that nobody computed; run the same command again")
        status = "complete_with_errors" if self.count_tiles(FAILED) else "complete"
        self.set_status(status)
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
    """

    images: Sequence[Stitched]
    map_keys: Sequence[str]
    tile_columns: Mapping[str, NDArray[np.generic]]
    mpp: Pair
    own: Mapping[str, Any]
    overview: tuple[NDArray[np.uint8], Pair, Pair]


def create_store(path: Path, contents: Contents) -> StoreWriter:
    """Lay out a new store, every array of it, before the first tile is read.

    Parameters
    ----------
    path
        A folder that is not there or empty.
    contents
        What it holds.

    Raises
    ------
    StoreError
        If something else has appeared at the path.
    """
    # Laid out beside its place and moved there whole: an interrupted start leaves no half store.
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        draft = Path(folder) / "store"
        _lay_out(draft, contents)
        try:
            if path.exists():
                path.rmdir()  # an empty folder, or this raises and nothing is lost
            draft.rename(path)
        except OSError as error:
            raise StoreError(
                f"{path.name!r} cannot be made a store ({error.strerror}); choose another --out"
            ) from error
    return reopen_store(path, contents.images)


def reopen_store(path: Path, images: Sequence[Stitched]) -> StoreWriter:
    """Open an unfinished store to go on writing."""
    return StoreWriter(open_root(path, "r+"), images)


def _lay_out(draft: Path, contents: Contents) -> None:
    root = zarr.create_group(draft, zarr_format=3)
    series = ["overview", *(image.path for image in contents.images)]
    root.create_group("OME").attrs["ome"] = {"version": "0.5", "series": series}
    _add_overview(root, contents.overview, contents.mpp)
    root.create_group("maps")
    state = root.create_group("state")
    for index, image in enumerate(contents.images):
        image.lay_out(root, contents.mpp)
        state.create_array(f"rows_{index}", shape=(image.bands,), chunks=(image.bands,), dtype="u1")
    tiles = root.create_group("tiles")
    for name, values in contents.tile_columns.items():
        column = tiles.create_array(
            name, shape=values.shape, chunks=(max(1, min(len(values), 4096)),), dtype=values.dtype
        )
        column[:] = values
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
        "0", shape=planes.shape, chunks=planes.shape, dtype="u1", dimension_names=("c", "y", "x")
    )
    array[:] = planes
