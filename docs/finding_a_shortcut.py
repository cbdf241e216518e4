"""Make the picture of docs/finding_a_shortcut.md: what networks look at that learned a shortcut.

python benchmarks/shortcut.py --quick --work FOLDER     # makes the networks
python docs/finding_a_shortcut.py --work FOLDER
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import napari_smoothsal as ss
from napari_smoothsal.attribution.baselines import BASELINES
from napari_smoothsal.evaluation.artefacts import ARTEFACTS, found_in
from napari_smoothsal.evaluation.insertion_deletion import cells_of
from napari_smoothsal.render.colours import coloured
from napari_smoothsal.render.words import plain
from napari_smoothsal.sample_data.shortcuts import (
    SIDE,
    Network,
    Tissue,
    audited_tiles,
    model_of,
)

PICTURE = Path(__file__).with_suffix("") / "shortcuts.jpg"
MAPS = (("grad_cam", "layer4", "original"), ("deeplift", "input", "centred_hook"))
TOP = (6, 12)
FULL = 99.5
"""Percentile of a network's magnitudes that gets the full colour."""
COMPUTE = ss.Compute(device="cpu", precision="fp32")


def explained(model: ss.Model, images: torch.Tensor) -> tuple[list[np.ndarray], np.ndarray]:
    """Maps of each kind, at every pixel of the tiles, and the probability of tumour."""
    maps = []
    for method, layer, denoising in MAPS:
        spec = ss.SaliencySpec(
            layer=layer, method=method, denoising=denoising, samples=0, target="tumour-normal"
        )
        found = ss.explain_tiles(model, images, spec, COMPUTE)
        info = model.layer(layer)
        maps.append(cells_of(found.reduced, info.stride, info.centre, SIDE, SIDE).numpy())
    return maps, found.original_probabilities[:, 1].numpy()


def probability(model: ss.Model, image: torch.Tensor) -> float:
    """Of tumour, of an image (3, H, W) from 0 to 1."""
    spec = ss.SaliencySpec(layer="layer4", method="activation", denoising="original", samples=0)
    return float(ss.explain_tiles(model, image[None], spec, COMPUTE).probabilities[0, 1])


def row(axes: list[Axes], model: ss.Model, name: str, tiles: torch.Tensor, of: Tissue) -> None:
    """A tile of normal tissue that is called tumour, its maps, and what is left of it."""
    maps, called = explained(model, tiles)
    shows = found_in(tiles)[:, list(ARTEFACTS).index(name)].any((1, 2))
    wrong = np.flatnonzero(shows & (of.tumour == 0))
    index = int(wrong[called[wrong].argmax()])
    image, fine = tiles[index].float() / 255, maps[1][index]
    pictures = [(image, f"{called[index]:.2f}")]
    empty = BASELINES["blurred"].make(image[None], torch.zeros(1, 3, 1, 1))[0]
    for top, parts in zip(TOP, ((empty, image), (image, empty)), strict=True):
        chosen = torch.from_numpy(fine >= np.quantile(fine, 1 - top / 100))
        left = torch.where(chosen, parts[1], parts[0])
        pictures.append((left, f"{probability(model, left):.2f}"))
    axes[0].set_ylabel(plain(name), fontsize=9)
    for axis, (picture, said) in zip([axes[0], *axes[3:]], pictures, strict=True):
        axis.imshow(picture.movedim(0, -1).numpy())
        axis.set_xlabel(f"tumour {said}", fontsize=8, labelpad=2)
    grey = image.mean(0).numpy() * 0.5 + 0.5
    for axis, values in zip(axes[1:3], maps, strict=True):
        axis.imshow(grey, cmap="gray", vmin=0, vmax=1)
        axis.imshow(coloured(values[index], float(np.percentile(np.abs(values), FULL))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    with np.load(work / "tissue from 1000200.npz") as kept:
        of = Tissue(**kept)
    tiles = audited_tiles(of)
    figure = Figure(figsize=(7.6, 9.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(ARTEFACTS), 5)
    heads = ["normal tissue", "Grad-CAM, layer4", "DeepLift, image",
             f"only the top {TOP[0]} %", f"without the top {TOP[1]} %"]  # fmt: skip
    for axis, head in zip(axes[0], heads, strict=True):
        axis.set_title(head, fontsize=9)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for number, name in enumerate(ARTEFACTS):
        network = Network(name, 1 + number)
        kept, _ = torch.load(work / f"{network.name}.pt", weights_only=True)
        weights = {part: value.numpy() for part, value in kept.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            row(list(axes[number]), model_of(network, weights), name, tiles, of)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, pil_kwargs={"quality": 88, "optimize": True})


if __name__ == "__main__":
    main()
