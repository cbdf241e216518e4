"""UnitWriter: writes the chunks that one unit owns, and keeps what belongs to all of the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs.accumulators import BUDGET_BYTES
from napari_smoothsal.runs.places import Place
from napari_smoothsal.runs.remote_store import store_at
from napari_smoothsal.runs.stitch import Block
from napari_smoothsal.runs.stitched import Piece, Stitched
from napari_smoothsal.runs.unit import Unit
from napari_smoothsal.runs.writer_lock import Writer, writer_of

Columns = Mapping[str, NDArray[np.generic]]


@dataclass
class UnitDone:
    """What a unit hands to the owner of its store.

    Attributes
    ----------
    pieces
        Of coarser levels, in chunks that other units reach into.
    bands
        For each image, those that are written.
    tables
        Tiles with their columns.
    fallbacks
        What was computed otherwise than planned: what, tiles, rows per pass.
    said
        Warnings.
    """

    pieces: list[Piece] = field(default_factory=list)
    bands: dict[int, list[int]] = field(default_factory=dict)
    tables: list[tuple[NDArray[np.int64], Columns]] = field(default_factory=list)
    fallbacks: list[tuple[str, NDArray[np.int64], int]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


class UnitWriter:
    """The sink of one unit; any number of them write into a store at once.

    Parameters
    ----------
    path
        Of the store, which somebody else holds.
    images
        Of the store, by number.
    unit
        Which chunks may be written.
    owner
        Who holds the store: of another one nothing is expected any more, and nothing is written.

    Attributes
    ----------
    done
        What is left to the owner, once all is computed.
    """

    stitching_bytes = BUDGET_BYTES
    scratch: Path | None = None

    def __init__(
        self,
        path: Place,
        images: Mapping[int, Stitched],
        unit: Unit,
        owner: Writer | None = None,
    ) -> None:
        self._path, self._owner = path, owner
        self._store = store_at(path)
        self._root = zarr.open_group(self._store, mode="r+", use_consolidated=False)
        self._images, self._unit = images, unit
        self.done = UnitDone()

    def write_band(self, index: int, band: int, blocks: Iterable[Block]) -> None:
        """Write one band, and keep its share of chunks that are not the unit's.

        Raises
        ------
        StoreError
            If the owner does not hold the store any more.
        """
        self._check_owner()
        for block in blocks:
            for piece in self._images[index].pieces(block):
                if self._unit.owns(index, band, piece.level):
                    piece.write(self._root)
                else:
                    self.done.pieces.append(piece)
        self._store.settle()
        self.done.bands.setdefault(index, []).append(band)

    def _check_owner(self) -> None:
        found = writer_of(self._path)
        if self._owner is not None and not self._owner.is_same(found):
            raise StoreError(
                f"{self._owner} does not hold {self._path.name!r} any more (now: "
                f"{found or 'nobody'}); this part of it is left to whoever goes on with it"
            )

    def write_tiles(self, tiles: NDArray[np.int64], columns: Columns) -> None:
        """Keep columns of tiles."""
        self.done.tables.append((tiles, columns))

    def add_fallback(self, what: str, tiles: NDArray[np.int64], rows_per_pass: int) -> None:
        """Keep how tiles were computed."""
        self.done.fallbacks.append((what, tiles, rows_per_pass))
