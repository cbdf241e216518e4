"""``smoothsal evaluate --table igos1|...``: the tables of iGOS++ of a model and a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from napari_smoothsal.cli.app import complain
from napari_smoothsal.cli.chosen_model import ChosenModel, model_flags
from napari_smoothsal.cli.evaluate_options import (
    OUT,
    Data,
    Labels,
    ModelName,
    Mpp,
    Out,
    Rename,
    Resize,
    TileCount,
    check_apart,
)
from napari_smoothsal.cli.evaluation_mode import Fields, Mode
from napari_smoothsal.cli.flags import fields_of, settings_from
from napari_smoothsal.cli.options import options_by_name
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec

if TYPE_CHECKING:
    from napari_smoothsal.evaluation.igos_measuring import IgosSettings
    from napari_smoothsal.evaluation.igos_tables import IgosTable
    from napari_smoothsal.models import Model
    from napari_smoothsal.slides.image_folder import ImageFolder
    from napari_smoothsal.slides.labelled_folder import LabelledFolder


_LISTED = 20
"""So many tiles are named."""


class IgosChoice(NamedTuple):
    """Which model and images."""

    model: ChosenModel
    data: Path
    labels: Path | None
    renamed: tuple[str, ...]
    mpp: float | None
    resize: int | None


@model_flags()
def evaluate_igos(
    table: Annotated[
        str,
        typer.Option(
            help="A table of iGOS++ of a folder of images, in sub-folders by class or not: igos1, "
            "igos2, igos3, igos4, igos6, igos7; igos12 is its Figure 12."
        ),
    ],
    model: ModelName,
    data: Data,
    labels: Labels | None = None,
    rename: Rename | None = None,
    resize: Resize | None = None,
    mpp: Mpp | None = None,
    tiles: TileCount = 20,
    out: Out = OUT,
    *,
    given: dict[str, Any],
) -> None:
    """Measure, print and write."""
    check_apart(data, out)
    choice = IgosChoice(model, data, labels, tuple(rename or ()), mpp, resize)
    _evaluated(table, choice, tiles, out, given)


def _evaluated(name: str, choice: IgosChoice, count: int, out: Path, given: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from napari_smoothsal.evaluation.igos_measuring import igos_measured
    from napari_smoothsal.evaluation.igos_summary import igos_table
    from napari_smoothsal.evaluation.igos_tables import TABLES
    from napari_smoothsal.evaluation.some_tiles import drawn
    from napari_smoothsal.render.igos_report import IgosReport
    from napari_smoothsal.render.tables import frame_table
    from napari_smoothsal.render.words import RESEARCH_ONLY
    from napari_smoothsal.slides.folder_tiles import mirrored_told

    table = TABLES[name]
    if (out / f"{name}.md").exists():
        raise SettingError(
            f"--out {out.name!r} holds this table ({name}.md); choose another folder, or remove it"
        )
    settings, compute = _settings(table, given), settings_from(Compute, given)
    table.checked(settings.options)
    model = choice.model.load()
    if settings.layer is not None:
        model.layer(settings.layer)
    tiles, labels = _tiles(model, choice)
    numbers = sorted(drawn(range(len(tiles)), count, settings.seed))
    caption = (
        f"{len(numbers)} of {len(tiles)} tiles of {model.card.input_size} px; "
        f"{table.amounts(settings.options)}; {RESEARCH_ONLY}"
    )
    how = [
        f"Tiles: {len(numbers)} of {model.card.input_size} px, "
        f"{'without' if labels is None else 'with'} labels. Explained is the class that the model "
        "predicts.",
        f"They are: {_named([tiles.name(number) for number in numbers])}.",
        f"Of each tile: {table.amounts(settings.options)}.",
        *(f"Options of {method}: {told}." for method, told in settings.options.items() if told),
    ]
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("")

        def told(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        for found in igos_measured(model, tiles, table, compute, settings, labels, numbers, told):
            report = IgosReport(model.card.name, table, how, found, caption)
            report.write_rows(out)  # what is there stays if the rest is not waited for
        bar.update(task, description="done", completed=1, total=1)
    if tiles.completed:
        how.insert(1, mirrored_told(tiles.completed))
        complain("warning", how[1])
    written = report.write(out)
    Console().print(frame_table(table.title, igos_table(table, found.frame()), caption))
    typer.echo(f"report: {written}")


def _settings(table: IgosTable, given: dict[str, Any]) -> IgosSettings:
    from napari_smoothsal.attribution import METHODS
    from napari_smoothsal.evaluation.igos_measuring import IgosSettings

    fields = fields_of(SaliencySpec, given)
    layers = fields.get("layer", [])
    if len(layers) > 1:
        raise SettingError(f"--layer {layers[1]}: a table has one, of Grad-CAM; give one")
    methods = list(dict.fromkeys(entry.method for entry in table.entries))
    options = options_by_name(METHODS, methods, fields.get("method_options", {}))
    seed = settings_from(SaliencySpec, {"layer": "input", **_if_given("seed", fields)}).seed
    return IgosSettings(options, next(iter(layers), None), seed=seed)


def _named(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (
        f" and {more} more, in the table by tile" if more > 0 else ""
    )


def _if_given(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields[name]} if name in fields else {}


def _tiles(
    model: Model, choice: IgosChoice
) -> tuple[LabelledFolder | ImageFolder, Sequence[int] | None]:
    """Tiles, and their labels where there are some."""
    from napari_smoothsal.cli.evaluated_tiles import labelled_folder
    from napari_smoothsal.cli.specs import image_scale
    from napari_smoothsal.slides.image_folder import ImageFolder, is_unlabelled

    unlabelled = choice.labels is None and not choice.renamed
    if unlabelled and is_unlabelled(choice.data, model.card.class_names):
        scale = image_scale(model, choice.mpp, choice.resize)
        card = model.card
        folder = ImageFolder(
            choice.data, card.input_size, scale, choice.resize, resampling=card.resampling
        )
        return folder, None
    labelled = labelled_folder(model, choice)
    return labelled, labelled.labels


TABLE = Mode(
    name="table",
    title="a table of iGOS++",
    run=evaluate_igos,
    settings=(Fields(SaliencySpec, ("layer", "seed", "method_option")), Fields(Compute)),
    refusal="beside --table; leave one of them away",
)
