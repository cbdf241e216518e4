"""Maps of the class that a model predicts for a tile, also of changed models and changed tiles.

What is compared must answer the same question: a changed network or tile may be decided otherwise,
and its map would then be of another class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution import METHODS, Explainer
from napari_smoothsal.attribution.base import options_of
from napari_smoothsal.attribution.reduction import reduce_channels
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.evaluation.paper import AT_ONCE, Tiles, chunks
from napari_smoothsal.models import Model


def one_precision(compute: Compute) -> Compute:
    """With ``precision="auto"`` made fp32: it might be another one for every network."""
    if compute.precision != "auto":
        return compute
    return compute.model_copy(update={"precision": "fp32"})


def parts_by_class(model: Model, tiles: Tiles, compute: Compute) -> Iterator[tuple[int, list[int]]]:
    """Numbers of tiles, `AT_ONCE` or fewer together, with the outcome that all of them have."""
    asked = Explainer(model, [], compute, scope="tiles")
    side = max(tiles.images([0]).shape[2:])
    predicted: list[int] = []
    for part in chunks(len(tiles), min(AT_ONCE, asked.batch_size(side))):
        decision = asked.explain(tiles.images(part), [(i,) for i in part]).decision
        predicted += decision.predicted.tolist()
    for label in sorted(set(predicted)):
        members = [index for index, outcome in enumerate(predicted) if outcome == label]
        for part in chunks(len(members)):
            yield label, [members[i] for i in part]


def kept_target(model: Model, spec: SaliencySpec, label: int) -> SaliencySpec:
    """A spec that asks about an outcome, unless it names a class itself.

    Of models that decide per pixel the score is summed over all pixels: those that are predicted
    as the class may be others, or none.
    """
    changes: dict[str, object] = {}
    if spec.target in (None, "auto"):
        changes["target"] = model.readout.score_of(label)[0]
    if model.readout.dense:
        changes["method_options"] = {**spec.method_options, "target_pixels": "all"}
    return spec.model_copy(update=changes)


def maps_for(model: Model, spec: SaliencySpec, maps: torch.Tensor, outcome: int) -> torch.Tensor:
    """Raw maps (B, C, h, w) of an outcome's score, turned round where they speak against it.

    A single logit speaks against its background, and so do its maps where what is below zero is
    the opposite of what is above. Other methods, and squares and variances of noise samples, have
    no sign to turn. Channels are combined afterwards.
    """
    turned = _against(model, outcome) and spec.aggregate == "mean" and _opposed(spec)
    return -maps if turned else maps


def of_the_other(model: Model, spec: SaliencySpec, outcome: int) -> bool:
    """Whether maps that are to explain an outcome are of the other one, and cannot be turned."""
    of_a_class = METHODS[spec.method].of_the_target
    return _against(model, outcome) and of_a_class and not _opposed(spec)


def _against(model: Model, outcome: int) -> bool:
    return model.readout.score_of(outcome)[1] < 0


def _opposed(spec: SaliencySpec) -> bool:
    method = METHODS[spec.method]
    return method.opposed(options_of(method, spec.method_options))


def reduced_maps(
    model: Model,
    specs: Sequence[SaliencySpec],
    images: torch.Tensor,
    indices: Sequence[int],
    compute: Compute,
    outcome: int,
    stop: Callable[[], bool] | None = None,
) -> list[list[NDArray[np.float32]]]:
    """Maps (h, w) of tiles (n, C, H, W), channels combined, by spec; noise is by index.

    Raises
    ------
    Stopped
        Once ``stop`` answers True.
    """
    explainer = Explainer(model, list(specs), compute, "tiles", warn=False)
    found: list[list[NDArray[np.float32]]] = [[] for _ in specs]
    for part in chunks(len(images), explainer.batch_size(max(images.shape[2:]))):
        places = [(indices[i],) for i in part]
        result = explainer.explain(images[list(part)], places, stop)
        for maps, spec, own in zip(found, explainer.specs, result.specs, strict=True):
            speaking = maps_for(model, spec, own.maps, outcome)
            maps += list(reduce_channels(speaking, spec.reduction).numpy())
    return found


def named(spec: SaliencySpec) -> dict[str, object]:
    """What tables call a spec."""
    return {
        "layer": spec.layer_label,
        "method": spec.method_label,
        "denoising": spec.denoising_label,
    }
