"""The stages of a run: one, or predicting all tiles and then explaining those that were chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.runs.choice import Choice
from napari_smoothsal.runs.layout import NOT_EXPLAINED, PENDING
from napari_smoothsal.runs.plan import RunPlan
from napari_smoothsal.runs.retry import forget_maps
from napari_smoothsal.runs.saliency_pyramid import SaliencyPyramid
from napari_smoothsal.runs.stage import Stage
from napari_smoothsal.runs.stitched import Stitched
from napari_smoothsal.runs.store import StoreWriter


def stages_of(
    explainer: Explainer,
    plan: RunPlan,
    images: Sequence[Stitched],
    writer: StoreWriter,
    choice: Choice | None,
) -> Iterator[Stage]:
    """Yield the stages, each when the one before is carried out.

    Parameters
    ----------
    explainer, plan, images, writer
        Of the run and its store.
    choice
        Of the tiles that are explained; None: all.
    """
    every = np.arange(len(plan.grid))
    numbered = dict(enumerate(images))
    if choice is None:
        name = "explaining" if explainer.specs else "predicting"
        yield Stage(name, explainer, plan.grid, every, numbered)
        return
    maps = {n: image for n, image in numbered.items() if isinstance(image, SaliencyPyramid)}
    others = {n: image for n, image in numbered.items() if n not in maps}
    chosen = writer.chosen()
    # A band of the prediction may have been opened again since (`repair_store`).
    unwritten = any(writer.open_bands(n).any() for n in others)
    if chosen is None or unwritten or (writer.status() == PENDING).any():
        yield Stage(
            "predicting", explainer.predicting(), plan.grid, every, others, good=NOT_EXPLAINED
        )
        chosen = _choose(writer, choice, explainer)
    # Of N at most, tiles that could not be read the first time may have pushed others out.
    explained = [np.isfinite(writer.column(f"samples_{i}")) for i in range(len(explainer.specs))]
    pushed_out = np.flatnonzero(~chosen & np.any(explained, axis=0))
    if len(pushed_out):
        forget_maps(writer, plan.grid, maps, pushed_out)
    yield Stage(
        "explaining",
        explainer,
        plan.grid.selected(chosen),
        np.flatnonzero(chosen),
        maps,
        decides=False,
    )


def _choose(writer: StoreWriter, choice: Choice, explainer: Explainer) -> np.ndarray:
    card, outcomes = explainer.model.card, explainer.model.readout.outcomes
    columns = [writer.column(f"p_{i}") for i in range(len(card.class_names))]
    chosen = choice.chosen(
        np.stack(columns, axis=1).astype(np.float64),
        writer.column("predicted").astype(np.int64),
        card.class_names,
        outcomes,
    )
    writer.choose(chosen)
    return chosen
