"""What a map of one tile costs on this machine, measured by a few short passes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from napari_smoothsal.attribution.explainer import Explainer
from napari_smoothsal.attribution.network import Networks
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.models import Model

FEW, MORE = 1, 5
"""Samples that are measured; a map's time rises by the same for each."""

_REPEATS = 3


@dataclass(frozen=True)
class LayerCost:
    """Time of one map at one layer.

    Attributes
    ----------
    layer
        Its name.
    seconds
        Of one tile, with the spec's samples.
    method, samples, tile_px, device, precision
        Under which conditions.
    """

    layer: str
    seconds: float
    method: str
    samples: int
    tile_px: int
    device: str
    precision: str


def layer_costs(
    model: Model, layers: Sequence[str], compute: Compute | None = None
) -> list[LayerCost]:
    """What maps with the default settings cost, one tile at a time, one layer at a time.

    Parameters
    ----------
    model
        Of the maps; what it takes to make it ready is not counted.
    layers
        Names.
    compute
        Device and precision; the default settings where None.

    Returns
    -------
    list of LayerCost
        The time with few samples and what each further one adds, the best of three measurements
        of each.
    """
    compute = compute or Compute()
    networks = Networks(model)
    side = model.card.input_size
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, len(model.card.mean), side, side, generator=generator)
    found = []
    for layer in layers:
        spec = SaliencySpec(layer=layer)
        assert isinstance(spec.samples, int)
        explainers = [
            Explainer(
                model,
                [spec.model_copy(update={"samples": samples})],
                compute,
                "tiles",
                warn=False,
                networks=networks,
            )
            for samples in (FEW, MORE)
        ]
        few, more = (_best(explainer, image) for explainer in explainers)
        each = max(0.0, (more - few) / (MORE - FEW))
        device = explainers[0].device
        found.append(
            LayerCost(
                layer,
                few + each * (spec.samples - FEW),
                spec.method,
                spec.samples,
                side,
                str(device.device),
                device.precision,
            )
        )
    return found


def _best(explainer: Explainer, image: torch.Tensor) -> float:
    """Seconds; the first pass of a network prepares what later ones use."""
    seconds = []
    for place in range(_REPEATS + 1):
        start = time.perf_counter()
        # Another image each time: decisions are remembered.
        explainer.explain((image + place / 8).remainder(1.0), [(place,)])
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
