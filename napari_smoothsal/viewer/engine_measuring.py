"""What the engine process measures of a region: total variation by layer, and predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer, Stopped
from napari_smoothsal.core.checks import weakly_predicted
from napari_smoothsal.core.total_variation import total_variation
from napari_smoothsal.denoise.gaussian_blur import blurred
from napari_smoothsal.evaluation.prediction_difference import (
    masked_prediction_difference,
    prediction_difference,
)
from napari_smoothsal.models import Decision, Model
from napari_smoothsal.runs.plan import RunPlan, plan_tiles
from napari_smoothsal.slides import Slide
from napari_smoothsal.slides.reader import TileReader
from napari_smoothsal.viewer.asked import Measure, Predict
from napari_smoothsal.viewer.told import Measured, Predicted, Roughness

Stop = Callable[[], bool]


def measured(request: Measure, slide: Slide, model: Model, stop: Stop) -> Iterator[Measured | None]:
    """Total variation of every layer and denoising, one more batch each time; None: stopped."""
    asked = request.explain
    # A channel is one of its layer; others are measured whole, and so is that one.
    whole = asked.spec.model_copy(update={"reduction": "sum", "channel": None})
    specs = [
        whole.model_copy(update={"layer": layer, "denoising": denoising, "denoising_options": {}})
        for denoising, layer in product(request.denoisings, request.layers)
    ]
    explainer = Explainer(model, specs, asked.compute, scope="slide", warn=False)
    plan = plan_tiles(slide, model, asked.tiling, region=asked.region)
    chosen = _spread(len(plan), request.most_tiles)
    noise, blurred_noise = _references(model, request.layers, plan.grid.tile_px)
    found: list[list[float]] = [[] for _ in specs]
    done = 0
    batch_size = explainer.batch_size(plan.grid.tile_px)
    for images, places, tried in _batches(slide, plan, chosen, batch_size, explainer.margin):
        done += tried
        if places:
            try:
                result = explainer.explain(images, places, stop, margin=explainer.margin)
            except Stopped:
                yield None
                return
            for values, maps in zip(found, result.specs, strict=True):
                rough = total_variation(maps.maps).numpy()
                good = (maps.explained_px.numpy() > 0) & np.isfinite(rough)
                values += rough[good].tolist()
        rows = tuple(
            Roughness(
                layer=spec.layer,
                denoising=spec.denoising,
                mean=float(np.mean(values)) if values else None,
                std=float(np.std(values)) if values else None,
            )
            for spec, values in zip(specs, found, strict=True)
        )
        yield Measured(
            id=request.id,
            rows=rows,
            tiles=done,
            of=len(chosen),
            noise=noise,
            blurred_noise=blurred_noise,
            complete=done == len(chosen),
        )
    if not len(chosen):
        yield Measured(
            id=request.id,
            rows=(),
            tiles=0,
            of=0,
            noise=noise,
            blurred_noise=blurred_noise,
            complete=True,
        )


def predicted(request: Predict, slide: Slide, model: Model, stop: Stop) -> Predicted | None:
    """What the model, and its denoised version, predict; None: stopped."""
    asked = request.explain
    spec = asked.spec.model_copy(update={"samples": 0, "jitter": False})
    explainer = Explainer(model, [spec], asked.compute, scope="slide", warn=False)
    plan = plan_tiles(slide, model, asked.tiling, region=asked.region)
    names, outcomes = model.card.class_names, model.readout.outcomes
    changes = explainer.plans[0].denoising.changes_network
    original: list[torch.Tensor] = []
    denoised: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    every: list[float] = []
    target: list[float] = []
    size = explainer.batch_size(plan.grid.tile_px)
    chosen = _spread(len(plan), asked.max_tiles or len(plan))
    for images, places, _ in _batches(slide, plan, chosen, size, 0):
        if stop():
            return None
        if not places:
            continue
        explanation = explainer.begin(images, places)
        before, after = explanation.decision, explanation.explained[0]
        good = torch.isfinite(before.probabilities).all(1)
        good &= torch.isfinite(after.probabilities).all(1)
        original.append(before.probabilities[good])
        labels.append(before.predicted[good])
        if changes:
            denoised.append(after.probabilities[good])
            distance = _difference(before, after, model)
            every += distance[0]
            target += distance[1]
    # Means over pixels are no one probability of a tile.
    weak = sum(int(weakly_predicted(p.numpy()).sum()) for p in original)
    weak *= not model.readout.dense
    counts = np.bincount(torch.cat(labels).numpy()) if labels else np.zeros(0, np.int64)
    return Predicted(
        id=request.id,
        tiles=sum(map(len, labels)),
        of=len(plan),
        original=_means(names, original),
        denoised=_means(names, denoised) if changes else None,
        difference_all=_mean(every),
        difference_label=_mean(target),
        predicted={name: int(n) for name, n in zip(outcomes, counts.tolist(), strict=False) if n},
        weak=weak,
    )


def _difference(before: Decision, after: Decision, model: Model) -> tuple[list[float], list[float]]:
    """Of all classes, and of the one that the model predicts, for each tile."""
    if before.dense_probabilities is None or after.dense_probabilities is None:
        found = prediction_difference(before.probabilities, after.probabilities, before.predicted)
    else:
        found = masked_prediction_difference(
            before.dense_probabilities,
            after.dense_probabilities,
            before.labels,
            model.readout.background_index,
        )
    return found.all_classes.tolist(), found.target_class.tolist()


def _batches(
    slide: Slide, plan: RunPlan, chosen: NDArray[np.int64], size: int, margin: int
) -> Iterator[tuple[torch.Tensor, list[tuple[int, int]], int]]:
    """Readable tiles (n, 3, H, W), their places, and how many were tried."""
    cuts = [chosen[i : i + size] for i in range(0, len(chosen), size)]
    boxes = [[plan.grid.box(int(i), margin) for i in cut] for cut in cuts]
    with TileReader(slide, plan.grid.tile_px + 2 * margin, resampling=plan.resampling) as reader:
        for cut, tiles in zip(cuts, reader.batches(boxes), strict=True):
            good = np.array([error is None for error in tiles.errors])
            places = [(int(y), int(x)) for y, x in plan.grid.origins[cut[good]]]
            yield torch.from_numpy(tiles.images[good]).permute(0, 3, 1, 2), places, len(cut)


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """So many of the numbers below a count, evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _references(
    model: Model, layers: tuple[str, ...], tile_px: int
) -> tuple[dict[str, float], dict[str, float]]:
    """White noise as large as each layer's map, and the same blurred by one pixel."""
    noise, smooth = {}, {}
    for layer in layers:
        shape = (1, 8, *model.map_size(layer, tile_px))
        values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        noise[layer] = float(total_variation(values)[0])
        smooth[layer] = float(total_variation(blurred(values, 1.0))[0])
    return noise, smooth


def _means(names: tuple[str, ...], parts: list[torch.Tensor]) -> dict[str, float]:
    if not sum(map(len, parts)):
        return {}
    return dict(zip(names, torch.cat(parts).double().mean(0).tolist(), strict=True))


def _mean(values: list[float]) -> float | None:
    finite = [v for v in values if np.isfinite(v)]
    return 100 * float(np.mean(finite)) if finite else None
