"""What ``smoothsal run`` says of runs that have ended, well or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_smoothsal.cli.app import DONE, NOTHING_STARTED, RESUMABLE, SOME_FAILED, complain
from napari_smoothsal.cli.disk_errors import unwritable
from napari_smoothsal.core.checks import LEAST_PROBABILITY, UNSURE
from napari_smoothsal.core.errors import SmoothsalError

if TYPE_CHECKING:
    from napari_smoothsal.runs import Run, SlideResult
    from napari_smoothsal.runs.places import Place


def told(run: Run) -> int:
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
    if not has_maps(run) and len(run.maps):
        typer.echo(_none_explained(run))
        return failures(run)
    if left := int((tiles.status == "not_explained").sum()):
        typer.echo(f"{len(tiles) - left - len(failed)} of them are explained, as chosen")
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


def has_maps(run: Run) -> bool:
    """Whether a run has explained anything: one tile at least, by one map at least."""
    return bool(len(run.maps)) and bool((run.tiles.status == "done").any())


def _none_explained(run: Run) -> str:
    """Why the maps of a run are empty."""
    if not run.choice or not len(run.not_explained):
        return "no tile could be explained: the maps are empty"
    return (
        f"no tile is explained, as none is what was asked for ({run.choice}): the maps are empty. "
        "Another choice makes another run: give it another --out"
    )


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


def failure_in_words(error: Exception, name: str = "") -> str:
    """What an error says, of a file its base name; `name` where the system names none."""
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
    where = Path(str(error.filename)).name if error.filename else name
    return ": ".join(filter(None, (error.strerror or str(error), where)))


def told_midway(store: Place, error: Exception) -> None:
    """Say how far a run is that a full disk, a vanished drive or the like has stopped."""
    from napari_smoothsal.runs import open_run

    said = failure_in_words(error, store.name)
    with suppress(OSError, SmoothsalError, KeyError, ValueError):  # it may be gone, too
        status = open_run(store).tiles["status"]
        said += f"; {int((status != 'pending').sum())} of {len(status)} tiles are done"
    complain("stopped", f"{said}. Once that is mended, {RESUMABLE}")


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


def batch_told(results: Sequence[SlideResult], summary: Place) -> int:
    """Print how the slides of a batch went; returns the exit code."""
    from napari_smoothsal.runs.places import is_there

    for result in results:
        if result.run is None:
            kind = "failed" if result.state == "failed" else result.state
            complain(kind, f"{result.name}: {_why_no_run(result)}")
        else:
            typer.echo(_of_slide(result, result.run))
    if not results:
        typer.echo("no slide of the list is in this shard")
        return DONE
    states = Counter(result.state for result in results)
    counts = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in states.items())
    typer.echo(f"{len(results)} slides: {counts}; all of the folder: {summary}")
    # Those that failed before, and are not tried again, may have begun then.
    tried = all(one.computed or isinstance(one.error, OSError) for one in results)
    if tried and all(one.state == "failed" and not is_there(one.store) for one in results):
        return NOTHING_STARTED
    # Slides that another process holds are its to tell of.
    return DONE if states.keys() <= {"complete", "skipped"} else SOME_FAILED


def _why_no_run(result: SlideResult) -> str:
    if result.error is None:
        return "not begun"
    return failure_in_words(unwritable(result.error, result.store) or result.error)


def _of_slide(result: SlideResult, run: Run) -> str:
    tiles = run.tiles
    bad, left = (int((tiles.status == status).sum()) for status in ("failed", "not_explained"))
    weak = len(run.weakly_predicted)
    counts = ((bad, "failed"), (left, "not explained"), (weak, UNSURE))
    said = [f"{len(tiles)} tiles", *(f"{n} {words}" for n, words in counts if n)]
    before = "" if result.computed else ", finished before"
    return f"{result.name}: {run.status}{before}, {', '.join(said)} -> {run.path}"
