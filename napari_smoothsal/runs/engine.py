"""The engine: tiles of one stage are read, computed and written, three things at once.

Reading (threads), computing (this thread) and writing (one thread) overlap, with bounded
queues between them. Batches are cut once from the plan, so that a resumed run computes the
same batches and, on the CPU, the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.attribution import Stopped
from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.runs.computed import Computed
from napari_smoothsal.runs.layout import FAILED
from napari_smoothsal.runs.progress import Meter, Report
from napari_smoothsal.runs.sending import sent
from napari_smoothsal.runs.sink import Sink
from napari_smoothsal.runs.stage import Stage
from napari_smoothsal.runs.unit import Unit
from napari_smoothsal.runs.writing import WritingThread
from napari_smoothsal.slides import Slide
from napari_smoothsal.slides.reader import TileReader


def carry_out(
    stage: Stage,
    unit: Unit,
    slide: Slide,
    sink: Sink,
    *,
    readers: int | None,
    resampling: Resampling,
    report: Report,
    stop: Callable[[], bool] | None,
) -> bool:
    """Compute a unit of a stage.

    Parameters
    ----------
    stage, unit, slide, sink
        What is computed, which part of it, of which pixels, and where it goes.
    readers, resampling
        See `TileReader`.
    report, stop
        See `explain_slide`.

    Returns
    -------
    bool
        Whether it is complete; False where it was stopped.
    """
    grid, explainer = stage.grid, stage.explainer
    todo = unit.batches
    with WritingThread(sink, stage, unit) as writing:
        before = len(stage) - len(unit)
        meter = Meter(len(stage), before, report, stage.name)
        margin = explainer.margin
        boxes = ([grid.box(int(i), margin) for i in numbers] for numbers in todo)
        side = grid.tile_px + 2 * margin
        with TileReader(slide, side, threads=readers, resampling=resampling) as reader:
            coming = sent(reader.batches(boxes), explainer.device.device)
            for numbers, (tiles, pixels) in zip(todo, coming, strict=True):
                readable = np.array([error is None for error in tiles.errors])
                # Every batch goes through the network whole, unreadable tiles as glass: the same
                # shapes take the same kernels, so its other tiles do not depend on a failure.
                places = [(int(y), int(x)) for y, x in grid.origins[numbers]]
                fallbacks = len(explainer.fallbacks)
                try:
                    explanation = explainer.begin(pixels, places, margin=margin)
                    while not explanation.finished:
                        explanation.step(stop=stop)
                        meter.within(len(numbers) * explanation.share)
                    result = explainer.finish(explanation, stop)
                except Stopped:
                    return False
                fell_back = [
                    (what, stage.tiles[numbers], explainer.rows.limit)
                    for what in explainer.fallbacks[fallbacks:]
                ]
                finite = result.finite.numpy()
                _tell(tiles.errors, finite, readable)
                status = np.where(readable & finite, stage.good, FAILED).astype(np.uint8)
                writing.put(Computed.of(stage, numbers, result, status), fell_back)
                meter.add(len(numbers), int((status == FAILED).sum()))
                if stop is not None and stop():
                    return False
        writing.finish()
    return True


def _tell(
    errors: Sequence[Exception | None], finite: NDArray[np.bool_], readable: NDArray[np.bool_]
) -> None:
    unreadable = [error for error in errors if error is not None]
    if unreadable:
        more = f" ({len(unreadable)} tiles of this batch)" if len(unreadable) > 1 else ""
        warn_caller(f"{unreadable[0]}{more}")
    strange = int((~finite & readable).sum())
    if strange:
        warn_caller(
            f"{strange} tile(s) gave logits or maps that are not finite; they are marked as failed"
        )
