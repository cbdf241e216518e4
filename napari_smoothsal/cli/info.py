"""``smoothsal info``: what a slide is, and where its tissue was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from napari_smoothsal.cli.app import command, complain

SURVEY_PX = 1024


@command("info", after="nothing was changed")
def info(
    slide: Annotated[
        str,  # a path would spoil URLs
        typer.Argument(
            metavar="SLIDE", help="A slide file, a folder with a DICOM slide, or a URL."
        ),
    ],
    mpp: Annotated[
        float | None, typer.Option(help="Micrometres per pixel of level 0, if the file is wrong.")
    ] = None,
    tissue: Annotated[
        str, typer.Option(help="`auto`, `all`, a GeoJSON file or a mask image.")
    ] = "auto",
    picture: Annotated[
        Path | None, typer.Option(help="Write a picture of the slide with its tissue outlined.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show size, resolution, levels and tissue of a slide."""
    from napari_smoothsal.slides import open_slide
    from napari_smoothsal.slides.info import describe
    from napari_smoothsal.slides.tissue import find_tissue

    with open_slide(slide, mpp=mpp) as opened:
        mask = find_tissue(opened, tissue)
        facts = describe(opened, mask)
        if picture is not None:
            from napari_smoothsal.render.tissue import write_tissue_picture

            write_tissue_picture(opened, mask, picture)
        damaged = float(opened.survey(SURVEY_PX)[1].mean())
        facts["damaged_share"] = round(damaged, 6)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    size = f"{facts['width']} x {facts['height']} px"
    if facts["mpp"]:
        y, x = facts["mpp"]
        size += f" at {y:.4g} x {x:.4g} um" if abs(y - x) > 1e-3 * y else f" at {y:.4g} um/px"
        millimetres = facts["width"] * x / 1000, facts["height"] * y / 1000
        size += f", {millimetres[0]:.1f} x {millimetres[1]:.1f} mm"
    else:
        size += ", resolution unknown: give --mpp where it is needed"
    typer.echo(f"{facts['name']}: {facts['vendor']}, {size}")
    for index, level in enumerate(facts["levels"]):
        typer.echo(
            f"  level {index}: {level['width']} x {level['height']} px "
            f"(1:{level['downsample']:.4g})"
        )
    share = facts["tissue_share"]
    if damaged:
        complain(
            "damaged",
            f"{100 * damaged:.1f} % of the slide cannot be read; it counts as tissue, so that a "
            "run lists its tiles as failed. Copy the file anew",
        )
    typer.echo(f"  tissue: {100 * share:.1f} % of the slide ({facts['tissue_source']})")
    if picture is not None:
        typer.echo(f"  picture: {picture}")
