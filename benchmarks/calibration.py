"""Calibrated limits of demo-classifier on held-out tissue: what stays blank, what is still shown?

    python benchmarks/calibration.py --out benchmarks/results/calibration_2_cores.json

Normal and tumour tiles that nothing was trained or calibrated on, as they are and with 10 % more
or less of each dye; randomised copies that were not among those calibrated on, of both kinds of
tile. Per calibration that is shipped beside the model: the share of normal tiles, and of the
copies' tiles, that show anything; the share of planted tumour nuclei of which anything is shown, in
tiles with p(tumour) of 0.9 or more; beside it the shares of other nuclei there and of all the
rest's pixels. And what limits of maps alone would do, whatever the score: the conformal limit of
the normal tiles' largest magnitudes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from machine import machine
from numpy.typing import NDArray
from scipy import stats

import napari_smoothsal as ss
from napari_smoothsal.attribution import Explainer
from napari_smoothsal.attribution.reduction import reduce_channels
from napari_smoothsal.core.calibration import Calibration
from napari_smoothsal.core.checks import Randomisation
from napari_smoothsal.evaluation.blocks import blocks_of
from napari_smoothsal.evaluation.conformal import conformal_limit
from napari_smoothsal.evaluation.randomisation import randomised
from napari_smoothsal.evaluation.stain_jitter import stained
from napari_smoothsal.models import Model
from napari_smoothsal.sample_data.normal_tissue import MPP
from napari_smoothsal.sample_data.tiles import render_tile_and_nuclei
from napari_smoothsal.sample_data.training import as_tensor

MODEL, TARGET = "demo-classifier", 1
NORMAL_SEED, TUMOUR_SEED, COPY_SEED = 7_300_000, 7_400_000, 50_000
SURE = 0.9
LEAST_PX = 40
"""Of a nucleus: less is a sliver at the edge of the tile."""
MAPPED = 60
"""Normal tiles for the limit of maps alone."""
STAINS = tuple(product((0.9, 1.1), repeat=2))
COMPUTE = ss.Compute(device="cpu", precision="fp32")


class Seen(NamedTuple):
    """Probabilities (n,) of the target, and maps (n, h, w) by spec: zero where no tile passes."""

    probability: NDArray[np.float64]
    maps: list[NDArray[np.float32]]


def seen(
    model: Model, specs: list[ss.SaliencySpec], tiles: torch.Tensor, passing: float = -1.0
) -> Seen:
    """Maps are computed of tiles above a probability alone: the others show nothing."""
    decided = Explainer(model, [], COMPUTE, "slide", warn=False)
    decisions = [decided.explain(part, [(0,)] * len(part)).decision for part in tiles.split(16)]
    probability = torch.cat([d.probabilities[:, TARGET] for d in decisions]).double().numpy()
    chosen = np.flatnonzero(probability > passing).tolist()
    maps: list[NDArray[np.float32]] = []
    explainer = Explainer(model, specs, COMPUTE, "slide", warn=False) if chosen else None
    for start in range(0, len(chosen), 16):
        part = chosen[start : start + 16]
        result = explainer.explain(tiles[part], [(n,) for n in part])
        for k, spec in enumerate(explainer.specs):
            found = reduce_channels(result.specs[k].maps, spec.reduction).numpy()
            if len(maps) == k:
                maps.append(np.zeros((len(tiles), *found.shape[1:]), np.float32))
            maps[k][part] = found
    return Seen(probability, maps or [np.zeros((len(tiles), 1, 1), np.float32) for _ in specs])


def visible(found: Seen, index: int, one: Calibration) -> NDArray[np.bool_]:
    """(n, h, w): what is shown."""
    passing = found.probability > (one.probability or 0)
    return (np.abs(found.maps[index]) > one.limit) & passing[:, None, None]


def share(shown: NDArray[np.bool_]) -> dict[str, float]:
    """Of tiles that show anything, with the exact binomial interval."""
    hits, n = int(shown.sum()), len(shown)
    interval = stats.binomtest(hits, n).proportion_ci(0.95)
    return {"share": hits / n, "low": interval.low, "high": interval.high, "n": n}


def of_copies(shares: list[float], rng: np.random.Generator) -> dict[str, float]:
    """Mean over copies, with an interval over copies: tiles of one are alike."""
    drawn = rng.choice(shares, (2000, len(shares))).mean(1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {"share": float(np.mean(shares)), "low": low, "high": high, "n": len(shares)}


def nuclei(
    shown: NDArray[np.bool_], numbers: NDArray[np.int32], sure: Iterable[int]
) -> dict[str, float]:
    """Shares of what is there of which anything is shown."""
    hits: dict[str, list[bool]] = {"tumour_nuclei": [], "other_nuclei": []}
    rest = []
    for tile in sure:
        stride = numbers.shape[1] // shown.shape[1]
        # Layer pixel i is centred on tile pixel i x stride.
        nearest = np.rint(np.arange(numbers.shape[1]) / stride).astype(int)
        nearest = np.minimum(nearest, shown.shape[1] - 1)
        large = shown[tile][np.ix_(nearest, nearest)]
        rest.append(large[numbers[tile] == 0].mean())
        for number, px in zip(*np.unique(numbers[tile], return_counts=True), strict=True):
            if number and px >= LEAST_PX:
                which = "tumour_nuclei" if number > 0 else "other_nuclei"
                hits[which].append(bool(large[numbers[tile] == number].any()))
    found = {name: float(np.mean(values)) for name, values in hits.items()}
    return found | {"n_tumour_nuclei": len(hits["tumour_nuclei"]), "rest_px": float(np.mean(rest))}


def rendered(first: int, count: int, tumour: bool) -> tuple[torch.Tensor, NDArray[np.int32]]:
    pairs = [render_tile_and_nuclei(first + i, MPP, tumour) for i in range(count)]
    return as_tensor(np.stack([image for image, _ in pairs])), np.stack([n for _, n in pairs])


def measure(normal_tiles: int, tumour_tiles: int, copies: int, copy_tiles: int) -> dict[str, Any]:
    model = ss.load_model(MODEL)
    limits = list(model.calibrations)
    fields = [{k: v for k, v in one.spec.items() if k != "noisy"} for one in limits]
    specs = [ss.SaliencySpec(**spec, target=TARGET) for spec in fields]
    normal, _ = rendered(NORMAL_SEED, normal_tiles, False)
    tumour, numbers = rendered(TUMOUR_SEED, tumour_tiles, True)
    gate = min(one.probability or 0 for one in limits)
    found = {"as it is": (seen(model, specs, normal, gate), seen(model, specs, tumour))}
    for stain in STAINS:
        found[f"{stain}"] = (
            seen(model, specs, stained(normal, *stain), gate),
            seen(model, specs, stained(tumour, *stain)),
        )
    shown_by_copies: list[list[float]] = [[] for _ in specs]
    some = torch.cat([normal[: copy_tiles // 2], tumour[: copy_tiles - copy_tiles // 2]])
    for seed in range(COPY_SEED, COPY_SEED + copies):
        copy = randomised(model, blocks_of(model), Randomisation(seed=seed), normal[:64])
        theirs = seen(copy, specs, some, gate)
        for index, one in enumerate(limits):
            shown_by_copies[index].append(float(visible(theirs, index, one).any((1, 2)).mean()))
    alone_on = seen(model, specs, normal[:MAPPED])
    rng, rows = np.random.default_rng(0), []
    _, plain_tumour = found["as it is"]
    sure = np.flatnonzero(plain_tumour.probability >= SURE)
    for index, one in enumerate(limits):
        kept = {
            stain: share(visible(pair[0], index, one).any((1, 2))) for stain, pair in found.items()
        }
        still = {
            stain: nuclei(visible(pair[1], index, one), numbers, sure)
            for stain, pair in found.items()
        }
        alone = conformal_limit(
            np.abs(alone_on.maps[index]).max((1, 2)).astype(np.float64), one.error_rate
        )
        of_maps = nuclei(np.abs(plain_tumour.maps[index]) > alone, numbers, sure)
        rows.append(
            {
                "layer": one.spec["layer"],
                "method": one.spec["method"],
                "useful": one.useful,
                "limit": one.limit,
                "probability": one.probability,
                "normal_tiles": kept["as it is"],
                "normal_tiles_worst_stain": max(kept.values(), key=lambda x: x["share"]),
                "copies": of_copies(shown_by_copies[index], rng),
                "sure_tumour_tiles": share(visible(plain_tumour, index, one).any((1, 2))[sure]),
                **still["as it is"],
                "tumour_nuclei_worst_stain": min(s["tumour_nuclei"] for s in still.values()),
                "tumour_nuclei_by_the_map_alone": of_maps["tumour_nuclei"],
            }
        )
    return {
        "tiles": {"normal": normal_tiles, "tumour": tumour_tiles, "sure": len(sure)},
        "copies": {"number": copies, "tiles_each": copy_tiles},
        "calibrations": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--normal-tiles", type=int, default=200)
    parser.add_argument("--tumour-tiles", type=int, default=40)
    parser.add_argument("--copies", type=int, default=30)
    parser.add_argument("--copy-tiles", type=int, default=8)
    given = parser.parse_args()
    if given.normal_tiles < 19:
        parser.error("--normal-tiles: give 19 or more")
    begun = time.perf_counter()
    found = measure(given.normal_tiles, given.tumour_tiles, given.copies, given.copy_tiles)
    found |= {"machine": machine(), "seconds": round(time.perf_counter() - begun)}
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    table = pd.json_normalize(found.pop("calibrations"))
    print(table.drop(columns=[c for c in table if c.endswith(".n")]).round(3).to_string())
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
