"""``smoothsal trust``: the trust card of one map of one tile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_smoothsal.cli.app import command
from napari_smoothsal.cli.chosen_model import model_flags
from napari_smoothsal.cli.evaluate_options import ModelName, Resize, Surrogate
from napari_smoothsal.cli.flags import settings_flags, settings_from
from napari_smoothsal.cli.specs import at_first_layer, image_scale, region_from, spec_from
from napari_smoothsal.core.checks import TrustCheck
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.core.specs import Compute, SaliencySpec

if TYPE_CHECKING:
    import torch

    from napari_smoothsal.models import Model

LEAST_TISSUE = 0.1
"""Of a tile: below it there is next to nothing to explain."""


@command("trust", after="nothing was written")
@settings_flags(SaliencySpec, Compute, Perturbation, TrustCheck)
@model_flags("demo-classifier")
def trust(
    source: Annotated[
        Path,
        typer.Argument(
            help="Slide, with --at or --region; or an image of one tile, with --mpp or --resize "
            "where it is not as the model takes it."
        ),
    ],
    model: ModelName,
    surrogate: Surrogate | None = None,
    at: Annotated[
        str | None, typer.Option(help="X,Y of the tile's middle, in level-0 px of the slide.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="X,Y,W,H in level-0 px; the tile is the middle of it.")
    ] = None,
    mpp: Annotated[
        float | None,
        typer.Option(
            help="Micrometres per pixel of an image, or of the slide's level 0 if the file is "
            "wrong."
        ),
    ] = None,
    resize: Resize | None = None,
    upsample: Annotated[
        bool,
        typer.Option("--upsample", help="Accept what is coarser than the model wants."),
    ] = False,
    label: Annotated[
        str | None, typer.Option(help="True class of the tile, by name, if it is known.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for trust.json, trust.md and trust.png.")
    ] = Path("trust"),
    *,
    given: dict[str, Any],
) -> None:
    """Test whether one map is faithful to its model: what was tested, how, and what came of it.

    Explains the class that the model predicts unless --target names another, at --layer or, where
    none is given, a layer of about 4 um per pixel. A prediction of low confidence, or a wrong one
    (--label), is explained and flagged.
    """
    place = _place(at, region)
    if place is not None and resize is not None:
        raise SettingError(
            f"--resize {resize} is of an image, and a slide has a place; leave it away"
        )
    if upsample and place is None and mpp is None:
        raise SettingError("--upsample is of a known resolution; give --mpp, or leave it away")
    spec = spec_from(given)
    how, compute = settings_from(TrustCheck, given), settings_from(Compute, given)
    perturbation = settings_from(Perturbation, given)
    from rich.console import Console
    from rich.progress import Progress

    from napari_smoothsal.evaluation.trust import trust_card
    from napari_smoothsal.render.trust_figure import write_trust

    loaded = model.load(surrogate)
    if "layer" not in given:
        (spec,) = at_first_layer([spec], loaded)
    caveats: list[str] = []
    if place is None:
        image, name, caveats = _of_image(source, loaded, mpp, resize, upsample)
    else:
        image, name = _of_slide(source, loaded, place, mpp, upsample)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("")

        def told(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        card = trust_card(
            loaded, image, spec, label=label, name=name, how=how, perturbation=perturbation,
            compute=compute, known_scale=place is not None or mpp is not None, caveats=caveats,
            told=told,
        )  # fmt: skip
        bar.update(task, description="done", completed=1, total=1)
    written = write_trust(card, out)
    for test in card.tests:
        typer.echo(f"{test.result:>10}  {test.name}: {test.found} (asked for: {test.threshold})")
    typer.echo(card.verdict)
    for path in written:
        typer.echo(f"written: {path}")


def _place(at: str | None, region: str | None) -> tuple[float, float] | None:
    """The middle of the tile."""
    if at is not None and region is not None:
        raise SettingError("give the tile's place once: by --at or by --region")
    if region is not None:
        x, y, w, h = region_from(region) or (0, 0, 0, 0)
        return x + w / 2, y + h / 2
    if at is None:
        return None
    try:
        x_text, y_text = at.split(",")
        return float(x_text), float(y_text)
    except ValueError:
        raise SettingError(
            f"--at {at!r} is not X,Y: two numbers in level-0 px, e.g. 1000,2000"
        ) from None


def _of_slide(
    path: Path, model: Model, middle: tuple[float, float], mpp: float | None, upsample: bool
) -> tuple[torch.Tensor, str]:
    import torch

    from napari_smoothsal.slides import Box, open_slide
    from napari_smoothsal.slides.grid import model_scale
    from napari_smoothsal.slides.tissue import find_tissue

    with open_slide(path, mpp=mpp) as slide:
        side = model.card.input_size
        down, right = model_scale(slide, model.card.input_mpp, upsample)
        w, h = side * right, side * down
        x, y = middle[0] - w / 2, middle[1] - h / 2
        place = f"--at {middle[0]:g},{middle[1]:g}"
        inside = x >= 0 and y >= 0 and x + w <= slide.width and y + h <= slide.height
        if not inside:
            raise SettingError(
                f"{place}: the tile of {w:.0f} x {h:.0f} level-0 px around it reaches beyond the "
                f"slide, x 0 to {slide.width} and y 0 to {slide.height}; choose a place farther in"
            )
        box = Box(x, y, w, h)
        tissue = find_tissue(slide).fraction(box)
        if tissue < LEAST_TISSUE:
            raise SettingError(
                f"{place}: {100 * tissue:.0f} % of the tile is tissue, and there is nothing to "
                f"explain below {100 * LEAST_TISSUE:.0f} %; choose a place on tissue "
                "(`smoothsal info SLIDE --picture tissue.png` shows it)"
            )
        tile = slide.read_box(box, (side, side), model.card.resampling)
        pixels = torch.from_numpy(tile).movedim(-1, 0).contiguous()
    return pixels, f"tile from x {x:.0f}, y {y:.0f} (its upper left corner, level-0 px)"


def _of_image(
    path: Path, model: Model, mpp: float | None, resize: int | None, upsample: bool
) -> tuple[torch.Tensor, str, list[str]]:
    """The middle of an image, its name, and what to know of it.

    One that is smaller than a tile is completed by its mirror images.
    """
    from napari_smoothsal.slides.folder_tiles import FolderTiles
    from napari_smoothsal.slides.grid import COARSEST
    from napari_smoothsal.slides.labelled import SUFFIXES, picture_size

    if path.suffix.lower() not in SUFFIXES:
        raise SettingError(
            f"{path.name} is no image of one tile ({', '.join(sorted(SUFFIXES))}); of a slide give "
            "the tile's middle as --at X,Y"
        )
    side, (height, width) = model.card.input_size, picture_size(path)
    if mpp is None and resize is None and (height, width) != (side, side):
        wanted = "" if model.card.input_mpp is None else f" at {model.card.input_mpp:g} um per px"
        raise SettingError(
            f"{path.name} has {width} x {height} px, and model {model.card.name!r} takes tiles of "
            f"{side} x {side}{wanted}; give the image's micrometres per pixel as --mpp, --resize "
            f"{side} where it has none, or of a slide the tile's middle as --at X,Y"
        )
    scale = image_scale(model, mpp, resize)
    if scale < 1 / COARSEST and not upsample:
        raise SettingError(
            f"--mpp {mpp}: {path.name} is {1 / scale:.2g} times coarser than the "
            f"{model.card.input_mpp:g} um per pixel that model {model.card.name!r} wants; give a "
            "finer image, or accept enlarged pixels with --upsample"
        )
    tiles = FolderTiles([path], side, scale, resize, model.card.resampling)
    pixels = tiles.draw([0], None)[0]
    if not tiles.completed:
        return pixels, "image", []
    seen = " x ".join(f"{min(side, round(n / scale))}" for n in (width, height))
    caveat = (
        f"the image shows {seen} of the {side} x {side} px that the model takes, and mirror images "
        "complete it: the model sees what is not there"
    )
    return pixels, f"image ({seen} of {side} x {side} px, the rest mirrored)", [caveat]
