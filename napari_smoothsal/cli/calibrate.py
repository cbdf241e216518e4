"""``smoothsal calibrate``: normal tissue in, limits below which a model's maps are blank out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_smoothsal.cli.app import DONE, SOME_FAILED, command, complain
from napari_smoothsal.cli.chosen_model import model_flags
from napari_smoothsal.cli.evaluate_options import ModelName, Surrogate
from napari_smoothsal.cli.flags import settings_flags, settings_from
from napari_smoothsal.cli.specs import COMBINED, at_first_layer, image_scale, specs_from
from napari_smoothsal.core.calibration import (
    LEAST_SHOWN,
    Calibration,
    CalibrationCheck,
    spread,
)
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec

if TYPE_CHECKING:
    import torch

    from napari_smoothsal.models import Model


@command("calibrate", after="nothing was written; the same command begins again")
@settings_flags(SaliencySpec, CalibrationCheck, Compute, repeated=COMBINED)
@model_flags()
def calibrate(
    model: ModelName,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images of normal tissue, with its sub-folders, in which the target "
            "does not occur. Unset: the tiles beside the model."
        ),
    ] = None,
    target_data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images with the target, with its sub-folders, to measure how many of "
            "them still show something."
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
    calibration for each combination. The exit code is 1 where --target-data say that limits of one
    of them leave too little to see: runs do not use those.
    """
    specs = specs_from(given)
    check, compute = settings_from(CalibrationCheck, given), settings_from(Compute, given)
    beside = out is None or out.absolute() == Path(model.name).absolute()
    place = out or _beside(model.name)
    from napari_smoothsal.evaluation import calibrate as measure
    from napari_smoothsal.models.calibration_file import calibration_place, save_calibrations

    loaded = model.load(surrogate)
    if "layer" not in given:
        specs = at_first_layer(specs, loaded)
    if not beside:
        calibration_place(place, loaded)
    scale = 1.0
    if data is not None or target_data is not None:
        scale = image_scale(loaded, mpp, None)
    elif mpp is not None:
        raise SettingError(f"--mpp {mpp} is of the images in --data; give that as well")
    normal = _normal_tissue(loaded, data, scale, tiles)
    typer.echo(f"{len(normal)} tiles of normal tissue, {check.copies} randomised copies")
    with_target = None if target_data is None else _tiles(loaded, target_data, scale, tiles)
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
    code = _tell(measured, "runs use" if beside else "`run --calibration` with the file uses")
    if target_data is not None:
        for unseen in dict.fromkeys(one.target for one in measured if one.shown is None):
            complain(
                "warning",
                f"none of the images with the target is predicted as {unseen!r}, so how many of "
                "them show something is not known",
            )
    typer.echo(f"written: {written}")
    raise typer.Exit(code)


def _beside(model: str) -> Path:
    """A model's own folder."""
    folder = Path(model)
    if folder.is_dir():
        return folder
    raise SettingError(
        f"--out: model {model!r} is no folder that could be written to; give --out FOLDER, and "
        "`smoothsal run --calibration FOLDER` then"
    )


def _normal_tissue(model: Model, data: Path | None, scale: float, most: int) -> torch.Tensor:
    if data is not None:
        return _tiles(model, data, scale, most)
    import torch

    if model.normal_tissue is None:
        raise SettingError(
            f"model {model.card.name!r} brings no tiles of normal tissue; give --data FOLDER"
        )
    return torch.from_numpy(model.normal_tissue).permute(0, 3, 1, 2).contiguous()


def _tiles(model: Model, folder: Path, scale: float, most: int) -> torch.Tensor:
    from napari_smoothsal.slides.folder_tiles import FolderTiles, mirrored_told
    from napari_smoothsal.slides.labelled import images_in

    files = images_in(folder)
    chosen = [files[number] for number in spread(len(files), most)]
    source = FolderTiles(chosen, model.card.input_size, scale, resampling=model.card.resampling)
    tiles = source.draw(range(len(source)), None)
    if source.completed:
        side = model.card.input_size
        said = f"images of {folder.name!r} are cut to {side} px, from their middle"
        complain("warning", f"{said}; {mirrored_told(len(source.completed))}")
    return tiles


def _tell(measured: Sequence[Calibration], users: str) -> int:
    """Print what came of it, the outcome first, and who uses it; returns the exit code."""
    unused = [one for one in measured if not one.useful]
    all_of = f"{len(measured)} map" + ("s" if len(measured) > 1 else "")
    if unused:
        typer.echo(f"not calibrated: limits of {len(unused)} of {all_of} are not used by runs")
    else:
        typer.echo(f"calibrated: {users} the limits of {all_of}")
    for one in measured:
        name = " | ".join(str(one.spec[what]) for what in COMBINED)
        if not one.useful:
            typer.echo(
                f"{name}: not used: above its limits {100 * (one.shown or 0):.0f} % of tiles of "
                f"{one.target} show something, and {100 * LEAST_SHOWN:.0f} % are asked for; its "
                "maps are shown as without a calibration"
            )
            continue
        typer.echo(f"{name}: {one.in_words}")
        if one.shown is not None:
            typer.echo(f"  of tiles of {one.target}, {100 * one.shown:.0f} % show something")
    return SOME_FAILED if unused else DONE
