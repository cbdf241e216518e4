"""What full colour means: measured on the model's own normal tissue, whatever the slide."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_smoothsal import Compute, SaliencySpec, load_model
from napari_smoothsal.attribution import Explainer, Stopped, full_colour, normal_magnitudes
from napari_smoothsal.attribution.full_colour import PERCENTILE
from napari_smoothsal.models import Model

SPECS = [
    SaliencySpec(layer="layer1", samples=0, target="tumour"),
    SaliencySpec(layer="layer1", samples=0, target="tumour", reduction="absolute"),
    SaliencySpec(layer="layer2", samples=0, target="normal", method="activation_x_gradient"),
]


@pytest.fixture
def model(classifier: Model) -> Model:
    rng = np.random.default_rng(0)
    classifier.normal_tissue = rng.integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    return classifier


def test_it_is_the_percentile_over_all_tiles(model: Model) -> None:
    assert model.normal_tissue is not None
    images = torch.from_numpy(model.normal_tissue).permute(0, 3, 1, 2)
    result = Explainer(model, SPECS, Compute(), "slide").explain(images, [(i,) for i in range(5)])
    wanted = []
    for spec, maps in zip(SPECS, result.specs, strict=True):
        values = maps.maps.abs().sum(1) if spec.reduction == "absolute" else maps.maps.sum(1).abs()
        wanted.append(np.percentile(values[values > 0], PERCENTILE))
    # In batches of two the maps are the same within rounding.
    found = normal_magnitudes(model, SPECS, Compute(batch_size=2), "slide")
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert found[1] != found[0] != found[2]


@pytest.mark.parametrize(
    ("method", "jitter", "within"),
    [
        ("gradient", False, 0.15),
        ("gradient", True, 0.3),
        ("activation_x_gradient", False, 0.15),
        ("activation_x_gradient", True, 0.35),
    ],
)
def test_few_samples_stand_for_many(
    method: str, jitter: bool, within: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SaliencySpec(layer="layer1", method=method, samples=20, target="tumour", jitter=jitter)
    model = load_model("demo-classifier")
    (few,) = normal_magnitudes(model, [spec], Compute(), "slide")
    monkeypatch.setattr(full_colour, "SAMPLES", 20)
    monkeypatch.setattr(full_colour, "FEWEST_JITTERED", 20)
    (many,) = normal_magnitudes(load_model("demo-classifier"), [spec], Compute(), "slide")
    assert few is not None and few != many
    assert few == pytest.approx(many, rel=within)


def test_it_hears_that_it_is_to_stop(model: Model) -> None:
    with pytest.raises(Stopped):
        normal_magnitudes(model, SPECS, Compute(), "slide", stop=lambda: True)


def test_it_is_measured_once_for_each_setting(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = normal_magnitudes(model, SPECS, Compute(), "slide")
    monkeypatch.setattr(Explainer, "explain", None)
    assert normal_magnitudes(model, SPECS[::-1], Compute(), "slide") == first[::-1]


def test_without_normal_tissue_there_is_none(classifier: Model) -> None:
    assert normal_magnitudes(classifier, SPECS, Compute(), "slide") == [None] * 3


def test_a_map_that_is_zero_all_over_it_has_no_limit(model: Model) -> None:
    for parameter in model.module.parameters():
        torch.nn.init.zeros_(parameter)
    assert normal_magnitudes(model, SPECS[:1], Compute(), "slide") == [None]
