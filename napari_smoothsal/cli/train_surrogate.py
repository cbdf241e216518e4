"""``smoothsal train-surrogate``: tiles in, a surrogate of a model's strided convolutions out."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_smoothsal.cli.app import DONE, command
from napari_smoothsal.cli.chosen_model import model_flags
from napari_smoothsal.cli.evaluate_options import ModelName
from napari_smoothsal.cli.flags import settings_flags, settings_from
from napari_smoothsal.cli.specs import image_scale
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, Tiling
from napari_smoothsal.core.training import SurrogateTraining

if TYPE_CHECKING:
    from napari_smoothsal.denoise.surrogate_trainer import History, TileSource
    from napari_smoothsal.models import Model

CURVES, PICTURE, EFFECT = "training.csv", "training.png", "effect.csv"
_EFFECT_TILES = 32
_PREDICTED_AT_ONCE = 16


@command("train-surrogate")
@settings_flags(SurrogateTraining, Compute)
@model_flags()
def train_surrogate(
    model: ModelName,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images, with sub-folders or without. Their labels are unused."
        ),
    ] = None,
    slide: Annotated[
        list[Path] | None,
        typer.Option(help="Slide to take tissue tiles from. May be given several times."),
    ] = None,
    mpp: Annotated[
        float | None,
        typer.Option(
            help="Micrometres per pixel of the images or slides. Unset: images are at the model's "
            "resolution, slides say it."
        ),
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(
            min=1, help="Resize images to this shorter side, where they have no resolution."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for surrogate, checkpoint and curves.")] = Path(
        "surrogate"
    ),
    *,
    given: dict[str, Any],
) -> None:
    """Train the paths that `--denoising bilinear_surrogate` puts in place of strided convolutions.

    Writes surrogate.safetensors and surrogate.json, which a run takes by --surrogate or finds
    beside the model, the curves as training.csv and training.png, and as effect.csv what it does
    to maps and predictions on held-out tiles, before and after. The same command run again goes on
    from the last checkpoint.
    """
    if (data is None) == (not slide):
        raise SettingError("give tiles: either --data FOLDER or --slide SLIDE")
    options = settings_from(SurrogateTraining, given)
    compute = settings_from(Compute, given)
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from napari_smoothsal.attribution.device import resolve_device
    from napari_smoothsal.denoise import surrogate_training
    from napari_smoothsal.evaluation.surrogate_effect import surrogate_effect
    from napari_smoothsal.models.surrogate import save_surrogate
    from napari_smoothsal.render.tables import frame_table

    loaded = model.load()
    with contextlib.ExitStack() as stack:
        source = _source(loaded, data, slide or [], mpp, resize, stack)
        typer.echo(f"{len(source)} tiles; predicting them, so that batches hold as many of each")
        classes = _classes(loaded, source, compute)
        counts = ", ".join(
            f"{classes.count(i)} {name}" for i, name in enumerate(loaded.readout.outcomes)
        )
        typer.echo(f"predicted: {counts}")
        bar = stack.enter_context(
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
        )
        task = bar.add_task("fitting the start", total=options.steps)

        def told(step: int, history: History) -> None:
            best = history.best
            bar.update(
                task,
                completed=step,
                description=f"step {step}: loss {history.validation[-1][1]:.4g} "
                f"(best {best[1]:.4g} at {best[0]})",
            )
            _write_curves(history, options, out)

        trained = surrogate_training.train_surrogate(
            loaded,
            source,
            options,
            out,
            classes=classes,
            device=resolve_device(compute).device,
            told=told,
        )
        typer.echo("held-out tiles: what the surrogate makes of maps and predictions")
        surrogate, start, history, held_out = trained
        effect = surrogate_effect(
            loaded,
            {"surrogate, first weights": start, "surrogate, trained": surrogate},
            source.draw(held_out[:_EFFECT_TILES], None),
            compute,
        )
    figures = {
        "tiles": len(source),
        "best_step": history.best[0],
        "validation_loss": history.best[1],
        "first_loss": history.validation[0][1],
        "error_left": {
            name: round(loss / naive, 4) if naive > 0 else 0.0
            for name, (loss, naive) in history.losses.items()
        },
    }
    effect.to_csv(out / EFFECT, index=False, float_format="%.6g")
    Console().print(frame_table(f"means over {len(held_out[:_EFFECT_TILES])} tiles", effect))
    weights = save_surrogate(surrogate, loaded, out, options.model_dump(mode="json"), figures)
    _write_curves(history, options, out)
    typer.echo(f"best: step {history.best[0]}, loss {history.best[1]:.4g} on held-out tiles")
    typer.echo(f"surrogate: {weights}")
    typer.echo(f"curves:    {out / CURVES}, {out / PICTURE}")
    typer.echo(f"effect:    {out / EFFECT}")
    raise typer.Exit(DONE)


def _source(
    model: Model,
    data: Path | None,
    slides: Sequence[Path],
    mpp: float | None,
    resize: int | None,
    stack: contextlib.ExitStack,
) -> TileSource:
    side = model.card.input_size
    if data is not None:
        from napari_smoothsal.slides.folder_tiles import FolderTiles
        from napari_smoothsal.slides.labelled import images_in

        scale = image_scale(model, mpp, resize)
        return FolderTiles(images_in(data), side, scale, resize, model.card.resampling)
    if resize is not None:
        raise SettingError(f"--resize {resize} is for images without a resolution, not for slides")
    from napari_smoothsal.runs.slide_tiles import SlideTiles
    from napari_smoothsal.slides import open_slide

    opened = [stack.enter_context(open_slide(path, mpp=mpp)) for path in slides]
    return SlideTiles(opened, model, Tiling())


def _classes(model: Model, source: TileSource, compute: Compute) -> list[int]:
    """Predicted class of every tile: each is read once, so that what is unreadable is told now."""
    from napari_smoothsal.attribution import Explainer

    explainer = Explainer(model, [], compute, scope="tiles")
    classes: list[int] = []
    for start in range(0, len(source), _PREDICTED_AT_ONCE):
        indices = range(start, min(start + _PREDICTED_AT_ONCE, len(source)))
        result = explainer.explain(source.draw(indices, None), [(i,) for i in indices])
        classes += result.decision.predicted.tolist()
    return classes


def _write_curves(history: History, options: SurrogateTraining, out: Path) -> None:
    import pandas as pd

    from napari_smoothsal.render.training_figure import training_figure

    other = "random" if options.start == "least_squares" else "least squares"
    start = options.start.replace("_", " ")
    curves = {
        "training": history.training,
        f"held out, {start} start": history.validation,
        f"held out, {other} start": history.other_start,
    }
    rows = [(name, step, loss) for name, curve in curves.items() for step, loss in curve]
    out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=["curve", "step", "loss"]).to_csv(out / CURVES, index=False)
    training_figure(curves, history.losses, out / PICTURE)
