"""Make the table of variants in docs/denoising.md: does any beat a plain blur as smooth?

    python docs/denoising_variants.py [--work FOLDER]

Hooks with jitter, half a filter, and the rest, each against the original's map of the same tile,
blurred until it is as smooth: by insertion, deletion, and on the tumour nuclei of synthetic tiles.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from denoising import COMPUTE, EXACT, SAMPLES, arguments, kept, markdown, write
from scipy.stats import bootstrap

import napari_smoothsal as ss
from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.denoise.gaussian_blur import blurred_to, smoothness
from napari_smoothsal.evaluation.insertion_deletion import Pieces, area_under, cells_of, curves
from napari_smoothsal.evaluation.ranking import auroc
from napari_smoothsal.sample_data.masks import TUMOUR
from napari_smoothsal.sample_data.segmentation_tiles import render_masked_tile
from napari_smoothsal.sample_data.training import TEST_SEED, as_tensor

MODEL = "demo-classifier"
LAYERS = ("layer1", "layer2")
TILES = 40
SHARE = (0.02, 0.6)
"""Of a tile's pixels that are tumour nucleus: there is something to find, and something else."""
SIDE = 224
HALF = {"denoising_options": {"strength": 0.5}}
VARIANTS: tuple[dict[str, Any], ...] = (
    {"denoising": "original"},
    {"denoising": "original", "jitter": True},
    {"denoising": "bilinear_surrogate"},
    {"denoising": "bilinear_surrogate", "jitter": True},
    {"denoising": "backward_hook"},
    {"denoising": "backward_hook", "jitter": True},
    {"denoising": "forward_hook"},
    {"denoising": "forward_hook", "jitter": True},
    {"denoising": "centred_hook"},
    {"denoising": "centred_hook", "jitter": True},
    {"denoising": "centred_hook", **HALF},
    {"denoising": "centred_hook", **HALF, "jitter": True},
)
SCORES = ("nuclei", "insertion", "deletion")


def measured() -> pd.DataFrame:
    """One row per tile, layer and variant: each score of the map less that of the blur."""
    model = ss.load_model(MODEL)
    target = model.card.class_names.index("tumour")
    specs = [
        ss.SaliencySpec(layer=layer, method="deeplift", samples=SAMPLES, target=target, **variant)
        for layer in LAYERS
        for variant in VARIANTS
    ]
    explainer = Explainer(model, specs, COMPUTE, scope="tiles", warn=False)
    asked = Explainer(model, [], EXACT, scope="tiles")
    how, mean = Perturbation(), torch.tensor(model.card.mean)

    def predict(images: torch.Tensor) -> torch.Tensor:
        places = [(i,) for i in range(len(images))]
        return asked.explain(images.clamp(0, 1), places).decision.probabilities[:, target]

    def scores(maps: torch.Tensor, layer: str, pieces: Pieces, truth: torch.Tensor) -> list[float]:
        info, reduced = model.layer(layer), maps.sum(1)
        cells = cells_of(reduced, info.stride, info.centre, SIDE, SIDE // 4)[0].flatten()
        order = cells.argsort().numpy()
        covered = truth.flatten().numpy()[order]
        importance = cells_of(reduced, info.stride, info.centre, SIDE, how.cells)[0]
        taken = curves(predict, pieces, importance, how)
        ranked = float(auroc(covered, 1 - covered))
        return [ranked, area_under(taken.insertion), area_under(taken.deletion)]

    rows = []
    for number, (image, mask) in enumerate(_tiles()):
        images = as_tensor(image[None])
        truth = torch.from_numpy((mask == TUMOUR).astype(np.float64))
        truth = torch.nn.functional.avg_pool2d(truth[None], 4)[0]
        pieces = Pieces.of(images[0].float() / 255, mean, how)
        found = explainer.explain(images, [(number,)])
        for layer in LAYERS:
            here = [m for s, m in zip(specs, found.specs, strict=True) if s.layer == layer]
            labels = [s.denoising_label for s in specs if s.layer == layer]
            plainly = scores(here[0].maps, layer, pieces, truth)
            for label, maps in zip(labels, here, strict=True):
                own = scores(maps.maps, layer, pieces, truth)
                control, sigma = blurred_to(here[0].maps, smoothness(maps.maps))
                blurred = scores(control, layer, pieces, truth)
                row: dict[str, Any] = {"tile": number, "layer": layer, "variant": label}
                row |= {"sigma": float(sigma[0]), "tv": float(smoothness(maps.maps)[0])}
                for name, value, less, before in zip(SCORES, own, blurred, plainly, strict=True):
                    row |= {name: value, f"{name}_blur": value - less}
                    row |= {f"{name}_original": value - before}
                rows.append(row)
        print(number, flush=True)
    return pd.DataFrame(rows)


def _tiles() -> list[tuple[Any, Any]]:
    """Unseen synthetic tiles, their middle, with some tumour nuclei."""
    found: list[tuple[Any, Any]] = []
    seed = TEST_SEED
    while len(found) < TILES:
        image, mask = (part[16 : 16 + SIDE, 16 : 16 + SIDE] for part in render_masked_tile(seed))
        seed += 1
        if SHARE[0] <= (mask == TUMOUR).mean() <= SHARE[1]:
            found.append((np.ascontiguousarray(image), mask))
    return found


def table(frame: pd.DataFrame) -> str:
    """Mean of each score, and of what it is more than the blur's, with its interval."""
    rows = []
    for (layer, variant), part in frame.groupby(["layer", "variant"], sort=False):
        cells = [layer, variant.replace("_", " "), f"{part['tv'].mean():.2f}"]
        for score in SCORES:
            cells.append(f"{part[score].mean():.3f}")
            cells.append("" if variant == "original" else _interval(part[f"{score}_blur"]))
        rows.append(cells)
    head = ["layer", "denoising", "TV"]
    for title in ("pixels on tumour nuclei: AUROC", "insertion", "deletion"):
        head += [title, "less the blur's"]
    return markdown(head, rows)


def _interval(values: pd.Series) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where all values are equal there is no interval
        drawn = bootstrap((values.to_numpy(),), np.mean, n_resamples=5000, rng=0)
    low, high = drawn.confidence_interval
    text = f"{values.mean():+.3f} ({low:+.3f} to {high:+.3f})"
    return f"**{text}**" if low * high > 0 else text


if __name__ == "__main__":
    write("variants", table(kept(arguments(__doc__).work / "variants.csv", measured)))
