"""What maps say below zero: nothing, where they never are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from networks import every_model

import napari_smoothsal as ss
from napari_smoothsal.attribution.base import verbs_of
from napari_smoothsal.attribution.reduction import reduce_channels

TWO = {"iterations": 2}
CPU = ss.Compute(device="cpu", precision="fp32")


@pytest.mark.filterwarnings("ignore:.*have the area asked for")
@pytest.mark.parametrize(
    ("changes", "verbs"),
    [
        ({}, ("raises", "lowers")),
        ({"reduction": "absolute"}, ("raises or lowers", "")),
        ({"reduction": "positive"}, ("raises", "")),
        ({"aggregate": "square"}, ("raises or lowers", "")),
        ({"method": "activation_x_gradient"}, ("supports", "speaks against")),
        ({"aggregate": "variance"}, ("raises or lowers", "")),
        ({"method": "grad_cam"}, ("supports", "speaks against")),
        ({"method": "grad_cam", "method_options": {"relu": True}}, ("supports", "")),
        ({"method": "meaningful_perturbation", "method_options": TWO}, ("decides", "")),
        ({"method": "extremal_perturbation", "method_options": TWO}, ("decides", "")),
        ({"method": "igos", "method_options": TWO}, ("decides", "")),
        ({"method": "igos_plus", "method_options": TWO}, ("decides", "")),
        ({"method": "igos_plus_plus", "method_options": TWO}, ("decides", "")),
    ],
    ids=str,
)
def test_a_map_without_values_below_zero_has_no_word_for_them(
    changes: dict[str, Any], verbs: tuple[str, str]
) -> None:
    masks = verbs[0] == "decides"
    layer, samples = ("input", 0) if masks else ("layer2", 3)
    spec = ss.SaliencySpec(
        layer=layer, method="gradient", samples=samples, denoising="original", target="a"
    )
    spec = spec.model_copy(update=changes)
    assert verbs_of(spec) == verbs
    tiles = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = ss.explain_tiles(every_model()["resnet"], tiles, spec, CPU).maps
    values = reduce_channels(maps, spec.reduction)
    assert (values.min() < -1e-6) == bool(verbs[1])  # less is rounding
