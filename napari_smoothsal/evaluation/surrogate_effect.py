"""What a surrogate does to maps and predictions: as it began, and as it was trained."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import torch

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.core.total_variation import total_variation
from napari_smoothsal.evaluation.prediction_difference import (
    PredictionDifference,
    masked_prediction_difference,
    prediction_difference,
)
from napari_smoothsal.models import Decision, Model
from napari_smoothsal.models.layers import main_layers
from napari_smoothsal.models.surrogate import Surrogate

_LAYERS = 3
_SAMPLES = 8
_AT_ONCE = 8


def surrogate_effect(
    model: Model, surrogates: Mapping[str, Surrogate], images: torch.Tensor, compute: Compute
) -> pd.DataFrame:
    """Total variation and prediction difference of the original and of each surrogate.

    Parameters
    ----------
    model
        Its own surrogate is not looked at.
    surrogates
        By what they are called.
    images
        (N, C, H, W) uint8: tiles that no surrogate was trained on.
    compute
        On what.

    Returns
    -------
    pandas.DataFrame
        A row for the original and one for each surrogate, means over tiles:
        ``difference_all_x100`` and ``difference_target_x100`` of probabilities, the target being
        what the original predicts, and ``tv_LAYER`` of the gradient at the last three main layers
        below a strided convolution.
    """
    there = {info.name: info for info in model.layers()}
    layers = [n for n in main_layers(list(there.values())) if there[n].strided_convs_above]
    rows = []
    for called, surrogate in {"original": None, **surrogates}.items():
        changed = model.with_network(model.module, surrogate)
        parts = [
            _part(changed, layers[-_LAYERS:], images[start : start + _AT_ONCE], start, compute)
            for start in range(0, len(images), _AT_ONCE)
        ]
        means = pd.concat(parts).mean()  # tiles that show only background have no difference
        rows.append({"network": called, **means})
    return pd.DataFrame(rows)


def _part(
    model: Model, layers: list[str], images: torch.Tensor, first: int, compute: Compute
) -> pd.DataFrame:
    """One row per tile."""
    denoising = "original" if model.surrogate is None else "bilinear_surrogate"
    maps = [
        SaliencySpec(
            layer=layer,
            method="gradient",  # as in Table 4
            samples=_SAMPLES,
            denoising=denoising,
            target="auto",
        )
        for layer in layers
    ]
    places = [(first + i,) for i in range(len(images))]
    columns = {}
    if model.surrogate is not None:
        # As in Table 3: all convolutions but the first are replaced.
        whole = maps[-1].model_copy(update={"samples": 0, "denoising_options": {"scope": "paper"}})
        seen = Explainer(model, [whole], compute, scope="tiles", warn=False).begin(images, places)
        difference = _difference(model, seen.decision, seen.explained[0])
        columns["difference_all_x100"] = 100 * difference.all_classes
        columns["difference_target_x100"] = 100 * difference.target_class
    found = Explainer(model, maps, compute, scope="tiles", warn=False).explain(images, places)
    for layer, of_layer in zip(layers, found.specs, strict=True):
        columns[f"tv_{layer}"] = total_variation(of_layer.maps)
    return pd.DataFrame({name: values.numpy() for name, values in columns.items()})


def _difference(model: Model, original: Decision, changed: Decision) -> PredictionDifference:
    if original.dense_probabilities is None or changed.dense_probabilities is None:
        return prediction_difference(
            original.probabilities, changed.probabilities, original.predicted
        )
    return masked_prediction_difference(
        original.dense_probabilities,
        changed.dense_probabilities,
        original.labels,
        model.readout.background_index,
    )
