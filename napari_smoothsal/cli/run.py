"""``smoothsal run``: slides in, saliency stores out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_smoothsal.cli.app import SOME_FAILED, command, complain
from napari_smoothsal.cli.chosen_model import model_flags
from napari_smoothsal.cli.clusters import cluster_from, crew_on
from napari_smoothsal.cli.disk_errors import unwritable
from napari_smoothsal.cli.evaluate_options import ModelName
from napari_smoothsal.cli.flags import fields_of, settings_flags
from napari_smoothsal.cli.run_plan import tell_plan
from napari_smoothsal.cli.run_told import batch_told, failure_in_words, has_maps, told
from napari_smoothsal.cli.specs import (
    COMBINED,
    at_first_layer,
    devices_from,
    explained,
    run_settings,
    specs_from,
)
from napari_smoothsal.core.errors import DeviceLostError, SettingError, SmoothsalError
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling

if TYPE_CHECKING:
    from napari_smoothsal.models import Model
    from napari_smoothsal.runs import Run
    from napari_smoothsal.runs.places import Place
    from napari_smoothsal.runs.slide_list import SlideJob
    from napari_smoothsal.runs.slide_work import Specs
    from napari_smoothsal.slides import Slide

SUMMARY = "summary.csv"
PICTURES = (".png", ".pdf", ".svg")
NOT_PLANNED = ("progress", "on_plan", "checksum", "pack")
"""Settings of a run that a plan does not ask for."""


@command("run")
@settings_flags(SaliencySpec, Tiling, Compute, repeated=COMBINED)
@model_flags("demo-classifier")
def run(
    slides: Annotated[
        list[str],  # a path would spoil URLs
        typer.Argument(
            metavar="SLIDE...",
            help="Slide files, a DICOM folder, a folder of slides, URLs, or a CSV manifest with "
            "the columns slide, mpp, region, mask, model.",
        ),
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
        str | None,  # a path would spoil URLs
        typer.Option(
            metavar="PATH",
            help="Store of one slide, or folder for the stores of several: a path, or a URL such "
            "as s3://bucket/folder. Unset: in this folder, as NAME.smoothsal.zarr.",
        ),
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
    where: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION",
            help='Explain only tiles of which this is true, e.g. "p(tumour) > 0.5", once all are '
            "predicted.",
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(help="Explain only so many tiles, those with the highest probability."),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="Try slides and tiles again that failed when this command ran before.",
        ),
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Of all slides only I, I + N, I + 2 N, ...: for N jobs that share the work.",
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what the run would take, and write nothing."),
    ] = False,
    checksum: Annotated[
        bool,
        typer.Option(
            "--checksum",
            help="Store the SHA-256 of the slide's file, and compare it when going on.",
        ),
    ] = False,
    pack: Annotated[
        bool,
        typer.Option(
            "--pack", help="Join the chunks of finished stores into shards: far fewer files."
        ),
    ] = False,
    reader: Annotated[
        str,
        typer.Option(help="Library that decodes the slides: openslide, tiffslide or cucim."),
    ] = "openslide",
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Dask cluster that does the work: its scheduler's address, or local:4 for four "
            "workers of this machine.",
        ),
    ] = None,
    *,
    given: dict[str, Any],
) -> None:
    """Compute saliency maps over slides and store them as OME-Zarr pyramids.

    Several --layer, --denoising or --method give one map for each combination; without --layer it
    is one of about 4 um per pixel. The same command run again resumes what is unfinished. Several
    devices (--device cuda:0,cuda:1) share the slides, one process each.
    """
    from napari_smoothsal.runs.places import place_of
    from napari_smoothsal.slides import open_slide
    from napari_smoothsal.slides.readers import READERS

    READERS[reader].load()  # before anything loads torch
    place = None if out is None else place_of(out)
    _check_together(predict_only, torchscript, where, top, given)
    if picture is not None:
        _check_picture(picture, slides, predict_only)
    given, devices = devices_from(given)
    specs = [] if predict_only else specs_from(given)
    settings = run_settings(given, region) | _chosen(where, top, checksum, pack)
    from napari_smoothsal.runs import explain_slides
    from napari_smoothsal.runs.slide_list import in_shard, shard_from, slide_jobs
    from napari_smoothsal.runs.slide_work import ModelInUse

    jobs = slide_jobs(slides)
    part = in_shard(jobs, shard_from(shard))
    source = partial(model.load, surrogate, calibration, torchscript=torchscript)
    made: Specs = partial(at_first_layer, specs) if specs and "layer" not in given else specs
    loaded: Model | None = None
    if all(job.model is None for job in jobs):
        loaded = source()
        for said in loaded.adaptations if torchscript else ():
            typer.echo(f"model: {said}", err=True)
        made = specs = list(made(loaded) if callable(made) else made)
        if loaded.calibrations:
            _tell_uncalibrated(loaded, specs, settings["tiling"].tile_px, calibration)
    if plan:
        what = {n: v for n, v in settings.items() if n not in NOT_PLANNED}
        models = ModelInUse(loaded or source, made)

        def opened(job: SlideJob) -> Slide:
            return open_slide(job.source, mpp=job.mpp or mpp, reader=reader)

        raise typer.Exit(tell_plan(part, models, what, opened, len(devices)))
    cluster = cluster_from(scheduler, devices)
    one = [job.source for job in jobs] == slides and len(jobs) == 1
    if one and loaded is not None and shard is None:
        if len(devices) > 1:
            typer.echo(f"device: {devices[0]}, as there is one slide", err=True)
        if retry_failed:
            settings["retry_failed"] = True
        with (
            open_slide(slides[0], mpp=mpp, reader=reader) as slide,
            cluster as client,
            crew_on(client, loaded, settings, slide.name) as crew,
        ):
            settings |= {"crew": crew}
            raise typer.Exit(_one_slide(slide, loaded, specs, place, settings, picture))
    several = devices if len(devices) > 1 else None
    if several or scheduler is not None:
        del settings["on_plan"]  # lines of several slides at once
    folder = place or Path()
    try:
        with cluster as client:
            results = explain_slides(
                slides,
                source if several or loaded is None else loaded,
                made,
                folder,
                mpp=mpp,
                reader=reader,
                retry_failed=retry_failed,
                shard=shard,
                devices=several,
                client=client,
                **settings,
            )
    except DeviceLostError as error:
        complain("stopped", str(error))
        raise typer.Exit(SOME_FAILED) from error
    except OSError as error:
        if (refused := unwritable(error, folder / SUMMARY)) is not None:
            raise refused from error
        raise
    raise typer.Exit(batch_told(results, folder / SUMMARY))


def _one_slide(
    slide: Slide,
    model: Model,
    specs: list[SaliencySpec],
    out: Place | None,
    settings: dict[str, Any],
    picture: Path | None,
) -> int:
    """Explain a slide into a store of its own; returns the exit code."""
    from napari_smoothsal.runs.layout import SUFFIX

    store = out or Path(slide.name + SUFFIX)
    done = explained(slide, model, specs, store, settings)
    # Before anything is said: `| head` ends a command that goes on talking.
    failure = None if picture is None else _drawn(slide, done, picture)
    code = told(done)
    if picture is None:
        return code
    if not has_maps(done):
        complain("warning", f"--picture {picture.name}: there is no map to draw")
    elif failure is None:
        typer.echo(f"picture: {picture}")
    elif isinstance(failure, SmoothsalError | OSError | MemoryError):
        complain("error", f"--picture {picture.name} was not made: {failure_in_words(failure)}")
        return code or SOME_FAILED
    else:
        raise failure
    return code


def _drawn(slide: Slide, run: Run, picture: Path) -> Exception | None:
    """Draw a run's maps; returns what kept it from that, as the run itself is to be told first."""
    from napari_smoothsal.render.figure import run_figure

    if has_maps(run):
        try:
            run_figure(slide, run, picture)
        except Exception as error:  # noqa: BLE001 - told, or raised, after the run
            return error
    return None


