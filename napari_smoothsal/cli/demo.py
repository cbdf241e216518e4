"""``smoothsal demo``: the main job on the shipped sample slide, from reading to looking."""

from __future__ import annotations

import importlib.util
import os
import sys
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from napari_smoothsal.cli.app import command

LAYERS = ("layer1", "layer2", "layer3")
DENOISINGS = ("original", "centred_hook")
METHODS = ("gradient", "activation_x_gradient")
SHOWN = "activation_x_gradient"
BORDER = (2000, 900, 500, 500)
"""Where lymphoid tissue meets tumour on the sample slide: x, y, w, h in level-0 px."""


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
    specs = [
        SaliencySpec(layer=layer, denoising=denoising, method=method)
        for denoising, layer, method in product(DENOISINGS, LAYERS, METHODS)
    ]
    store = out / "sample_slide.smoothsal.zarr"
    picture = out / "side_by_side.png"
    with sample_slide_path() as path:
        with open_slide(path) as slide:
            run = explain_slide(slide, model, specs, store)
            shown = {key: run_map.spec for key, run_map in run.maps.items()}
            rows = [
                [key for key, spec in shown.items() if (spec.denoising, spec.method) == (d, SHOWN)]
                for d in DENOISINGS
            ]
            comparison_figure(slide, run, rows, BORDER, picture)
        typer.echo(f"store:   {store}")
        typer.echo(f"picture: {picture}")
        Console().print(total_variation_table(run))
        if viewer and _has_display():
            _show(store, path)
        elif viewer:
            typer.echo("there is no display, so napari was not opened")


def _show(store: Path, slide: Path) -> None:
    if importlib.util.find_spec("napari") is None:
        typer.echo('napari is not installed: pip install "napari-smoothsal[viewer]"')
        return
    from napari_smoothsal.viewer.launch import show_run

    typer.echo("opening napari; close its window to end")
    show_run(store, slide)


def _has_display() -> bool:
    if os.environ.get("CI"):
        return False
    x_or_wayland = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return x_or_wayland or not sys.platform.startswith("linux")
