"""Make the pictures and tables of docs/localisation.md: are maps on the right nuclei?

    python docs/localisation.py [--work FOLDER] [MODEL ...]

Explains the sample slide with every model below at its layers and measures the maps against the
slide's nuclei. Stores stay in the work folder, so that a second call computes what is new only.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import product
from pathlib import Path

import pandas as pd
import torch

import napari_smoothsal as ss
from napari_smoothsal.render.localisation_figure import localisation_figure
from napari_smoothsal.render.words import plain
from napari_smoothsal.slides.sample import sample_outlines_path, sample_slide_path

CONTROL = "demo-classifier with random weights"
"""What maps look like that know nothing: whatever it reaches is due to the tissue alone."""

STAGES = ("layer1", "layer2", "layer3")
MODELS = [
    ("demo-segmenter", (*(f"encoder.{x}" for x in STAGES), "decoder.blocks.1", "decoder.blocks.2")),
    ("demo-classifier", STAGES),
    ("demo-classifier-robust", STAGES),
    # The last layer before each pooling, at the strides of the others' stages.
    ("demo-vgg", ("features.13", "features.20", "features.27")),
    (CONTROL, STAGES),
]
"""(model, layers); a line more is a picture and a table more."""

DENOISINGS = ("original", "backward_hook")
METHODS = ("gradient", "activation_x_gradient")

HERE = Path(__file__).parent
BEGIN, END = "<!-- table: made by docs/localisation.py -->", "<!-- end of table -->"

RANKED = {
    "pixels: AUROC": "pixel_auroc",
    "of magnitudes": "pixel_auroc_magnitude",
    "nuclei: AUROC": "nucleus_auroc",
    "of magnitudes ": "nucleus_auroc_magnitude",
    "nuclei: AP": "nucleus_ap",
}
PLACED = {
    "class rims": "enrichment_magnitude_class_rim",
    "class interiors": "enrichment_magnitude_class_interior",
    "other rims": "enrichment_magnitude_other_rim",
    "other interiors": "enrichment_magnitude_other_interior",
    "rim / interior": "rim_over_interior_magnitude_class",
}


def main() -> None:
    """Compute, measure, draw, write."""
    options = _options()
    chosen = [(m, layers) for m, layers in MODELS if not options.models or m in options.models]
    options.work.mkdir(parents=True, exist_ok=True)
    frames = [_measured(model, layers, options.work) for model, layers in chosen]
    for frame in frames:
        localisation_figure(frame, HERE / "localisation" / _picture(frame))
    page = HERE / "localisation.md"
    text = page.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    table = "\n\n".join(_markdown(frame) for frame in frames)
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def _measured(name: str, layers: tuple[str, ...], work: Path) -> pd.DataFrame:
    model = _model(name)
    specs = [
        ss.SaliencySpec(layer=layer, denoising=denoising, method=method)
        for layer, denoising, method in product(layers, DENOISINGS, METHODS)
        if denoising == "original" or model.layer(layer).strided_convs_above
    ]
    with sample_slide_path() as slide, sample_outlines_path() as truth:
        store = work / f"{name.replace(' ', '_')}.smoothsal.zarr"
        run = ss.explain_slide(slide, model, specs, store)
        return ss.localisation(run, truth)


def _model(name: str) -> ss.Model:
    if name != CONTROL:
        return ss.load_model(name)
    model = ss.load_model(name.split()[0])
    torch.manual_seed(0)
    for module in model.module.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return ss.Model(model.module, model.card.model_copy(update={"name": name}))


def _picture(frame: pd.DataFrame) -> str:
    return frame.iloc[0]["model"].replace(" ", "_") + ".png"


def _markdown(frame: pd.DataFrame) -> str:
    first = frame.iloc[0]
    caption = (
        f"Map of \u201c{first['target']}\u201d; {first['nuclei_of_class']} "
        f"nuclei \u201c{first['class']}\u201d, {first['nuclei_other']} others, "
        f"{first['blocks']} blocks; by chance AUROC is 0.5 and AP {first['nucleus_floor']:.2f}."
    )
    picture = f"![{first['model']}: bars by layer](localisation/{_picture(frame)})"
    heading = f"### {first['model']}"
    return "\n\n".join((heading, caption, picture, _table(frame, RANKED), _table(frame, PLACED)))


def _table(frame: pd.DataFrame, columns: dict[str, str]) -> str:
    lines = [
        "| " + " | ".join(("layer", "denoising", "method", *map(str.strip, columns))) + " |",
        "|" + "---|" * (3 + len(columns)),
    ]
    for _, row in frame.iterrows():
        layer = f"{row['layer']}, {row['um_per_px']:.3g} um/px"
        cells = [layer if row["rim_resolved"] else f"{layer} \\*"]
        cells += [plain(row["denoising"]), plain(row["method"])]
        cells += [_cell(row, column) for column in columns.values()]
        if columns is PLACED:
            cells[-1] += f" [{row['outlined_class']:.2f} / {row['filled_class']:.2f}]"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: pd.Series, column: str) -> str:
    return f"{row[column]:.2f} ({row[f'{column}_low']:.2f}-{row[f'{column}_high']:.2f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="some of the models only")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "smoothsal-localisation"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
