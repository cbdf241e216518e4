"""``smoothsal calibrate``: normal tissue in, limits below which a model's maps are blank out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_smoothsal.cli.app import DONE, command
from napari_smoothsal.cli.evaluate_options import ModelName, Surrogate
from napari_smoothsal.cli.flags import settings_flags, settings_from
from napari_smoothsal.cli.specs import COMBINED, image_scale, specs_from
from napari_smoothsal.core.calibration import Calibration, CalibrationCheck, spread
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec

if TYPE_CHECKING:
    import torch

    from napari_smoothsal.models import Model


@command("calibrate", after="nothing was written; the same command begins again")
@settings_flags(SaliencySpec, CalibrationCheck, Compute, repeated=COMBINED)
def calibrate(
    model: ModelName,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images of normal tissue, in which the target does not occur. Unset: "
            "the tiles beside the model."
        ),
    ] = None,
    target_data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images with the target, to measure how many of them still show "
            "something."
        ),
    ] = None,
    mpp: Annotated[
        float | None,
        typer.Option(
            help="Micrometres per pixel of the images. Unset: they are at the model's resolution."
        ),
    ] = None,
    surrogate: Surrogate | None = None,
    tiles: Annotated[
        int, typer.Option(min=1, help="Images taken of a folder, at most; one tile of each.")
    ] = 400,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File or folder for calibration.json, which `run --calibration` takes. Unset: "
            "beside the model, where it is found by itself."
        ),
    ] = None,
    *,
    given: dict[str, Any],
) -> None:
    """Measure how strong a model's maps are where there is nothing to see.

    That is normal tissue, and what randomised copies of the model see. Runs with the same
    settings then show only what is more. Several --layer, --denoising or --method give one
    calibration for each combination.
    """
    specs = specs_from(given)
    check, compute = settings_from(CalibrationCheck, given), settings_from(Compute, given)
    beside = out is None or out.absolute() == Path(model).absolute()
    place = out or _beside(model)
    from napari_smoothsal.evaluation import calibrate as measure
    from napari_smoothsal.models import load_model
    from napari_smoothsal.models.calibration_file import calibration_place, save_calibrations

    loaded = load_model(model, surrogate=surrogate)
    if not beside:
        calibration_place(place, loaded)
    normal = _normal_tissue(loaded, data, mpp, tiles)
    typer.echo(f"{len(normal)} tiles of normal tissue, {check.copies} randomised copies")
    with_target = None if target_data is None else _tiles(loaded, target_data, mpp, tiles)
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("calibration", total=None)
        measured = measure(
            loaded,
            normal,
            specs,
            with_target,
            check,
            compute,
            lambda what, done, total: bar.update(
                task, description=what, completed=done, total=total
            ),
        )
    written = save_calibrations(loaded, measured, place, anew=beside)
    _tell(measured)
    typer.echo(f"calibration: {written}")
    raise typer.Exit(DONE)


def _beside(model: str) -> Path:
    """A model's own folder."""
    folder = Path(model)
    if folder.is_dir():
        return folder
    raise SettingError(
        f"--out: model {model!r} is no folder that could be written to; give --out FOLDER, and "
        "`smoothsal run --calibration FOLDER` then"
    )


def _normal_tissue(model: Model, data: Path | None, mpp: float | None, most: int) -> torch.Tensor:
    if data is not None:
        return _tiles(model, data, mpp, most)
    import torch

    if model.normal_tissue is None:
        raise SettingError(
            f"model {model.card.name!r} brings no tiles of normal tissue; give --data FOLDER"
        )
    return torch.from_numpy(model.normal_tissue).permute(0, 3, 1, 2).contiguous()


def _tiles(model: Model, folder: Path, mpp: float | None, most: int) -> torch.Tensor:
    from napari_smoothsal.slides.folder_tiles import FolderTiles, images_in

    files = images_in(folder)
    chosen = [files[number] for number in spread(len(files), most)]
    source = FolderTiles(chosen, model.card.input_size, image_scale(model, mpp, None))
    return source.draw(range(len(source)), None)


def _tell(measured: Sequence[Calibration]) -> None:
    for one in measured:
        name = " | ".join(str(one.spec[what]) for what in COMBINED)
        typer.echo(f"{name}: {one.in_words}")
        if one.shown is not None:
            typer.echo(f"  of tiles of {one.target}, {100 * one.shown:.0f} % show something")
        if not one.useful:
            typer.echo("  too few: maps are shown as without a calibration")
