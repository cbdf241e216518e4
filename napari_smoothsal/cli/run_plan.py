"""``smoothsal run --plan``: what a run will take, without writing anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from napari_smoothsal.cli.app import DONE, NOTHING_STARTED, SOME_FAILED, complain
from napari_smoothsal.core.errors import SmoothsalError

if TYPE_CHECKING:
    from rich.table import Table

    from napari_smoothsal.runs.slide_list import SlideJob
    from napari_smoothsal.runs.slide_work import ModelInUse
    from napari_smoothsal.slides import Slide

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
        Upper bounds; the latter with maps before compression.
    """

    name: str
    tiles: int
    explained: int
    prediction_s: float
    maps_s: float
    memory_bytes: int
    disk_bytes: int


def tell_plan(
    jobs: Sequence[SlideJob],
    models: ModelInUse,
    settings: Mapping[str, Any],
    opened: Callable[[SlideJob], Slide],
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
    opened
        Opens a slide, as the run will.
    devices
        How many share the slides.
    """
    from rich.console import Console

    planned: list[PlannedSlide] = []
    per_tile: dict[str | None, tuple[float, float]] = {}
    for job in jobs:
        try:
            planned.append(_planned(job, models, settings, opened, per_tile))
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


def plan_table(planned: Sequence[PlannedSlide], chosen: bool, width: int | None = None) -> Table:
    """One row a slide, and their sum.

    Parameters
    ----------
    planned
        Slides.
    chosen
        Whether tiles are chosen by their predictions, so that those have a time of their own.
    width
        Letters of a line; None: those of this terminal. Where there is no room for a column each,
        a slide's figures stand below each other.
    """
    from rich.console import Console

    from napari_smoothsal.render.tables import fits

    rows = [(one.name, _cells(one, chosen)) for one in planned]
    if len(planned) > 1:
        rows.append(("all", _cells(_sum(planned), chosen)))
    table = _empty()
    table.add_column("slide", overflow="fold", min_width=8)
    for heading in rows[0][1]:
        cells = [figures[heading] for _, figures in rows]
        least = max(map(len, [*cells, *heading.split()]))
        table.add_column("\n".join(heading.split()), justify="right", min_width=least)
    for name, figures in rows:
        table.add_row(name, *figures.values(), end_section=len(rows) > 1 and name == rows[-2][0])
    if fits(width or Console().width, table):
        return table
    table = _empty()
    for heading, justify in (("slide", "left"), ("takes", "right")):
        table.add_column(heading, overflow="fold", justify=justify)  # type: ignore[arg-type]
    for name, figures in rows:
        table.add_row(name, "\n".join(f"{what} {figure}" for what, figure in figures.items()))
    return table


def _empty() -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(
        title="what the run will take",
        caption="time: measured on two tiles of the first slide, reading not counted; disk: maps "
        "before compression; memory: beyond Python and torch",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )


def _cells(one: PlannedSlide, chosen: bool) -> dict[str, str]:
    """Figures by their headings."""
    most = "at most " if chosen else ""
    cells = {"tiles": str(one.tiles)}
    if chosen:
        cells |= {"at most explained": str(one.explained), "prediction": duration(one.prediction_s)}
    cells[f"{most}maps" if chosen else "time"] = duration(one.maps_s)
    cells["memory"] = amount(one.memory_bytes)
    return cells | {"disk": amount(one.disk_bytes)}


def _sum(planned: Sequence[PlannedSlide]) -> PlannedSlide:
    """Of all slides; memory is that of the one that needs most."""
    return PlannedSlide(
        "all",
        sum(one.tiles for one in planned),
        sum(one.explained for one in planned),
        sum(one.prediction_s for one in planned),
        sum(one.maps_s for one in planned),
        max(one.memory_bytes for one in planned),
        sum(one.disk_bytes for one in planned),
    )


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
    opened: Callable[[SlideJob], Slide],
    per_tile: dict[str | None, tuple[float, float]],
) -> PlannedSlide:
    """Measured where its model has not been timed yet, on as many tiles as that one had."""
    from napari_smoothsal.runs.estimate import estimate_run
    from napari_smoothsal.runs.slide_work import settings_of

    model, specs = models.get(job.model)
    timed = job.model in per_tile
    with opened(job) as slide:
        # A model's tiles take as long on one slide as on another.
        estimate = estimate_run(
            slide, model, specs, **settings_of(job, settings), stop=lambda: timed
        )
    tiles = len(estimate.plan)
    explained = min(settings.get("top") or tiles, tiles)
    if estimate.seconds is not None:
        predicting = estimate.prediction_seconds or 0.0
        per_tile[job.model] = (predicting / tiles, estimate.seconds / explained)
    prediction_s, maps_s = per_tile.get(job.model, (0.0, 0.0))
    return PlannedSlide(
        job.name,
        tiles,
        explained,
        prediction_s * tiles,
        maps_s * explained,
        estimate.memory_bytes,
        estimate.bytes,
    )
