"""Masks of a run as PNG files: where a map supports its target strongly, and the class map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from PIL import Image

from napari_smoothsal.render.limits import ColourLimit, is_calibrated
from napari_smoothsal.runs import Run, RunMap
from napari_smoothsal.runs.above_null import above_null

STRONG = 0.5
"""Of full colour."""
MOST_PX = 8_192
"""Side of a mask: of a larger map a coarser level is written."""
INSIDE, OUTSIDE, NOT_COMPUTED = 255, 0, 127


def write_masks(
    run: Run, run_map: RunMap, stem: Path, limit: ColourLimit, calibrated: bool = True
) -> list[Path]:
    """Write the masks of one map.

    Parameters
    ----------
    run, run_map
        The run and its map.
    stem
        Path that ``.mask.png`` and ``.classes.png`` are appended to. In the first one 255 is where
        the map is at least half of full colour and supports its target, 0 where it is not, 127
        where nothing was computed; it has the map's pixels, not the slide's. The second one is
        written for models that decide per pixel: index of the class plus 1, 0 not computed.
    limit
        Of full colour.
    calibrated
        Leave out what does not exceed the map's limits, where it has useful ones.

    Returns
    -------
    list of Path
        What was written.
    """
    values, level = _fitting(run_map.extreme_levels, run_map.shape)
    if calibrated and is_calibrated(run_map) and (null := above_null(run, run_map)):
        height, width = values.shape
        values = null.blanked(values, *null.centres((height, width), level))
    mask = np.where(values >= STRONG * limit.value, INSIDE, OUTSIDE)
    mask[np.isnan(values)] = NOT_COMPUTED
    written = [_written(mask.astype(np.uint8), stem, ".mask.png")]
    if (classes := run.class_map) is not None:
        labels, _ = _fitting(classes.labels, classes.shape)
        written.append(_written(labels.astype(np.uint8), stem, ".classes.png"))
    return written


def _fitting(levels: list[zarr.Array[Any]], shape: tuple[int, int]) -> tuple[NDArray[Any], int]:
    """The finest level that is small enough, without its padding, and its number."""
    number = next((k for k, level in enumerate(levels) if max(level.shape) <= MOST_PX), -1)
    number %= len(levels)
    height, width = (-(-size // 2**number) for size in shape)
    return np.asarray(levels[number][:height, :width]), number


def _written(mask: NDArray[np.uint8], stem: Path, ending: str) -> Path:
    path = stem.with_name(stem.name + ending)
    Image.fromarray(mask).save(path)
    return path
