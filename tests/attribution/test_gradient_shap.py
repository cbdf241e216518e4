"""GradientShap: the mean over baselines and places that are drawn."""

import numpy as np
import pytest
import torch
from explained_paths import (
    FP64,
    MODELS,
    above,
    agree,
    explained,
    integrated,
    normalised,
    output_of,
    tiles,
)
from networks import every_model

from napari_smoothsal import SaliencySpec
from napari_smoothsal.attribution import METHODS, Explainer
from napari_smoothsal.attribution.noise import place_seed
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models import Model


def test_gradient_shap_of_one_baseline_tends_to_integrated_gradients() -> None:
    model, images = MODELS["plain"], tiles(2, 32)
    many = {"baseline": "white", "draws": 1000}
    drawn = explained(model, images, "0", "gradient_shap", method_options=many)
    exact = integrated(model, images, "0", baseline="white", steps=400)
    difference = (drawn.maps - exact.maps).norm() / exact.maps.norm()
    assert difference < 0.05


def test_gradient_shap_is_the_mean_over_what_is_drawn() -> None:
    model, images, pool = MODELS["resnet"], tiles(1, 64), tiles(5, 64, seed=9)
    options = {"baseline": "custom", "draws": 12}
    fields = {"method_options": options, "target": 0, "baselines": pool, "seed": 3}
    found = explained(model, images, "layer2", "gradient_shap", **fields)
    drawn = METHODS["gradient_shap"].steps(
        METHODS["gradient_shap"].options(**options), place_seed(3, 0, (0,)), len(pool)
    )
    assert len(set(drawn.baselines.tolist())) > 2 and drawn.shares.std() > 0.2
    model.module.double()
    x = normalised(model, images)
    end, starts = (output_of(model, "layer2", v) for v in (x, normalised(model, pool)))
    total = torch.zeros_like(end)
    for share, start in zip(drawn.shares, starts[drawn.baselines], strict=True):
        way = (start + share * (end - start)).requires_grad_()
        score = above(model, "layer2", x, way)[:, 0].sum()
        total += (end - start) * torch.autograd.grad(score, way)[0] / 12
    agree(found.maps, total)


def test_where_the_rest_is_linear_gradient_shap_adds_up_exactly() -> None:
    model = MODELS["resnet"]
    found = explained(
        model,
        tiles(2, 64),
        "layer4",
        "gradient_shap",
        method_options={"baseline": "custom"},
        samples=3,
        baselines=tiles(5, 64, seed=9),
    )
    assert (found.convergence_delta < 1e-6).all() and (found.standard_error > 0).all()


def test_draws_belong_to_the_place() -> None:
    model, images = MODELS["plain"], tiles(1, 32).repeat(2, 1, 1, 1)
    spec = SaliencySpec(
        layer="0", method="gradient_shap", samples=0, method_options={"baseline": "white"}, target=0
    )
    explainer = Explainer(model, [spec], FP64, "tiles")
    here, there = explainer.explain(images, [(0, 0), (0, 32)]).specs[0].maps
    again = explainer.explain(images[:1], [(0, 32)]).specs[0].maps[0]
    assert not torch.equal(here, there) and torch.allclose(there, again, rtol=1e-6)


def test_draws_differ_from_sample_to_sample_without_noise() -> None:
    found = explained(
        MODELS["plain"], tiles(2, 32), "0", "gradient_shap", samples=6, sigma=0, target=0,
        method_options={"baseline": "white"},
    )  # fmt: skip
    assert (found.samples == 6).all() and (found.standard_error > 1e-3).all()


def test_a_pool_is_seen_once_and_in_parts() -> None:
    model, pool = MODELS["plain"], tiles(10, 32, seed=3)
    rows: list[int] = []
    sums = []
    spec = SaliencySpec(
        layer="0", method="gradient_shap", samples=0, target=0,
        method_options={"baseline": "custom", "draws": 1},
    )  # fmt: skip
    explainer = Explainer(model, [spec], FP64.model_copy(update={"batch_size": 4}), "tiles")
    explainer.batch_size(32)
    forward = explainer.network.module.forward
    explainer.network.module.forward = lambda x: (rows.append(len(x)), forward(x))[1]
    for start in (0, 2, 4):
        explainer.begin(tiles(2, 32, seed=start), [(start,), (start + 1,)], baselines=pool).step()
        assert max(rows) <= 4
        sums.append(sum(rows))
        rows.clear()
    assert sums[0] - sums[1] == len(pool) + 2  # two more to see what the layer cuts
    assert sums[1] == sums[2]


def test_normal_tissue_is_what_the_model_brings() -> None:
    model, images = every_model()["plain"], tiles(2, 48)
    with pytest.raises(SettingError, match="normal/"):
        explained(model, images, "0", "gradient_shap")
    tissue = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    brings = Model(model.module, model.card, normal_tissue=tissue)
    found = explained(brings, images, "0", "gradient_shap", method_options={"draws": 20}, target=0)
    assert found.maps.abs().max() > 0 and (found.convergence_delta > 0).all()
