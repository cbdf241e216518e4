"""``smoothsal run``: slides in, saliency stores out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_smoothsal.cli.app import DONE, NOTHING_STARTED, SOME_FAILED, command, complain
from napari_smoothsal.cli.chosen_model import model_flags
from napari_smoothsal.cli.evaluate_options import ModelName
from napari_smoothsal.cli.flags import fields_of, settings_flags
from napari_smoothsal.cli.specs import COMBINED, at_first_layer, explained, run_settings, specs_from
from napari_smoothsal.core.checks import LEAST_PROBABILITY, UNSURE
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling

if TYPE_CHECKING:
    from napari_smoothsal.models import Model
    from napari_smoothsal.runs import Run, SlideResult

PICTURES = (".png", ".pdf", ".svg")


@command("run")
@settings_flags(SaliencySpec, Tiling, Compute, repeated=COMBINED)
@model_flags("demo-classifier")
def run(
    slides: Annotated[
        list[Path], typer.Argument(help="Slide files, a DICOM folder, or a folder of slides.")
    ],
    model: ModelName,
    surrogate: Annotated[
        Path | None,
        typer.Option(
            help="Surrogate of the model, for --denoising bilinear_surrogate. Unset: the one "
            "beside the model."
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Limits that `smoothsal calibrate` measured. Unset: those beside the model."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Store of one slide, or folder for the stores of several."),
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="Micrometres per pixel of level 0, if the file is wrong.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="X,Y,W,H in level-0 px; unset: the whole slide.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Draw the slide, or --region of it, and its maps side by side into this PNG, PDF "
            "or SVG file."
        ),
    ] = None,
    predict_only: Annotated[
        bool, typer.Option("--predict-only", help="Predictions only, no maps.")
    ] = False,
    torchscript: Annotated[
        bool,
        typer.Option(
            "--torchscript",
            help="--model is TorchScript: a program, which is run. It has no layers to explain, so "
            "that --predict-only is needed.",
        ),
    ] = False,
    *,
    given: dict[str, Any],
) -> None:
    """Compute saliency maps over slides and store them as OME-Zarr pyramids.

    Several --layer, --denoising or --method give one map for each combination; without --layer it
    is one of about 4 um per pixel. The same command run again resumes what is unfinished.
    """
    if predict_only and (fields := fields_of(SaliencySpec, given)):
        raise SettingError(
            f"--predict-only makes no maps, so --{next(iter(fields))} has no use beside it; "
            "leave one of the two away"
        )
    if torchscript and not predict_only:
        raise SettingError(
            "--torchscript needs --predict-only: hidden layers of TorchScript cannot be reached. "
            "For maps build the eager network and load its weights"
        )
    if picture is not None:
        _check_picture(picture, slides, predict_only)
    specs = [] if predict_only else specs_from(given)
    settings = run_settings(given, region)
    from napari_smoothsal.render.figure import run_figure
    from napari_smoothsal.runs import explain_slides
    from napari_smoothsal.runs.layout import SUFFIX
    from napari_smoothsal.slides import open_slide
    from napari_smoothsal.slides.find import slides_among

    loaded = model.load(surrogate, calibration, torchscript=torchscript)
    for said in loaded.adaptations if torchscript else ():
        typer.echo(f"model: {said}", err=True)
    if specs and "layer" not in given:
        specs = at_first_layer(specs, loaded)
    if loaded.calibrations:
        _tell_uncalibrated(loaded, specs, settings["tiling"].tile_px, calibration)
    found = slides_among(slides)
    if len(found) == 1 and len(slides) == 1 and found[0] == slides[0]:
        with open_slide(found[0], mpp=mpp) as slide:
            store = out or Path(slide.name + SUFFIX)
            done = explained(slide, loaded, specs, store, settings)
            # Before anything is said: `| head` ends a command that goes on talking.
            if picture is not None and not done.tiles.empty:
                run_figure(slide, done, picture)
            code = _summary(done)
            if picture is not None and done.tiles.empty:
                complain("warning", f"--picture {picture.name}: there is no map to draw")
            elif picture is not None:
                typer.echo(f"picture: {picture}")
            raise typer.Exit(code)
    results = explain_slides(found, loaded, specs, out or Path(), mpp=mpp, **settings)
    raise typer.Exit(_batch_summary(results))


def _check_picture(picture: Path, slides: list[Path], predict_only: bool) -> None:
    """Refuse what would fail only when all maps are there."""
    if predict_only:
        raise SettingError("--predict-only makes no maps, so there is none for --picture")
    if picture.suffix.lower() not in PICTURES:
        raise SettingError(
            f"--picture {picture.name}: pictures are {', '.join(PICTURES)}; choose one of these"
        )
    from napari_smoothsal.slides.find import slides_among

    if slides_among(slides) != slides or len(slides) > 1:
        raise SettingError(f"--picture {picture.name} is of one slide; give one, not a folder")


def _tell_uncalibrated(
    model: Model, specs: list[SaliencySpec], tile_px: int | None, file: Path | None
) -> None:
    """Say of which maps the model, or a file that was named, has no limits, and why."""
    from napari_smoothsal.attribution.map_plan import map_plans

    for plan in map_plans(model, specs, "slide")[: len(specs)]:
        if differing := model.uncalibrated_for(plan.spec, plan.target.label, tile_px):
            name = " | ".join(str(getattr(plan.spec, what)) for what in COMBINED)
            said = f"no limits of {name}, which is shown without any; it has {', '.join(differing)}"
            if file is None:
                typer.echo(f"calibration: {said}", err=True)
            else:
                complain("warning", f"--calibration {file.name}: {said}")


def _summary(run: Run) -> int:
    """Print what a run holds; returns the exit code."""
    from rich.console import Console

    from napari_smoothsal.render.limits import said_of
    from napari_smoothsal.render.tables import total_variation_table

    tiles = run.tiles
    typer.echo(f"store: {run.path}")
    if tiles.empty:
        typer.echo(
            "no tissue was found where it was looked for, so the store is complete and its maps "
            "are empty; `smoothsal info SLIDE --picture tissue.png` shows the mask"
        )
        return DONE
    failed = tiles[tiles.status == "failed"]
    counts = tiles.predicted[tiles.predicted != ""].value_counts()
    said = ", ".join(f"{n} {name}" for name, n in counts.items())
    could_not = f", {len(failed)} failed" if len(failed) else ""
    typer.echo(f"{len(tiles)} tiles{could_not}; predicted: {said or 'none'}")
    for target, count in _nothing_to_explain(run).items():
        typer.echo(
            f"in {count} of them no pixel is predicted as {target!r}: its maps are zero there"
        )
    if weak := len(run.weakly_predicted):
        hardly = "a decision that is hardly one"
        whose = f"their maps are of {hardly}" if len(run.maps) else hardly
        typer.echo(
            f"{weak} of them are {UNSURE}, with a probability below {LEAST_PROBABILITY:g}: {whose}"
        )
    for target, count in _predicted_otherwise(run).items():
        typer.echo(
            f"{count} of them are predicted as another class than {target!r}, which their maps "
            "explain: viewer and pictures hatch them"
        )
    if len(run.maps):
        for key in _not_denoised(run):
            typer.echo(
                f"{key}: equal to the original's, as no strided convolution lies above the layer"
            )
        for key, run_map in run.maps.items():
            for words in said_of(run_map):
                typer.echo(f"{key}: {words}")
        for key, far, fine in _displaced(run):
            also = f", fine structure up to {fine:.3g} um" if fine else ""
            typer.echo(
                f"{key}: coarse structure lies up to {far:.3g} um beside what it shows{also}; "
                "centred_hook moves nothing"
            )
        for key, delta in _missed(run).items():
            typer.echo(
                f"{key}: its values should add up to the rise of the score from the baseline to "
                f"the tile, and miss it by {delta:.2g} (logits; median of the tiles): too few "
                "steps or draws, or the work of the denoising"
            )
        Console().print(total_variation_table(run))
        typer.echo("drop the store into napari, onto its slide, to see the maps")
    return failures(run)


def _displaced(run: Run) -> list[tuple[str, float, float]]:
    """How far maps, and their fine structure, may lie beside what they show, as placed, in um."""
    maps = run.maps.items()
    return [(k, one.displaced_um, one.fine_displaced_um) for k, one in maps if one.displaced_um]


_ROUNDING = 1e-4
"""What values miss for want of digits."""


def _missed(run: Run) -> dict[str, float]:
    """By how much values do not add up, of methods whose values should, by map."""
    medians = {key: float(run.tiles[f"delta_{key}"].median()) for key in run.maps}
    return {key: delta for key, delta in medians.items() if delta > _ROUNDING}


def _predicted_otherwise(run: Run) -> dict[str, int]:
    """Tiles that are predicted as another class than their maps explain, by target."""
    counts = {m.target: len(run.tiles_of_another_class(m)) for m in run.maps.values()}
    return {target: count for target, count in counts.items() if count}


def _not_denoised(run: Run) -> list[str]:
    """Keys of maps whose denoising had nothing to do."""
    return [key for key, run_map in run.maps.items() if run_map.idle_denoising]


def _nothing_to_explain(run: Run) -> dict[str, int]:
    """Tiles in which nothing is predicted as a target, by target."""
    tiles = run.tiles
    counts = {m.target: int((tiles[f"explained_px_{k}"] == 0).sum()) for k, m in run.maps.items()}
    return {target: count for target, count in counts.items() if count}


def failures(run: Run) -> int:
    """List a run's tiles that failed; returns the exit code."""
    tiles = run.tiles
    failed = tiles[tiles.status == "failed"]
    if failed.empty:
        return DONE
    complain("failed", f"{len(failed)} tiles could not be read or computed (x, y in level-0 px):")
    for tile in failed.head(20).itertuples():
        typer.echo(f"  {tile.x_px:.0f}, {tile.y_px:.0f}", err=True)
    if len(failed) > 20:
        typer.echo("  ... all of them in the store's table, status `failed`", err=True)
    return SOME_FAILED


def _batch_summary(results: Sequence[SlideResult]) -> int:
    errors = 0
    for result in results:
        if result.run is None:
            errors += 1
            complain("failed", f"{result.name}: {result.error}")
            continue
        tiles = result.run.tiles
        bad = int((tiles.status == "failed").sum())
        weak = len(result.run.weakly_predicted)
        typer.echo(
            f"{result.name}: {result.run.status}, {len(tiles)} tiles"
            + (f", {bad} failed" if bad else "")
            + (f", {weak} {UNSURE}" if weak else "")
            + f" -> {result.run.path}"
        )
        errors += bool(bad)
    if results and all(result.run is None for result in results):
        return NOTHING_STARTED
    return SOME_FAILED if errors else DONE
