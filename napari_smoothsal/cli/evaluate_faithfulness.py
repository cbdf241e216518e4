"""``smoothsal evaluate --faithfulness``: every measure of every map, side by side."""

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
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.core.specs import Compute, SaliencySpec


@model_flags()
def evaluate_faithfulness(
    model: ModelName,
    data: Data | None = None,
    surrogate: Surrogate | None = None,
    resize: Resize | None = None,
    mpp: Mpp | None = None,
    tiles: TileCount = 12,
    few_tiles: Annotated[
        int,
        typer.Option(min=1, help="So many of them by methods that change the image many times."),
    ] = 2,
    copies: Copies = 1,
    out: Out = OUT,
    *,
    given: dict[str, Any],
) -> None:
    """Measure, print and write."""
    check_apart(data, out)
    compute = settings_from(Compute, given)
    how = settings_from(Perturbation, given)
    check = SanityCheck(copies=copies)
    from rich.console import Console
    from rich.progress import Progress

    from napari_smoothsal.attribution.baselines import BASELINES
    from napari_smoothsal.cli.checked_tiles import checked_specs, checked_tiles
    from napari_smoothsal.evaluation.faithful_maps import Checks, FaithfulMaps
    from napari_smoothsal.render.faithful_report import FaithfulReport

    for name in (how.deletion, how.insertion):
        BASELINES[name]  # one that does not exist is told now
    loaded = model.load(surrogate)
    specs, left_out = checked_specs(loaded, given, compute)
    chosen = checked_tiles(loaded, data, mpp, resize, tiles, int(given.get("seed", 0)))
    report = FaithfulReport(loaded.card.name, chosen.words, how, left_out)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(specs))

        def told(what: str, _done: int, _total: int) -> None:
            bar.update(task, description=what)

        checks = Checks(perturbation=how, sanity=check, few=few_tiles)
        maps = FaithfulMaps(loaded, chosen.tiles, checks, compute, chosen.truth, told)
        for number, spec in enumerate(specs):
            maps.add(spec)
            bar.update(task, completed=number + 1)
            report.write(out, maps, drawn=False)
    written = report.write(out, maps)
    for reason in left_out:
        complain("left out", reason)
    Console().print(report.printed(maps.table))
    typer.echo(f"report: {written}")


FAITHFULNESS = Mode(
    name="faithfulness",
    title="Are the maps faithful to the model? Every method, denoising and a few layers.",
    run=evaluate_faithfulness,
    settings=(Fields(SaliencySpec, OF_MAPS), Fields(Compute), Fields(Perturbation)),
    refusal="beside --faithfulness; leave it away",
)
