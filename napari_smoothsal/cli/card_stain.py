"""``smoothsal card stain``: what a card says of colours, measured on pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_smoothsal.cli.app import command
from napari_smoothsal.cli.card import cards
from napari_smoothsal.core.errors import SettingError


@command("stain", after="nothing was changed", of=cards)
def stain(
    tiles: Annotated[
        list[Path] | None,
        typer.Argument(
            exists=True,
            help="Tiles that the model was trained or validated on, or folders of them, as they "
            "were scanned, before any stain normalisation: their `stain_range`.",
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            metavar="PICTURE",
            exists=True,
            dir_okay=False,
            help="A picture filled with tissue, to whose stain every tile is brought: its "
            "`stain_normalisation`. Take the one that the model was trained with.",
        ),
    ] = None,
    method: Annotated[
        Literal["macenko", "reinhard"] | None,
        typer.Option(help="How tiles are brought to that stain. Unset: macenko."),
    ] = None,
) -> None:
    """Print a card's fields about stain, as JSON.

    Redirect it into a file, and give that as --card FILE to other commands, or put the fields
    into card.json.
    """
    if method is not None and target is None:
        raise SettingError(f"--method {method} is of a --target; give that as well")
    fields = {}
    if target is not None:
        import torch

        from napari_smoothsal.models.stain_normalisation import stain_target_of
        from napari_smoothsal.slides.labelled import read_picture

        picture = torch.from_numpy(read_picture(target).copy()).permute(2, 0, 1)
        found = stain_target_of(picture, method or "macenko")
        fields["stain_normalisation"] = found.model_dump(mode="json", exclude_none=True)
    if tiles:
        from napari_smoothsal.slides.labelled import read_picture
        from napari_smoothsal.slides.stain import stain_range_of

        pictures = (read_picture(file) for file in _files(tiles))
        fields["stain_range"] = stain_range_of(pictures).model_dump(mode="json")
    if not fields:
        raise SettingError("name tiles for stain_range, or a --target for stain_normalisation")
    typer.echo(json.dumps(fields, indent=2))


def _files(places: list[Path]) -> list[Path]:
    from napari_smoothsal.slides.labelled import images_in

    return [file for place in places for file in (images_in(place) if place.is_dir() else [place])]
