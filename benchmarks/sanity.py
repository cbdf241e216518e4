"""Sanity checks of demo-classifier: which maps depend on what it has learned?

    python benchmarks/sanity.py --out benchmarks/results/sanity.json

Twelve synthetic tiles that no model was trained on, half of them tumour; maps without noise
samples, at the image and at a hidden layer, as they are and with `centred_hook`; blocks are
randomised from the output down, in three random copies of the model, whose least and greatest
similarity stand beside the mean. Beside the verdicts: what is published of the method (Adebayo et
al. 2018 of gradients and guided backpropagation; Sixt et al. 2020, When Explanations Lie, of the
others), and what becomes of the network when its BatchNorms' statistics are refitted, kept or
reset.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from machine import machine

import napari_smoothsal as ss
from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.checks import Randomisation, SanityCheck
from napari_smoothsal.evaluation.blocks import blocks_of
from napari_smoothsal.evaluation.map_similarity import Similarity
from napari_smoothsal.evaluation.randomisation import randomised
from napari_smoothsal.evaluation.sanity import Found, sanity
from napari_smoothsal.evaluation.sanity_verdict import sanity_verdicts
from napari_smoothsal.sample_data.tiles import render_tiles
from napari_smoothsal.sample_data.training import TEST_SEED, as_tensor

MODEL, MPP, TILES, COPIES = "demo-classifier", 0.5, 12, 3
LAYERS = ("input", "layer2")
DENOISINGS = ("original", "centred_hook")
PUBLISHED = {
    "gradient": "depends",
    "activation_x_gradient": "depends",
    "lrp_epsilon": "depends",
    "grad_cam": "depends",
    "guided_backprop": "does not",
    "deconvnet": "does not",
    "deep_taylor": "does not",
    "lrp_alpha_beta": "does not",
}
LAST = ("conv1",)
SHOWN = ["layer", "method", "denoising", "measure", "similarity", "copies_low", "copies_high",
         "chance", "chance_high", "others", "kept", "verdict"]  # fmt: skip
COMPUTE = ss.Compute(device="cpu", precision="fp32")
MEASURES = list(Similarity._fields)


class Rendered:
    """Synthetic tiles."""

    def __init__(self, count: int) -> None:
        images, _ = render_tiles(TEST_SEED, count, MPP)
        self._images = as_tensor(images)

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        return f"tile {TEST_SEED + index}"

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        return self._images[list(indices)]


def specs() -> list[ss.SaliencySpec]:
    return [
        ss.SaliencySpec(layer=layer, method=method, denoising=denoising, samples=0)
        for layer in LAYERS
        for method in PUBLISHED
        for denoising in DENOISINGS
    ]


def grad_cams() -> list[ss.SaliencySpec]:
    """Grad-CAM where it is used, near the output, and where it is not."""
    return [
        ss.SaliencySpec(layer=layer, method="grad_cam", denoising="original", samples=0)
        for layer in ("layer2", "layer3", "layer4")
    ]


def what_is_left(model: ss.Model, tiles: Rendered, seeds: int) -> dict[str, Any]:
    """How much a copy without anything learned looks at its tiles, of what the model does."""
    images = tiles.images(range(len(tiles)))
    spec = ss.SaliencySpec(
        layer="input", method="gradient", denoising="original", samples=0, target=1
    )

    def measured(of: ss.Model) -> tuple[float, float]:
        explainer = Explainer(of, [spec], COMPUTE, "tiles", warn=False)
        found = explainer.explain(images, [(i,) for i in range(len(images))])
        logits = found.decision.logits
        return float((logits[:, 1] - logits[:, 0]).std()), float(found.specs[0].maps.abs().mean())

    spread, gradient = measured(model)
    report: dict[str, Any] = {"trained": {"spread_of_scores": spread, "mean_gradient": gradient}}
    for statistics in ("refitted", "kept", "reset"):
        copies = [
            randomised(
                model, blocks_of(model), Randomisation(seed=s, statistics=statistics), images
            )
            for s in range(seeds)
        ]
        values = torch.tensor([measured(copy) for copy in copies])
        report[statistics] = {
            "spread_of_scores": float(values[:, 0].median()),
            "mean_gradient": float(values[:, 1].median()),
        }
    return report


def rounded(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(frame.to_json(orient="records", double_precision=3))


def courses(found: Found) -> pd.DataFrame:
    """Mean similarity after each block, over tiles and copies."""
    keys = ["layer", "method", "denoising", "depth", "block"]
    return found.similarities.groupby(keys, sort=False)[MEASURES].mean().reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tiles", type=int, default=TILES)
    parser.add_argument("--copies", type=int, default=COPIES, help="random copies of the model")
    arguments = parser.parse_args()
    model, tiles = ss.load_model(MODEL), Rendered(arguments.tiles)
    report: dict[str, Any] = {
        "machine": machine(),
        "torch": torch.__version__,
        "model": MODEL,
        "tiles": len(tiles),
        "copies": arguments.copies,
        "running_statistics": what_is_left(model, tiles, seeds=5),
    }
    print(report, flush=True)
    everything, cams = specs(), grad_cams()
    every_block = SanityCheck(copies=arguments.copies)
    last = every_block.model_copy(update={"blocks": LAST})
    runs: dict[str, tuple[list[ss.SaliencySpec], SanityCheck]] = {
        "cascading": (everything, every_block),
        "cascading, statistics kept": (everything, last.model_copy(update={"statistics": "kept"})),
        "Grad-CAM": (cams, last),
        "Grad-CAM, below the layer too": (cams, last.model_copy(update={"below": True})),
    }
    for name, (asked, how) in runs.items():
        print(name, flush=True)
        found = sanity(model, tiles, asked, how, COMPUTE)
        table = sanity_verdicts(found)
        table.insert(3, "published", table["method"].map(PUBLISHED))
        report[name] = {"verdicts": rounded(table)}
        if how.blocks is None:
            report[name]["courses"] = rounded(courses(found))
        print(table[SHOWN].round(3).to_string(), flush=True)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
