"""``smoothsal evaluate --dice``: do a model's classes agree with masks?"""

from __future__ import annotations

from typing import Any

import typer

from napari_smoothsal.cli.chosen_model import model_flags
from napari_smoothsal.cli.evaluate_options import OUT, Data, Masks, ModelName, Out
from napari_smoothsal.cli.evaluation_mode import Fields, Mode
from napari_smoothsal.cli.flags import settings_from
from napari_smoothsal.cli.specs import AS_THEY_ARE, tell_resolution
from napari_smoothsal.core.specs import Compute


@model_flags()
def evaluate_dice(
    model: ModelName, data: Data, masks: Masks, out: Out = OUT, *, given: dict[str, Any]
) -> None:
    """Measure, print and write."""
    compute = settings_from(Compute, given)
    from rich.console import Console

    from napari_smoothsal.evaluation.overlap import overlap
    from napari_smoothsal.render.tables import overlap_table
    from napari_smoothsal.slides.labelled import masked_tiles

    loaded = model.load()
    tell_resolution(loaded, AS_THEY_ARE)
    measured = overlap(loaded, masked_tiles(data, masks), compute)
    out.mkdir(parents=True, exist_ok=True)
    table = out / "dice.csv"
    measured.frame().to_csv(table, index=False)
    Console().print(overlap_table(measured))
    typer.echo(f"table:   {table}")


DICE = Mode(
    name="dice",
    title="Do the model's classes agree with masks? Needs --data and --masks.",
    run=evaluate_dice,
    settings=(Fields(Compute),),
    refusal="beside --dice; leave one of the two away",
)