def _chosen(where: str | None, top: int | None, checksum: bool, pack: bool) -> dict[str, Any]:
    """What was given of these, as `explain_slide` takes it."""
    given = {"where": where, "top": top, "checksum": checksum or None, "pack": pack or None}
    return {name: value for name, value in given.items() if value is not None}


def _check_together(
    predict_only: bool,
    torchscript: bool,
    where: str | None,
    top: int | None,
    given: dict[str, Any],
) -> None:
    """Refuse what has no use beside what else was given."""
    fields = list(fields_of(SaliencySpec, given))
    fields += [name for name, value in (("where", where), ("top", top)) if value is not None]
    if predict_only and fields:
        raise SettingError(
            f"--predict-only makes no maps, so --{fields[0]} has no use beside it; leave one of "
            "the two away"
        )
    if torchscript and not predict_only:
        raise SettingError(
            "--torchscript needs --predict-only: hidden layers of TorchScript cannot be reached. "
            "For maps build the eager network and load its weights"
        )


def _check_picture(picture: Path, slides: list[str], predict_only: bool) -> None:
    """Refuse what would fail only when all maps are there."""
    if predict_only:
        raise SettingError("--predict-only makes no maps, so there is none for --picture")
    if picture.suffix.lower() not in PICTURES:
        raise SettingError(
            f"--picture {picture.name}: pictures are {', '.join(PICTURES)}; choose one of these"
        )
    from napari_smoothsal.slides.find import slides_among

    paths = [Path(slide) for slide in slides]
    if slides_among(paths) != paths or len(paths) > 1:
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
