"""AboveNull: where a calibrated map shows something. Elsewhere it is made zero, which is clear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.calibration import Calibration

if TYPE_CHECKING:
    from napari_smoothsal.runs.run import Run, RunMap

Floats = NDArray[Any]


class AboveNull:
    """The limits of one map of a run, and the tiles that pass.

    Parameters
    ----------
    run, run_map
        As far as the run is written.
    calibration
        The map's.
    """

    def __init__(self, run: Run, run_map: RunMap, calibration: Calibration) -> None:
        self._limit = calibration.limit
        self._scale, self._translate = (
            np.divide(pair, run.mpp) for pair in (run_map.scale_um, run_map.translate_um)
        )
        tiles = run.tiles
        boxes = tiles[["x_px", "y_px", "w_px", "h_px"]].to_numpy(np.float64)
        # One that is predicted only has no part in the map: it lets nothing of a neighbour's pass.
        passing = (tiles["status"] != "not_explained").to_numpy()
        if calibration.probability is not None:
            likely = _probability(run, calibration.target) > calibration.probability
            passing = passing & likely
        boxes = boxes[passing]
        grid = run.provenance["grid"]
        # What a tile's map is kept of: beyond, a neighbour's is shown.
        rim_y, rim_x = np.multiply(grid["halo"], grid["level0_px_per_model_px"])
        self._rows = np.stack([boxes[:, 1] + rim_y, boxes[:, 1] + boxes[:, 3] - rim_y])
        self._columns = np.stack([boxes[:, 0] + rim_x, boxes[:, 0] + boxes[:, 2] - rim_x])

    def centres(self, shape: tuple[int, int], level: int = 0) -> tuple[Floats, Floats]:
        """(h,) and (w,) level-0 px of the slide at which a level's pixels are centred."""
        step = 2**level
        y, x = (
            self._translate[axis] + self._scale[axis] * (step * np.arange(size) + (step - 1) / 2)
            for axis, size in enumerate(shape)
        )
        return y, x

    def blanked(self, values: Floats, y: Floats, x: Floats) -> Floats:
        """Values (h, w), zero where there is nothing to see; what was not computed stays NaN.

        Parameters
        ----------
        values
            Of the map.
        y, x
            (h,) and (w,) ascending, where they are centred, in level-0 px.
        """
        seen = self._passes(y, x) & (np.abs(values) > self._limit)
        return np.where(seen | np.isnan(values), values, values.dtype.type(0))

    def _passes(self, y: Floats, x: Floats) -> NDArray[np.bool_]:
        """(h, w): whether a tile that passes covers a place."""
        # Pixel p covers the slide from p to p + 1, so its centre is at p + 1/2.
        top, bottom = np.searchsorted(y + 0.5, self._rows)
        left, right = np.searchsorted(x + 0.5, self._columns)
        steps = np.zeros((len(y) + 1, len(x) + 1), np.int32)
        for rows, columns, by in (
            (top, left, 1),
            (top, right, -1),
            (bottom, left, -1),
            (bottom, right, 1),
        ):
            np.add.at(steps, (rows, columns), by)
        return np.asarray(steps.cumsum(0).cumsum(1)[:-1, :-1] > 0)


def above_null(run: Run, run_map: RunMap) -> AboveNull | None:
    """Of a map that has limits; None of another."""
    found = run_map.calibration
    return None if found is None else AboveNull(run, run_map, found)


def _probability(run: Run, target: str) -> Floats:
    """(tiles,) of a class, or of ``a-b`` the one against the other alone; NaN where not known."""
    tiles, classes = run.tiles, run.provenance["model"]["class_names"]
    if target in classes:
        return np.asarray(tiles[f"p_{target}"], np.float64)
    first, second = next(
        (a, b) for a in classes for b in classes if a != b and f"{a}-{b}" == target
    )
    chosen = tiles[[f"p_{first}", f"p_{second}"]].to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(chosen[:, 0] / chosen.sum(1))
