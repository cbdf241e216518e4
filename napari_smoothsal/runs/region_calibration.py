"""calibrate_on_region: limits of maps, measured on normal tissue that somebody points at."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.core.calibration import Calibration, CalibrationCheck, spread
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.evaluation.conformal import fewest
from napari_smoothsal.evaluation.measured_limits import calibrate
from napari_smoothsal.models import Model
from napari_smoothsal.runs.plan import Region, RunPlan, plan_tiles
from napari_smoothsal.slides import Slide
from napari_smoothsal.slides.reader import TileReader
from napari_smoothsal.slides.tissue import find_tissue

MOST_TILES = 200
"""A sensible number, as for `calibrate`."""
INSIDE = 0.9
"""Share of a tile that lies in the region: what is beside it may be no normal tissue."""

LEAST_TISSUE = 0.1
"""Of a tile: glass would count as tissue in which there is nothing to see."""

Told = Callable[[str, int, int], None]


def calibrate_on_region(
    slide: Slide,
    model: Model,
    specs: Sequence[SaliencySpec],
    region: Region | None = None,
    *,
    tiles: int = MOST_TILES,
    tiling: Tiling | None = None,
    how: CalibrationCheck | None = None,
    compute: Compute | None = None,
    told: Told = lambda *_: None,
    stop: Callable[[], bool] | None = None,
) -> list[Calibration]:
    """Measure above which limits maps show something, on normal tissue of one slide.

    Parameters
    ----------
    slide, model, specs
        As of `explain_slide`; targets are classes or differences of two.
    region
        (x, y, w, h) in level-0 px; None: the slide. Nothing of the target may occur in it.
    tiles
        At most; spread over the region, and not overlapping.
    tiling
        Its ``tissue`` may be a GeoJSON file with the region's outline. Tiles that lie in it but for
        a tenth, and hold as much tissue as the model asks for, are taken.
    how, compute, told, stop
        As of `calibrate`.

    Returns
    -------
    list of Calibration
        In the order of the specs. Assign them to ``model.calibrations``, or keep them with
        `napari_smoothsal.models.calibration_file`.

    Raises
    ------
    Stopped
        Once ``stop`` answers True.
    SettingError
        If the region holds too few tiles for the error rate, or as `calibrate`.
    """
    how, tiling = how or CalibrationCheck(), tiling or Tiling()
    inside = tiling.model_copy(update={"min_tissue": INSIDE}) if _is_outline(tiling) else tiling
    plan = plan_tiles(slide, model, inside, region=region)
    whole = _whole(plan)
    least = max(model.min_tissue, LEAST_TISSUE)
    glass = find_tissue(slide).fractions(*plan.boxes[whole].T) < least
    numbers = whole[~glass]
    told("reading normal tissue", 0, 1)
    chosen = [int(numbers[k]) for k in spread(len(numbers), tiles)]
    images = _read(slide, plan, chosen)
    _check_enough(len(images), how.error_rate, plan, slide)
    side = math.prod(plan.grid.tile_px * np.array(_um_per_px(plan, slide)))
    return calibrate(
        model,
        images,
        specs,
        how=how,
        compute=compute,
        told=told,
        tissue=f"{len(numbers) * side / 1e6:.2g} mm2 of one slide",
        stop=stop,
    )


def _is_outline(tiling: Tiling) -> bool:
    return tiling.tissue not in ("auto", "all")


def _whole(plan: RunPlan) -> NDArray[np.int64]:
    """Numbers of the tiles that lie in the region but for a tenth."""
    x, y, w, h = plan.region
    left, top, width, height = plan.boxes.T
    across = np.minimum(left + width, x + w) - np.maximum(left, x)
    down = np.minimum(top + height, y + h) - np.maximum(top, y)
    return np.flatnonzero(across * down >= INSIDE * width * height)


def _um_per_px(plan: RunPlan, slide: Slide) -> tuple[float, float]:
    """(y, x) of a tile's pixels."""
    mpp = slide.require_mpp()
    return plan.grid.scale[0] * mpp[0], plan.grid.scale[1] * mpp[1]


def _check_enough(count: int, error_rate: float, plan: RunPlan, slide: Slide) -> None:
    needed = fewest(error_rate)
    if count >= needed:
        return
    down, right = (plan.grid.tile_px * um for um in _um_per_px(plan, slide))
    least = f"{math.ceil(math.sqrt(needed)) * max(down, right) / 1000:.2g}"
    rate = f"{100 * error_rate:.3g} %"
    easier = ""
    if count:
        easier = f", or accept an error rate of {100 / (count + 1):.3g} % or more"
    raise SettingError(
        f"calibration: {count} whole tiles of {right:.0f} x {down:.0f} um with tissue lie in the "
        f"region, and an error rate of {rate} needs {needed}; draw a larger region, of about "
        f"{least} x {least} mm{easier}"
    )


def _read(slide: Slide, plan: RunPlan, numbers: Sequence[int]) -> torch.Tensor:
    """(n, 3, H, W) uint8 of those that can be read."""
    if not numbers:
        return torch.zeros(0)
    with TileReader(slide, plan.grid.tile_px, resampling=plan.resampling) as reader:
        (batch,) = reader.batches([[plan.grid.box(number) for number in numbers]])
    good = np.array([error is None for error in batch.errors])
    return torch.from_numpy(batch.images[good]).permute(0, 3, 1, 2).contiguous()
