"""refine_region: a few tiles, all of them after every round of noise samples, for the eye.

`explain_slide` finishes one batch after the other and can be resumed; here all tiles are held in
memory and grow together, so that the first sample of the last tile comes before the second of the
first one. Every round is a store of its own: whoever reads one never sees it change.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from napari_smoothsal.attribution import BatchMaps, Explainer, Explanation, Networks, Stopped
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.models import Model
from napari_smoothsal.runs.computed import Computed
from napari_smoothsal.runs.contents import calibrated_images, new_store, overview_of
from napari_smoothsal.runs.layout import DONE, FAILED, SUFFIX
from napari_smoothsal.runs.plan import Region, RunPlan, placed_layers, plan_tiles
from napari_smoothsal.runs.provenance import identity
from napari_smoothsal.runs.run import Run
from napari_smoothsal.runs.stage import Stage
from napari_smoothsal.runs.store import StoreWriter
from napari_smoothsal.runs.unit import whole_of
from napari_smoothsal.runs.writing import WritingThread
from napari_smoothsal.slides import Slide
from napari_smoothsal.slides.reader import TileReader, TileSource

ROUND_S = 0.5
"""Between two rounds that are written."""


def refine_region(
    slide: Slide,
    model: Model,
    specs: Sequence[SaliencySpec],
    out: str | Path,
    *,
    region: Region,
    tiling: Tiling | None = None,
    compute: Compute | None = None,
    stop: Callable[[], bool] | None = None,
    on_plan: Callable[[RunPlan], None] | None = None,
    on_round: Callable[[Run, float], None] | None = None,
    networks: Networks | None = None,
    source: TileSource | None = None,
) -> Run | None:
    """Compute saliency maps over a region, and show them after every few noise samples.

    Parameters
    ----------
    slide, model, specs, region, tiling, compute, stop
        As of `explain_slide`. All tiles of the region are held in memory.
    out
        Folder for the stores of the rounds, of which the last two stay.
    on_plan
        Called with the plan before anything is read; what it raises ends it.
    on_round
        Called with each round's store and how much of the work is done, 0..1; half a second apart
        or more, but for the last one.
    networks
        Of the model, from one view to the next.
    source
        What tiles are read from in the slide's place: the same view with some pixels changed.

    Returns
    -------
    Run or None
        Of the last round; None where it was stopped.

    Raises
    ------
    SmoothsalError
        As `explain_slide`.
    """
    tiling, compute, folder = tiling or Tiling(), compute or Compute(), Path(out)
    explainer = Explainer(model, specs, compute, scope="slide", networks=networks)
    plan = plan_tiles(slide, model, tiling, layers=placed_layers(explainer), region=region)
    explainer.check_tiles(plan.grid.tile_px)
    if on_plan is not None:
        on_plan(plan)
    wanted = identity(slide, model, tiling, plan, explainer)
    if source is not None:  # nobody shall take it for a result of the slide
        wanted["slide"]["fingerprint"] = source.fingerprint
    batch_size = explainer.batch_size(plan.grid.tile_px)
    rounds, overview = 0, overview_of(slide)
    images = calibrated_images(plan, explainer, stop)
    stage = Stage("explaining", explainer, plan.grid, np.arange(len(plan)), dict(enumerate(images)))

    ahead: list[Future[tuple[Path, StoreWriter]]] = []

    def laid_out() -> tuple[Path, StoreWriter]:
        nonlocal rounds
        rounds += 1
        path = folder / f"round-{rounds:03d}{SUFFIX}"
        return path, new_store(path, slide, plan, explainer, images, wanted, batch_size, overview)

    def written(batches: Sequence[Computed]) -> Run:
        path, writer = ahead.pop().result() if ahead else laid_out()
        with WritingThread(writer, stage, whole, table_last=True) as writing:
            for batch in batches:
                writing.put(batch)
            writing.finish()
        writer.finished()
        # The one before may be being read.
        shutil.rmtree(folder / f"round-{rounds - 2:03d}{SUFFIX}", ignore_errors=True)
        return Run(path)

    growing: list[_Growing] = []
    margin = explainer.margin
    whole = whole_of(stage, batch_size)
    boxes = [[plan.grid.box(int(i), margin) for i in cut] for cut in whole.batches]
    side = plan.grid.tile_px + 2 * margin
    with (
        TileReader(
            source or slide, side, threads=compute.readers, resampling=plan.resampling
        ) as reader,
        ThreadPoolExecutor(1) as beside,
    ):
        # The first store, while the first sample is computed: it is waited for.
        ahead.append(beside.submit(laid_out))
        for cut, tiles in zip(whole.batches, reader.batches(boxes), strict=True):
            pixels = torch.from_numpy(tiles.images).permute(0, 3, 1, 2)
            places = [(int(y), int(x)) for y, x in plan.grid.origins[cut]]
            readable = np.array([error is None for error in tiles.errors])
            explanation = explainer.begin(pixels, places, margin=margin)
            try:
                explanation.step(1, stop)
            except Stopped:
                return None
            growing.append(_Growing(stage, cut, explanation, readable))
    told = -ROUND_S
    while not all(one.explanation.finished for one in growing):
        if stop is not None and stop():
            return None
        if on_round is not None and time.monotonic() - told >= ROUND_S:
            run = written([one.batch(one.explanation.result()) for one in growing])
            on_round(run, float(np.mean([one.explanation.share for one in growing])))
            told = time.monotonic()
        for one in growing:
            if not one.explanation.finished:
                try:
                    one.explanation.step(stop=stop)
                except Stopped:
                    return None
    return written([one.batch(explainer.finish(one.explanation)) for one in growing])


class _Growing:
    """A batch whose maps grow."""

    def __init__(
        self, stage: Stage, indices: np.ndarray, explanation: Explanation, readable: np.ndarray
    ) -> None:
        self.explanation = explanation
        self._stage, self._indices, self._readable = stage, indices, readable

    def batch(self, maps: BatchMaps) -> Computed:
        """As it is now."""
        good = self._readable & maps.finite.numpy()
        status = np.where(good, DONE, FAILED).astype(np.uint8)
        return Computed.of(self._stage, self._indices, maps, status)
