"""``smoothsal evaluate --sanity``: what is left of maps once the model's parameters are random?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from napari_smoothsal.cli.app import complain
from napari_smoothsal.cli.chosen_model import model_flags
from napari_smoothsal.cli.evaluate_options import (
    OF_MAPS,
    OUT,
    Copies,
    Data,
    ModelName,
    Mpp,
    Out,
    Resize,
    Surrogate,
    TileCount,
    check_apart,
)
from napari_smoothsal.cli.evaluation_mode import Fields, Mode
from napari_smoothsal.cli.flags import settings_from
from napari_smoothsal.core.checks import SanityCheck
from napari_smoothsal.core.specs import Compute, SaliencySpec

ORDERS = ("cascading", "independent")


@model_flags()
def evaluate_sanity(
    model: ModelName,
    data: Data | None = None,
    surrogate: Surrogate | None = None,
    resize: Resize | None = None,
    mpp: Mpp | None = None,
    tiles: TileCount = 12,
    order: Annotated[
        list[str] | None,
        typer.Option(
            help="`cascading` randomises all blocks from the output down to one, `independent` "
            "each alone. May be given several times. Unset: both."
        ),
    ] = None,
    copies: Copies = 1,
    out: Out = OUT,
    *,
    given: dict[str, Any],
) -> None:
    """Measure, print and write."""
    check_apart(data, out)
    compute = settings_from(Compute, given)
    how = SanityCheck(orders=tuple(order or ORDERS), copies=copies)
    given = {"method": [SaliencySpec.model_fields["method"].default]} | given
    from rich.console import Console
    from rich.progress import Progress

    from napari_smoothsal.cli.checked_tiles import checked_specs, checked_tiles
    from napari_smoothsal.evaluation.sanity import sanity
    from napari_smoothsal.render.sanity_report import write_sanity
    from napari_smoothsal.render.tables import frame_table

    loaded = model.load(surrogate)
    specs, left_out = checked_specs(loaded, given, compute)
    chosen = checked_tiles(loaded, data, mpp, resize, tiles, int(given.get("seed", 0)))
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("")

        def told(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        found = sanity(loaded, chosen.tiles, specs, how, compute, told)
        bar.update(task, description="done", completed=1, total=1)
    for reason in left_out:
        complain("left out", reason)
    table, written = write_sanity(found, loaded.card.name, chosen.words, out)
    shown = ["layer", "method", "denoising", "measure", "similarity", "chance_high", "verdict"]
    if len(table):
        Console().print(frame_table("after full randomisation", table[shown]))
    for path in written:
        typer.echo(f"written: {path}")


SANITY = Mode(
    name="sanity",
    title="What is left of maps, block by block, once the model's parameters are random?",
    run=evaluate_sanity,
    settings=(Fields(SaliencySpec, OF_MAPS), Fields(Compute)),
    refusal="beside --sanity; leave it away",
)
