"""``smoothsal demo``: the main job on the shipped sample slide, from reading to looking."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_smoothsal.cli.app import command

if TYPE_CHECKING:
    from napari_smoothsal.runs import Run
    from napari_smoothsal.slides import Slide

LAYERS = ("layer1", "layer2", "layer3")
DENOISINGS = ("original", "backward_hook")
PANEL_UM = 220


@command("demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the store and the picture.")] = Path("demo"),
    viewer: Annotated[
        bool, typer.Option(help="Open napari on the result, where there is a display.")
    ] = True,
) -> None:
    """Explain the sample slide with the demonstration model, and show the result."""
    from rich.console import Console

    from napari_smoothsal.core.specs import SaliencySpec
    from napari_smoothsal.models import load_model
    from napari_smoothsal.render.figure import comparison_figure
    from napari_smoothsal.render.tables import total_variation_table
    from napari_smoothsal.runs import explain_slide
    from napari_smoothsal.slides import open_slide
    from napari_smoothsal.slides.sample import sample_slide_path

    model = load_model("demo-classifier")
    specs = [SaliencySpec(layer=layer, denoising=d) for d in DENOISINGS for layer in LAYERS]
    store = out / "sample_slide.smoothsal.zarr"
    picture = out / "side_by_side.png"
    with sample_slide_path() as path, open_slide(path) as slide:
        run = explain_slide(slide, model, specs, store)
        keys = list(run.maps)
        rows = [keys[: len(LAYERS)], keys[len(LAYERS) :]]
        comparison_figure(slide, run, rows, _where_to_look(run, slide), picture)
    typer.echo(f"store:   {store}")
    typer.echo(f"picture: {picture}")
    Console().print(total_variation_table(run))
    if viewer and _has_display():
        if importlib.util.find_spec("napari") is None:
            typer.echo('napari is not installed: pip install "napari-smoothsal[viewer]"')
            return
        from napari_smoothsal.viewer.launch import show_run

        typer.echo("opening napari; close its window to end")
        show_run(store)


def _where_to_look(run: Run, slide: Slide) -> tuple[int, int, int, int]:
    """A square region around the tile that the model is surest about."""
    tiles = run.tiles
    best = tiles.loc[tiles[f"p_{next(iter(run.maps.values())).target}"].idxmax()]
    side = round(PANEL_UM / slide.require_mpp()[1])
    x = min(max(0, round(best.x_px + best.w_px / 2 - side / 2)), max(0, slide.width - side))
    y = min(max(0, round(best.y_px + best.h_px / 2 - side / 2)), max(0, slide.height - side))
    return (x, y, side, side)


def _has_display() -> bool:
    if os.environ.get("CI"):
        return False
    x_or_wayland = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return x_or_wayland or not sys.platform.startswith("linux")
