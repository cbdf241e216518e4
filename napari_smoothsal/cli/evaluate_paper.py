"""``smoothsal evaluate --model --data``: the tables of Smooth Deep Saliency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from napari_smoothsal.cli.chosen_model import ChosenModel, model_flags
from napari_smoothsal.cli.evaluate_options import (
    OUT,
    Data,
    Labels,
    Masks,
    ModelName,
    Mpp,
    Out,
    Rename,
    Resize,
    Surrogate,
    check_apart,
)
from napari_smoothsal.cli.evaluation_mode import Fields, Mode
from napari_smoothsal.cli.flags import fields_of, settings_from
from napari_smoothsal.cli.options import options_by_name
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling

if TYPE_CHECKING:
    import torch

    from napari_smoothsal.evaluation.paper import Labelled, Wanted
    from napari_smoothsal.models import Model


class PaperChoice(NamedTuple):
    """Which model, which images, where to."""

    model: ChosenModel
    surrogate: Path | None
    data: Path
    labels: Path | None
    renamed: tuple[str, ...]
    mpp: float | None
    map_tiles: int
    faithfulness_tiles: int
    blocks: bool
    out: Path
    figures: int = 0
    masks: Path | None = None
    resize: int | None = None


@model_flags()
def evaluate_paper(
    model: ModelName,
    data: Data,
    surrogate: Surrogate | None = None,
    labels: Labels | None = None,
    rename: Rename | None = None,
    resize: Resize | None = None,
    masks: Masks | None = None,
    mpp: Mpp | None = None,
    map_tiles: Annotated[
        int,
        typer.Option(min=1, help="Maps are made of so many tiles, drawn by chance, at most."),
    ] = 500,
    faithfulness_tiles: Annotated[
        int,
        typer.Option(
            min=0, help="Insertion and deletion are measured on so many of them; 0: not at all."
        ),
    ] = 0,
    blocks: Annotated[
        bool,
        typer.Option("--blocks/--no-blocks", help="Total variation at every block as well."),
    ] = True,
    figures: Annotated[
        int,
        typer.Option(min=0, help="Maps of so many tiles are drawn side by side; 0: of none."),
    ] = 0,
    out: Out = OUT,
    *,
    given: dict[str, Any],
) -> None:
    """Measure, print and write."""
    check_apart(data, out)
    choice = PaperChoice(
        model=model,
        surrogate=surrogate,
        data=data,
        labels=labels,
        renamed=tuple(rename or ()),
        mpp=mpp,
        map_tiles=map_tiles,
        faithfulness_tiles=faithfulness_tiles,
        blocks=blocks,
        out=out,
        figures=figures,
        masks=masks,
        resize=resize,
    )
    _evaluated(choice, given)


def _evaluated(choice: PaperChoice, given: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from napari_smoothsal.attribution.baselines import BASELINES
    from napari_smoothsal.cli.evaluated_tiles import evaluated_tiles
    from napari_smoothsal.evaluation import paper
    from napari_smoothsal.evaluation.faithfulness import faithfulness
    from napari_smoothsal.evaluation.panels import panels
    from napari_smoothsal.evaluation.some_tiles import drawn
    from napari_smoothsal.render.paper_report import REPORT, Faithfulness, PaperReport
    from napari_smoothsal.render.tables import frame_table

    compute = settings_from(Compute, given)
    how = settings_from(Perturbation, given)
    if (choice.out / REPORT).exists():
        raise SettingError(
            f"--out {choice.out.name!r} holds an evaluation ({REPORT}), and two would be mixed; "
            "choose another folder, or remove that one"
        )
    for name in (how.deletion, how.insertion):
        BASELINES[name]  # one that does not exist is told now, not after the tables
    model = choice.model.load(choice.surrogate)
    wanted = _wanted(model, fields_of(SaliencySpec, given))
    evaluated = evaluated_tiles(model, choice, settings_from(Tiling, given).tile_px)
    tiles = evaluated.explained
    some = _Some(tiles, sorted(drawn(range(len(tiles)), choice.map_tiles, wanted.seed)))
    blocks = None
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("")

        def told(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        predicted = evaluated.predictions(compute, told)
        rough = paper.roughness(model, some, wanted, compute, told)
        if choice.blocks and (names := paper.block_layers(model)):
            every = wanted._replace(layers=tuple(names))
            blocks = paper.roughness(model, some, every, compute, told)
        told_how = [
            *predicted.words,
            f"Maps of {rough['tile'].nunique()} tiles, explaining the label, {wanted.samples} "
            f"noise samples of sigma {wanted.sigma:g}{_also(wanted)}.",
            "Total variation is of the raw maps, channel by channel, as the paper has it.",
        ]
        if model.surrogate is None:
            told_how.append("The model has no surrogate, so that there is no row of it.")
        report = PaperReport(
            model.card.name,
            told_how,
            predicted.frame,
            rough,
            blocks,
            accuracy=predicted.accuracy,
        )
        report.write(choice.out)  # what takes longest comes yet
        faithful = None
        if choice.faithfulness_tiles:
            few = _Some(tiles, drawn(some.chosen, choice.faithfulness_tiles, wanted.seed))
            areas, courses = faithfulness(model, few, wanted, how, compute, told)
            faithful = Faithfulness(how, len(few), areas, courses)
        pictures = panels(model, tiles, wanted, compute, choice.figures, told)
        bar.update(task, description="done", completed=1, total=1)
    written = replace(report, faithfulness=faithful, panels=pictures).write(choice.out)
    console = Console()
    for title, table in (
        ("accuracy", predicted.accuracy),
        ("prediction difference", paper.difference_table(predicted.frame)),
        ("mean reduction of total variation", paper.reduction_table(paper.roughness_table(rough))),
    ):
        console.print(frame_table(title, table))
    typer.echo(f"report: {written}")


def _also(wanted: Wanted) -> str:
    jitter = ", each on another phase of the strides (jitter)" if wanted.jitter else ""
    options = [f"{name}: {dict(chosen)}" for name, chosen in wanted.options.items()]
    return jitter + "".join(f"; options of {text}" for text in options)


def _wanted(model: Model, given: dict[str, Any]) -> Wanted:
    from napari_smoothsal.attribution import METHODS
    from napari_smoothsal.denoise import DENOISINGS, no_surrogate
    from napari_smoothsal.evaluation import paper
    from napari_smoothsal.models.layers import main_layers

    layers = given.get("layer")
    if layers is None:
        there = {info.name: info for info in model.layers()}
        # The paper has layers 1 to 3: the last three stages with a stride above them.
        layers = [n for n in main_layers(list(there.values())) if there[n].strided_convs_above][-3:]
    if not layers:
        raise SettingError(
            f"model {model.card.name!r} has no layer below a strided convolution (nn.Conv2d with "
            "a stride above 1), so no denoising has anything to do"
        )
    denoisings = given.get("denoising") or paper.evaluated_denoisings(model)
    if "original" not in denoisings:
        denoisings = ["original", *denoisings]  # what the others are compared with
    methods = tuple(given.get("method") or ("gradient", "deeplift"))
    # What does not exist is told now, not after the predictions.
    for layer in layers:
        model.layer(layer)
    for method in methods:
        METHODS[method]
    options = options_by_name(DENOISINGS, denoisings, given.get("denoising_options") or {})
    if "bilinear_surrogate" in denoisings and model.surrogate is None:
        raise SettingError(no_surrogate(model, "--denoising"))
    fields = {n: given[n] for n in ("samples", "sigma", "seed", "jitter") if n in given}
    checked = settings_from(SaliencySpec, fields | {"layer": layers[0]})
    if checked.samples == "auto":
        raise SettingError("samples = 'auto': the tables compare maps of as many samples each")
    return paper.Wanted(
        layers=tuple(layers),
        methods=methods,
        denoisings=tuple(denoisings),
        samples=checked.samples,
        sigma=checked.sigma,
        seed=checked.seed,
        jitter=checked.jitter,
        options={name: chosen for name, chosen in options.items() if chosen},
    )


class _Some:
    """Some of the tiles."""

    def __init__(self, tiles: Labelled, chosen: Sequence[int]) -> None:
        self._tiles, self.chosen = tiles, list(chosen)
        self.labels = [tiles.labels[i] for i in chosen]

    def __len__(self) -> int:
        return len(self.chosen)

    def name(self, index: int) -> str:
        return self._tiles.name(self.chosen[index])

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        return self._tiles.images([self.chosen[i] for i in indices])


_OF_MAPS = ("layer", "denoising", "method", "samples", "sigma", "seed", "jitter")

PAPER = Mode(
    name="",
    title="the tables of Smooth Deep Saliency",
    run=evaluate_paper,
    settings=(
        Fields(SaliencySpec, (*_OF_MAPS, "denoising_option")),
        Fields(Tiling, ("tile_px",)),
        Fields(Compute),
        Fields(Perturbation),
    ),
    refusal="in the evaluation of labelled images; leave it away",
)
