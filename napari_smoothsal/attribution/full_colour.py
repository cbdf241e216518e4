"""How large the values of a map are on normal tissue: what full colour means, on every slide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch

from napari_smoothsal.attribution.base import METHODS, ImageMethod
from napari_smoothsal.attribution.explainer import Explainer
from napari_smoothsal.attribution.network import Networks
from napari_smoothsal.attribution.reduction import reduce_channels
from napari_smoothsal.core.specs import FEWEST_JITTERED, Compute, SaliencySpec
from napari_smoothsal.models import Model
from napari_smoothsal.models.targets import Scope

PERCENTILE = 99.9
"""Of the magnitudes on normal tissue. What lies above is seen there in 1 pixel of 1000."""
SAMPLES = 2
"""The percentile of so many noise samples is that of 20 within 15 %, with jitter within 35 %."""

_KNOWN: WeakKeyDictionary[Model, dict[str, float]] = WeakKeyDictionary()


def normal_magnitudes(
    model: Model,
    specs: Sequence[SaliencySpec],
    compute: Compute,
    scope: Scope,
    networks: Networks | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[float | None]:
    """The 99.9th percentile of a map's magnitudes on the model's tiles of normal tissue.

    Parameters
    ----------
    model, specs, compute, scope, networks
        As of `Explainer`. It is remembered for as long as the model is.

    stop
        Asked before every pass.

    Returns
    -------
    list
        One value for each spec; None where the model brings no normal tissue, where the map is
        zero all over it, and of methods that change the image.

    Raises
    ------
    Stopped
        Once ``stop`` answers True.
    """
    tissue = model.normal_tissue
    if tissue is None:
        return [None] * len(specs)
    quick = [_quick(spec) for spec in specs]
    keys = [f"{spec.model_dump_json()} {compute.model_dump_json()} {scope}" for spec in quick]
    known = _KNOWN.setdefault(model, {})
    new = {
        key: spec
        for key, spec in zip(keys, quick, strict=True)
        # Thousands of passes for each tile are too much for a legend.
        if key not in known and not isinstance(METHODS[spec.method], ImageMethod)
    }
    if new:
        explainer = Explainer(
            model, list(new.values()), compute, scope, warn=False, networks=networks
        )
        images = torch.from_numpy(tissue).permute(0, 3, 1, 2)
        size = explainer.batch_size(tissue.shape[1])
        batches = [
            explainer.explain(part, [(number, i) for i in range(len(part))], stop)
            for number, part in enumerate(images.split(size))
        ]
        for index, (key, spec) in enumerate(new.items()):
            parts = [reduce_channels(b.specs[index].maps, spec.reduction) for b in batches]
            known[key] = _percentile(torch.cat(parts))
    return [known.get(key) or None for key in keys]


def _quick(spec: SaliencySpec) -> SaliencySpec:
    """The same with few samples: it differs in its noise only."""
    least = FEWEST_JITTERED if spec.jitter else SAMPLES
    few = least if spec.samples == "auto" else min(spec.samples, least)
    return spec.model_copy(update={"samples": few, "seed": 0})


def _percentile(maps: torch.Tensor) -> float:
    """Without exact zeros, as of a run's maps: there is nothing to see."""
    values = np.abs(maps.numpy())
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.percentile(values, PERCENTILE)) if len(values) else 0.0
