"""Make the pictures of docs/trust.md with the command itself.

    python docs/trust.py [--work FOLDER]

Tiles are of the sample slide, the model is demo-classifier. Takes ten minutes on
two cores.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from napari_smoothsal.cli import registered
from napari_smoothsal.slides.sample import sample_slide_path

MODEL = ("--model", "demo-classifier")
METHODS = (
    *("gradient", "activation_x_gradient", "grad_cam", "guided_backprop", "deep_taylor"),
    *("occlusion", "rise"),
)
LAYERS = ("--layer", "input", "--layer", "layer2")
AT = "3054,1686"
"""In the middle of a tumour."""

HERE = Path(__file__).parent / "trust"


def smoothsal(*arguments: str) -> None:
    registered()([*arguments], standalone_mode=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "trust")
    work = parser.parse_args().work
    made = {
        "card.png": work / "card" / "trust.png",
        "sanity.png": work / "sanity" / "sanity.png",
        "faithfulness.png": work / "faithful" / "faithfulness.png",
    }
    with sample_slide_path() as slide:
        card = ("--layer", "layer2", "--method", "activation_x_gradient", "--label", "tumour")
        smoothsal("trust", str(slide), "--at", AT, *MODEL, *card, "--out", str(work / "card"))
    maps = ("--method", "gradient", "--method", "guided_backprop", "--method", "deep_taylor")
    few = ("--tiles", "2", "--copies", "2", "--out", str(work / "sanity"))
    smoothsal("evaluate", "--sanity", *MODEL, *LAYERS, *maps, *few)
    named = [part for method in METHODS for part in ("--method", method)]
    few = ("--tiles", "2", "--few-tiles", "2", "--out", str(work / "faithful"))
    smoothsal("evaluate", "--faithfulness", *MODEL, *LAYERS, *named, *few)
    HERE.mkdir(exist_ok=True)
    for name, source in made.items():
        shutil.copyfile(source, HERE / name)


if __name__ == "__main__":
    main()
