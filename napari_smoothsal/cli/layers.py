"""``smoothsal layers``: the layers of a model at which a map can be computed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from napari_smoothsal.cli.app import command
from napari_smoothsal.cli.chosen_model import SOURCES, ChosenModel, model_flags


@command("layers", after="nothing was changed")
@model_flags()
def layers(
    model: Annotated[ChosenModel, typer.Argument(help=SOURCES)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List a model's layers with channels, stride, centre and what there is to denoise."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Column, Table

    loaded = model.load()
    found = loaded.layers()
    if as_json:
        typer.echo(json.dumps([asdict(info) for info in found], indent=2))
        return
    card = loaded.card
    typer.echo(f"{card.name}: {card.kind}, classes {', '.join(card.class_names)}")
    if card.intended_use:
        typer.echo(card.intended_use)
    for said in loaded.adaptations:
        typer.echo(said)
    widest = max(len(info.name) for info in found)
    # Names are there to be copied, so that they keep their width in narrow terminals, too.
    name = Column("layer", no_wrap=True, min_width=widest)
    table = Table(name, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("channels", "stride\npx", "um/px", "centre\npx", "strided\nconvs\nabove"):
        table.add_column(heading, no_wrap=True)
    for info in found:
        um = "" if card.input_mpp is None else f"{info.stride[0] * card.input_mpp:.3g}"
        centre = f"{info.centre[0]:g}"
        if info.centre_spread:
            centre += f" +- {info.centre_spread:g}"
        table.add_row(
            info.name,
            str(info.channels),
            f"{info.stride[0]:g}",
            um,
            centre,
            str(len(info.strided_convs_above)),
        )
    Console().print(table)
