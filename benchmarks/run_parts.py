"""What resuming costs, whether tiles leave seams, what predicting first saves.

Parts of `slide.py`.
"""

from __future__ import annotations

import inspect
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from large_slide import large_slide
from numpy.typing import NDArray
from slide_models import demo_classifier
from stopwatch import Took, compared, stopwatch

import napari_smoothsal as ss
from napari_smoothsal.runs import layout
from napari_smoothsal.runs.stitch import BandStitcher
from napari_smoothsal.slides.grid import (
    LayerShape,
    LayerWindow,
    TileGrid,
    map_grid,
    plan_grid,
    window_weights,
)

WHERE = "p(tumour) > 0.5"

TUMOUR = 0.035
"""Share of the tissue, of which about 3 % of the tiles are predicted as tumour (2.5 % of 0.03)."""


def resuming(slide: Path, rounds: int, layer: str, samples: int) -> dict[str, Any]:
    """Time of a run that is stopped half-way and resumed, and of one that is not, in turn.

    Parameters
    ----------
    slide
        Whole of it is run.
    rounds
        Of both.
    layer, samples
        Of the map.

    Returns
    -------
    dict
        Beside the times how many tiles were computed again, those of a band that was not full,
        and how many the fullest band holds.
    """
    model, specs = demo_classifier(), [ss.SaliencySpec(layer=layer, samples=samples)]
    straight, resumed, again = [], [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # What is remembered of the model and loaded at first use is not what resuming costs.
        ss.explain_slide(slide, model, specs, folder / "first", progress=False)
        for number in range(rounds):
            with stopwatch() as watch:
                ss.explain_slide(slide, model, specs, folder / f"{number}", progress=False)
            straight.append(watch.took)
            half = _Counter()
            with stopwatch() as before:
                out = folder / f"{number}-half"
                ss.explain_slide(slide, model, specs, out, progress=half.told, stop=half.is_half)
            rest = _Counter()
            with stopwatch() as after:
                run = ss.explain_slide(slide, model, specs, out, progress=rest.told)
            assert run.status == "complete", run.status
            resumed.append(_sum(before.took, after.took))
            again.append(half.done - rest.first)
        identical = _same(folder / f"{rounds - 1}", folder / f"{rounds - 1}-half")
    return {
        "layer": layer,
        "samples": samples,
        "tiles": half.total,
        "tiles_computed_again": again,
        "tiles_of_fullest_band": _fullest_band(slide, model, layer),
        "maps_identical": identical,
        **compared("resumed", resumed, "straight", straight),
    }


class _Counter:
    """Remembers how far a run is."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.done = self.total = 0

    def told(self, progress: ss.Progress) -> None:
        self.first = progress.done if self.first is None else self.first
        self.done, self.total = progress.done, progress.total

    def is_half(self) -> bool:
        return self.total > 0 and self.done >= self.total / 2


def _sum(one: Took, two: Took) -> Took:
    return Took(round(one.seconds + two.seconds, 3), round(one.cpu_s + two.cpu_s, 3))


def _fullest_band(path: Path, model: ss.Model, layer: str) -> int:
    with ss.open_slide(path) as slide:
        plan = ss.plan_tiles(slide, model, layers=[layer])
    window, target = plan.grid.windows[layer], plan.map_grid(layer)
    first = plan.grid.origins[:, 0] // window.stride[0] + window.first[0] - target.origin[0]
    last = first + window.count[0] - 1
    bands = range(-(-target.shape[0] // layout.BAND))
    return max(int(((first // layout.BAND <= b) & (last // layout.BAND >= b)).sum()) for b in bands)


def _same(one: Path, two: Path) -> bool:
    maps = [next(iter(ss.open_run(path).maps.values())).levels[0][:] for path in (one, two)]
    return bool(np.array_equal(*maps, equal_nan=True))


def seams(
    stride: int = 4, tile_px: int = 224, halo: int = 16, overlap: float = 0.25
) -> dict[str, Any]:
    """Steps of a smooth field that is stitched from tiles, across their borders and elsewhere.

    Each tile sees the field in its own way, brighter or darker by up to 10 % and sloping, as the
    maps of tiles that explain different decisions do; a second figure is of tiles that agree.
    """
    side = 4096
    region, layer = (0, 0, side, side), "layer"
    size = tile_px // stride
    shapes = {layer: LayerShape((stride, stride), ((stride - 1) / 2,) * 2, (size, size))}
    grid = plan_grid(region, (1.0, 1.0), tile_px, shapes, halo, overlap)
    window = grid.windows[layer]
    chance = np.random.default_rng(0)
    return {
        "stride": stride,
        "tile_px": tile_px,
        "halo_px": halo,
        "step_px": grid.step,
        "tiles": len(grid),
        "agreeing_tiles": _steps(grid, window, region, np.zeros((len(grid), 3))),
        "tiles_that_differ_by_10_percent": _steps(
            grid, window, region, chance.uniform(-0.1, 0.1, (len(grid), 3))
        ),
    }


def _steps(
    grid: TileGrid,
    window: LayerWindow,
    region: tuple[int, int, int, int],
    differences: NDArray[np.float64],
) -> dict[str, float]:
    """Largest and mean step across borders over that of all other neighbours."""
    target = map_grid(region, grid.scale, window)
    stitcher = BandStitcher(target.shape, layout.BAND)
    weights = window_weights(window, grid.step)
    corners = grid.origins // window.stride + np.array(window.first) - np.array(target.origin)
    local = [np.linspace(-1, 1, n) for n in window.count]
    for (top, left), (level, down, across) in zip(corners, differences, strict=True):
        own = 1 + level + down * local[0][:, None] + across * local[1][None, :]
        y = (top + np.arange(window.count[0]))[:, None]
        x = (left + np.arange(window.count[1]))[None, :]
        stitcher.add(int(top), int(left), (_field(y, x) * own).astype(np.float32), weights)
    values = np.full(target.shape, np.nan, np.float32)
    for _, blocks in stitcher.finish(None):
        for block in blocks:
            values[block.place(0, block.values)] = block.values
    found: dict[str, list[float]] = {"across": [], "inside": []}
    means: dict[str, list[float]] = {"across": [], "inside": []}
    for axis in (0, 1):
        steps = np.abs(np.diff(values, axis=axis))
        first = np.unique(corners[:, axis])
        borders = np.concatenate([first, first + window.count[axis]]) - 1
        at = np.isin(np.arange(steps.shape[axis]), borders)
        for name, chosen in (("across", at), ("inside", ~at)):
            lines = np.compress(chosen, steps, axis)
            found[name].append(float(lines.max()))
            means[name].append(float(lines.mean()))
    return {
        "largest_step_ratio": round(max(found["across"]) / max(found["inside"]), 4),
        "mean_step_ratio": round(sum(means["across"]) / sum(means["inside"]), 4),
    }


def _field(y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(np.sin(y / 37.0) * np.cos(x / 29.0) + 0.5 * np.sin((x + y) / 61.0))


def predicting_first(folder: Path, rounds: int, layer: str, side: int) -> dict[str, Any]:
    """Time of ``--where`` on a slide whose tissue is tumour in few places, and of explaining all.

    Parameters
    ----------
    folder
        Of the slide, which is made where it is not there yet.
    rounds
        Of both.
    layer
        Of the map, which takes the default noise samples: with few of them a map costs little more
        than the prediction.
    side
        Of the slide, px.
    """
    if "where" not in inspect.signature(ss.explain_slide).parameters:
        return {"not_measured": "explain_slide has no where= yet"}
    slide = folder / f"rare_{side}.tif"
    if not slide.exists():
        folder.mkdir(parents=True, exist_ok=True)
        large_slide(slide, side, tumour=TUMOUR)
    model, specs = demo_classifier(), [ss.SaliencySpec(layer=layer)]
    whole, chosen = [], []
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(rounds):
            for name, times, asked in (("whole", whole, {}), ("where", chosen, {"where": WHERE})):
                out = Path(temporary) / f"{name}-{number}"
                with stopwatch() as watch:
                    run = ss.explain_slide(slide, model, specs, out, progress=False, **asked)
                times.append(watch.took)
        tiles = run.tiles
    return {
        "layer": layer,
        "samples": specs[0].samples,
        "where": WHERE,
        "tiles": len(tiles),
        "positive_share": round(float((tiles["p_tumour"] > 0.5).mean()), 4),
        "status": tiles["status"].value_counts().to_dict(),
        **compared("whole", whole, "where", chosen),
    }
