"""TileStates: what became of each tile of a map, and which places of the map that concerns.

A place of a map is explained, or its tile was predicted only, or nobody looked there. Viewer and
pictures draw all three from here, so that they agree to the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.runs.tile_lattice import Numbers, Pair, TileLattice

if TYPE_CHECKING:
    import pandas as pd

    from napari_smoothsal.runs.run import Run, RunMap

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class TileStates:
    """The tiles of one map.

    Attributes
    ----------
    lattice
        Where they lie; its numbers are rows of the following, from 1.
    explained, not_explained
        (tiles,) whether there is a map; whether it was left away although the tile is predicted.
    predicted
        (tiles,) number of the outcome; -1 where it is not known.
    probability
        (tiles,) of the class that the map explains, or of the one predicted where it explains no
        class; NaN where it is not known.
    outcomes
        Their names.
    target
        What the map explains.
    one_class
        Whether that is one of several decisions about a tile, so that another one speaks against
        it.
    choice
        In words, which tiles are explained; empty where all are.
    """

    lattice: TileLattice
    explained: Flags
    not_explained: Flags
    predicted: NDArray[np.int16]
    probability: NDArray[np.float32]
    outcomes: tuple[str, ...]
    target: str
    one_class: bool
    choice: str = ""

    @property
    def otherwise(self) -> Flags:
        """(tiles,) explained ones that are predicted as another class than the map explains."""
        if not self.one_class:
            return np.zeros(len(self.explained), np.bool_)
        return np.asarray(self.explained & (self.predicted != self.outcomes.index(self.target)))

    @cached_property
    def owners(self) -> Numbers:
        """Of each part of the lattice, the explained tile that it belongs to; 0: none."""
        return self.lattice.owners(self.explained)

    @cached_property
    def owners_not_explained(self) -> Numbers:
        """The same of tiles that are not explained, where no explained one reaches."""
        found = self.lattice.owners(self.not_explained)
        found[self.owners > 0] = 0
        return found

    def marked(self, owners: Numbers, flags: Flags) -> Flags:
        """Parts that belong to tiles with a flag."""
        marked: Flags = np.concatenate([[False], flags])[owners]
        return marked


def tile_states(run: Run, run_map: RunMap) -> TileStates:
    """What became of the tiles of a run's map."""
    tiles, model = run.tiles, run.provenance["model"]
    status = tiles["status"].to_numpy(str)
    outcomes = tuple(model["outcomes"])
    number = {name: n for n, name in enumerate(outcomes)}
    names = model["class_names"]
    columns = tiles[[f"p_{name}" for name in names]].to_numpy(np.float32)
    is_class = run_map.target in names
    highest = columns.max(axis=1) if len(names) else np.full(len(tiles), np.nan, np.float32)
    return TileStates(
        lattice=lattice_of(run, run_map, tiles),
        explained=np.asarray(status == "done"),
        not_explained=np.asarray(status == "not_explained"),
        predicted=np.array([number.get(name, -1) for name in tiles["predicted"]], np.int16),
        probability=columns[:, names.index(run_map.target)] if is_class else highest,
        outcomes=outcomes,
        target=run_map.target,
        # Of a model that decides per pixel the class map says where.
        one_class=is_class and run_map.target in outcomes and run.class_map is None,
        choice=run.choice,
    )


def lattice_of(run: Run, run_map: RunMap, tiles: pd.DataFrame) -> TileLattice:
    """Where the tiles of a run lie, and how far the parts of a map reach that are kept of them."""
    grid = run.provenance["grid"]
    scale = np.array(grid["level0_px_per_model_px"], np.float64)
    side, step = float(grid["tile_px"]), grid["step"] * scale
    placed = (np.array(run_map.translate_um) / run.mpp + 0.5) / scale - 0.5
    stride = np.array(run_map.stride_px, np.float64)
    begin, end = _kept(side, float(grid["halo"]), stride, placed)
    corners = tiles[["y_px", "x_px"]].to_numpy(np.float64)
    first = corners.min(axis=0) if len(corners) else np.zeros(2)
    places = np.rint((corners - first) / step).astype(int)
    shape = places.max(axis=0) + 1 if len(places) else (1, 1)
    numbers = np.zeros(shape, np.int32)
    numbers[tuple(places.T)] = np.arange(1, len(tiles) + 1)
    corner, kept = first + begin * scale, (end - begin) * scale
    return TileLattice(numbers, _pair(corner), _pair(kept), _pair(step))


def _kept(
    side: float, halo: float, stride: NDArray[np.float64], centre: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(y, x) tile px where the kept part of a map begins and ends, by whole pixels of its layer.

    Parameters
    ----------
    side, halo
        Of a tile.
    stride, centre
        Of the layer's pixels; any of their centres, tiles begin at multiples of the stride.
    """
    phase = centre % stride
    first = phase + stride * np.ceil(np.round((halo - phase) / stride, 6))
    last = phase + stride * np.floor(np.round((side - 1 - halo - phase) / stride, 6))
    return first + 0.5 - stride / 2, last + 0.5 + stride / 2


def _pair(values: NDArray[np.float64]) -> Pair:
    return (float(values[0]), float(values[1]))
