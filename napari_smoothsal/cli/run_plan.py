"""``smoothsal run --plan``: what a run will take, without writing anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from napari_smoothsal.cli.app import DONE, NOTHING_STARTED, SOME_FAILED, complain
from napari_smoothsal.core.errors import SmoothsalError

if TYPE_CHECKING:
    from rich.table import Table

    from napari_smoothsal.runs.slide_list import SlideJob
    from napari_smoothsal.runs.slide_work import ModelInUse

_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True)
class PlannedSlide:
    """What one slide will take.

    Attributes
    ----------
    name
        Base name of the slide.
    tiles, explained
        All, and those of which there will be maps; at most, where the predictions decide.
    prediction_s, maps_s
        Seconds; the first is 0 where all tiles are explained, as that predicts them.
    memory_bytes, disk_bytes
        Upper bounds; the latter before compression.
    """

    name: str
    tiles: int
    explained: int
    prediction_s: float
    maps_s: float
    memory_bytes: int | None
    disk_bytes: int


def tell_plan(
    jobs: Sequence[SlideJob],
    models: ModelInUse,
    settings: Mapping[str, Any],
    mpp: float | None,
    devices: int,
) -> int:
    """Print what slides will take; returns the exit code.

    Parameters
    ----------
    jobs
        Slides.
    models
        Their models, with specs.
    settings
        Of `estimate_run`: region, tiling, compute; where and top, where given.
    mpp
        Of level 0, where the files are wrong.
    devices
        How many share the slides.
    """
    from rich.console import Console

    planned: list[PlannedSlide] = []
    per_tile: dict[str | None, tuple[float, float]] = {}
    for job in jobs:
        try:
            planned.append(_planned(job, models, settings, mpp, per_tile))
        except (SmoothsalError, OSError) as error:
            complain("failed", f"{job.name}: {error}")
    chosen = "where" in settings or "top" in settings
    if planned:
        Console().print(plan_table(planned, chosen))
    if devices > 1 and len(planned) > 1:
        seconds = sum(one.prediction_s + one.maps_s for one in planned)
        shared = min(devices, len(planned))
        typer.echo(f"on {shared} devices at once: about {duration(seconds / shared)}")
    typer.echo("nothing was written")
    if len(planned) == len(jobs):
        return DONE
    return SOME_FAILED if planned else NOTHING_STARTED


def plan_table(planned: Sequence[PlannedSlide], chosen: bool) -> Table:
    """One row a slide, and their sum.

    Parameters
    ----------
    planned
        Slides.
    chosen
        Whether tiles are chosen by their predictions, so that those have a time of their own.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    most = "at most " if chosen else ""
    table = Table(
        title="what the run will take",
        caption="time: measured on two tiles of the first slide, reading not counted; disk: before "
        "compression; memory: beyond Python and torch",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_footer=len(planned) > 1,
    )
    predicting = sum(one.prediction_s for one in planned)
    explaining = sum(one.maps_s for one in planned)
    known = [one.memory_bytes for one in planned if one.memory_bytes is not None]
    table.add_column("slide", "all", overflow="fold", min_width=5)
    columns = [("tiles", str(sum(one.tiles for one in planned)))]
    if chosen:
        columns += [(f"{most}explained", str(sum(one.explained for one in planned)))]
        columns += [("prediction", duration(predicting))]
    columns += [(f"{most}maps" if chosen else "time", duration(explaining))]
    columns += [("memory", amount(max(known)) if known else "-")]
    columns += [("disk", amount(sum(one.disk_bytes for one in planned)))]
    for heading, total in columns:
        table.add_column(heading.replace(" ", "\n"), total, justify="right")
    for one in planned:
        memory = "-" if one.memory_bytes is None else amount(one.memory_bytes)
        own = [str(one.explained), duration(one.prediction_s)] if chosen else []
        cells = [str(one.tiles), *own, duration(one.maps_s), memory, amount(one.disk_bytes)]
        table.add_row(one.name, *cells)
    return table


def duration(seconds: float) -> str:
    """Seconds in words, to two figures: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def amount(size: int) -> str:
    """Bytes in words, to two figures and more."""
    factor, unit = next(((f, u) for f, u in _UNITS if size >= f), (1.0, "B"))
    number = size / factor
    return f"{number:.1f} {unit}" if number < 10 and factor > 1 else f"{number:.0f} {unit}"


def _planned(
    job: SlideJob,
    models: ModelInUse,
    settings: Mapping[str, Any],
    mpp: float | None,
    per_tile: dict[str | None, tuple[float, float]],
) -> PlannedSlide:
    """Measured where its model has not been timed yet, on as many tiles as that one had."""
    from napari_smoothsal.runs.estimate import estimate_run
    from napari_smoothsal.runs.slide_work import settings_of
    from napari_smoothsal.slides import open_slide

    model, specs = models.get(job.model)
    timed = job.model in per_tile
    with open_slide(job.source, mpp=job.mpp or mpp) as slide:
        # A model's tiles take as long on one slide as on another.
        estimate = estimate_run(
            slide, model, specs, **settings_of(job, settings), stop=lambda: timed
        )
    tiles = len(estimate.plan)
    explained = min(settings.get("top") or tiles, tiles)
    if estimate.seconds is not None:
        predicting = getattr(estimate, "prediction_seconds", None) or 0.0
        per_tile[job.model] = (predicting / tiles, estimate.seconds / explained)
    prediction_s, maps_s = per_tile.get(job.model, (0.0, 0.0))
    return PlannedSlide(
        job.name,
        tiles,
        explained,
        prediction_s * tiles,
        maps_s * explained,
        getattr(estimate, "memory_bytes", None),
        estimate.bytes,
    )
