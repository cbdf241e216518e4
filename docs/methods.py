"""Make docs/methods/: one picture of each method, of one place of the sample slide.

    python docs/methods.py [NAME ...]

The methods, formulas and costs are in docs/methods.md. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image

import napari_smoothsal as ss
from napari_smoothsal.attribution import METHODS
from napari_smoothsal.attribution.base import ImageMethod
from napari_smoothsal.render.figure import comparison_figure
from napari_smoothsal.slides.sample import sample_slide_path

FOLDER = Path(__file__).with_suffix("")
MODEL, LAYER, TARGET, SAMPLES = "demo-classifier", "layer2", "tumour", 8
CENTRE_UM, SIDE_UM = (1270.0, 1290.0), 220.0
QUALITY = 88
"""Of a JPEG: no fault is seen, in a third of a PNG's bytes."""


def picture_of(method: str, slide: ss.Slide, model: ss.Model, folder: Path) -> None:
    """Explain the place by a method, and draw it beside the tissue."""
    at_the_image = isinstance(METHODS[method], ImageMethod)
    spec = ss.SaliencySpec(
        layer="input" if at_the_image else LAYER, method=method, samples=SAMPLES, target=TARGET
    )
    y, x = (
        (centre - SIDE_UM / 2) / mpp
        for centre, mpp in zip(CENTRE_UM, slide.require_mpp(), strict=True)
    )
    height, width = (SIDE_UM / mpp for mpp in slide.require_mpp())
    region = (round(x), round(y), round(width), round(height))
    run = ss.explain_slide(
        slide, model, [spec], folder / f"{method}.smoothsal.zarr", region=region, progress=False
    )
    path = folder / f"{method}.png"
    # As they are: few methods have limits measured, and pictures are to be compared.
    comparison_figure(slide, run, [list(run.maps)], region, path, calibrated=False)
    with Image.open(path) as picture:
        picture.convert("RGB").save(FOLDER / f"{method}.jpg", quality=QUALITY, optimize=True)


def main() -> None:
    """Each method in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", metavar="NAME", choices=[[], *METHODS])
    model = ss.load_model(MODEL)
    with (
        sample_slide_path() as path,
        ss.open_slide(path) as slide,
        tempfile.TemporaryDirectory() as folder,
    ):
        for method in parser.parse_args().methods or METHODS:
            picture_of(method, slide, model, Path(folder))
            print(method, flush=True)


if __name__ == "__main__":
    main()
