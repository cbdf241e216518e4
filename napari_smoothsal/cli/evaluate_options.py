"""Options that several evaluations have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_smoothsal.cli.chosen_model import SOURCES, ChosenModel
from napari_smoothsal.core.errors import SettingError

Store = Annotated[
    Path,
    typer.Argument(help="A store with maps. Without one, --layer computes it into --out."),
]
ModelName = Annotated[ChosenModel, typer.Option(help=SOURCES)]
OptionalModel = Annotated[ChosenModel | None, typer.Option(help=SOURCES)]
Surrogate = Annotated[
    Path, typer.Option(help="Surrogate of the model. Unset: the one beside the model.")
]
Data = Annotated[
    Path,
    typer.Option(
        help="Folder of images, with its sub-folders: with --masks, or with one sub-folder per "
        "class, or with --labels. They are at the model's resolution, or see --mpp and --resize."
    ),
]
Labels = Annotated[
    Path,
    typer.Option(
        help="CSV with columns `file` and `label`, in place of sub-folders; a label is a class "
        "name or index."
    ),
]
Rename = Annotated[
    list[str], typer.Option(help="A label and the model's class that it means, as label=class.")
]
Resize = Annotated[
    int,
    typer.Option(
        min=1,
        help="Resize labelled images until their shorter side has so many px, then cut tiles "
        "from the middle; for images without a resolution.",
    ),
]
Masks = Annotated[
    Path,
    typer.Option(
        help="Folder of masks with the images' base names, in sub-folders as theirs; pixels are "
        "class indices, 255 is left out."
    ),
]
Mpp = Annotated[
    float,
    typer.Option(
        help="Micrometres per pixel of images, or of the slide's level 0 if the file is wrong."
    ),
]
Out = Annotated[
    Path, typer.Option(help="Folder for tables, pictures and a store that is computed.")
]
TileCount = Annotated[
    int,
    typer.Option(
        min=1,
        help="So many tiles are looked at, drawn by chance, at most. Unset: 12; for a --table 20.",
    ),
]
OUT = Path("evaluation")
Copies = Annotated[
    int, typer.Option(min=1, max=100, help="Random copies that maps are compared with.")
]


def check_apart(data: Path | None, out: Path) -> None:
    """Refuse to write pictures to where the next run of the command would read them as tiles.

    Raises
    ------
    SettingError
        If ``out`` is within ``data``.
    """
    if data is not None and out.resolve().is_relative_to(data.resolve()):
        raise SettingError(
            f"--out {out} is within --data, whose images, and those of its sub-folders, are all "
            "tiles; choose a folder beside it"
        )


OF_MAPS = (
    *("layer", "denoising", "method", "samples", "sigma", "seed", "jitter", "reduction"),
    *("denoising_option", "method_option"),
)
"""Flags of a spec where several maps are compared; what they explain is no choice there."""
