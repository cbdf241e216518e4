"""Integrated gradients and conductance: Captum, completeness, closed forms."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, LayerConductance, LayerIntegratedGradients
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
from networks import LAYERS, every_model, wrapped
from torch import nn
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.attribution import Explainer
from napari_smoothsal.attribution.noise import add_noise
from napari_smoothsal.core.errors import SettingError, UnknownNameError
from napari_smoothsal.models import Model

CASES = [(name, layer) for name in MODELS for layer in LAYERS[name]]
# Captum sees a layer's output after an in-place ReLU has overwritten it.
OVERWRITTEN = {("plain", "1"), ("plain", "3"), ("resnet", "bn1"), ("functional", "b")}


@pytest.mark.parametrize(("name", "layer"), [c for c in CASES if c not in OVERWRITTEN])
def test_integrated_gradients_equal_captums(name: str, layer: str) -> None:
    model = MODELS[name]
    images = tiles(2, model.card.input_size)
    ours = integrated(model, images, layer, steps=6, baseline="white")
    network = model.module.double()

    def flat(x):
        return network(x).flatten(1)

    oracle = (
        IntegratedGradients(flat)
        if layer == "input"
        else LayerIntegratedGradients(flat, network.get_submodule(layer))
    )
    expected = oracle.attribute(
        normalised(model, images),
        normalised(model, torch.ones(1, 3, 1, 1)).expand(2, -1, *images.shape[2:]),
        target=ours.target,
        n_steps=6,
        method="gausslegendre",
    )
    agree(ours.maps, expected.detach())


@pytest.mark.parametrize(
    ("name", "layer"),
    [*sorted(OVERWRITTEN), *(("unet", layer) for layer in ("stem", "deep", "decode"))],
)
def test_integrated_gradients_equal_a_plain_loop(name: str, layer: str) -> None:
    model = small_segmenter() if name == "unet" else MODELS[name]
    model.module.double()
    images = tiles(2, model.card.input_size)
    options = {"steps": 5, "baseline": "black"}
    options |= {"target_pixels": "all"} if name == "unet" else {}
    ours = explained(model, images, layer, "integrated_gradients", method_options=options, target=1)
    x = normalised(model, images)
    end = output_of(model, layer, x)
    start = output_of(model, layer, normalised(model, torch.zeros_like(images)))
    total = torch.zeros_like(end)
    for point, weight in zip(*np.polynomial.legendre.leggauss(5), strict=True):
        way = (start + (point + 1) / 2 * (end - start)).requires_grad_()
        score = above(model, layer, x, way)[:, 1].sum()
        total += weight / 2 * torch.autograd.grad(score, way)[0]
    agree(ours.maps, (end - start) * total)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("plain", "3"), ("resnet", "layer2.0"), ("functional", "b"), ("unet", "stem")],
)
@pytest.mark.parametrize("path", ["layer", "input"])
def test_the_map_adds_up_to_the_score_less_the_baselines(name: str, layer: str, path: str) -> None:
    model = small_segmenter() if name == "unet" else MODELS[name]
    images = tiles(1, model.card.input_size)
    options = {"target_pixels": "all"} if name == "unet" else {}

    def delta(steps: int) -> float:
        fields = {"method_options": {"steps": steps, "path": path, **options}, "target": 1}
        found = explained(model, images, layer, "integrated_gradients", **fields)
        return float((found.convergence_delta / found.maps.flatten(1).norm(dim=1)).max())

    assert delta(200) < 0.02


def test_what_goes_past_a_layer_is_missing_from_its_map() -> None:
    model, images = small_segmenter(), tiles(1, 64)
    fields = {"method_options": {"steps": 400, "target_pixels": "all"}, "target": 1}
    past = explained(model, images, "deep", "integrated_gradients", **fields)
    assert past.convergence_delta > 0.05 * past.maps.sum().abs()


def test_of_a_linear_network_one_step_is_exact() -> None:
    linear = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Flatten(), nn.Linear(4 * 8 * 8, 2))
    model, images = wrapped(linear, "a", "b", size=16), tiles(2, 16)
    ours = integrated(model, images, "0", steps=1, baseline="white")
    rise = linear[0].double()(normalised(model, images))
    rise = rise - linear[0](normalised(model, torch.ones_like(images)))
    weights = linear[2].double().weight[ours.target].reshape(2, 4, 8, 8)
    agree(ours.maps, (rise * weights).detach())
    for path in ("layer", "input"):
        found = integrated(model, images, "0", steps=3, path=path)
        assert (found.convergence_delta < 1e-6).all()


@pytest.mark.parametrize(("name", "layer"), [("plain", "0"), ("resnet", "layer1")])
def test_conductance_is_captums(name: str, layer: str) -> None:
    model = MODELS[name]
    images = tiles(2, model.card.input_size)
    ours = integrated(model, images, layer, steps=400, path="input", baseline="white")
    network = model.module.double()
    oracle = LayerConductance(lambda x: network(x).flatten(1), network.get_submodule(layer))
    expected = oracle.attribute(
        normalised(model, images),
        normalised(model, torch.ones_like(images)),
        target=ours.target,
        n_steps=400,
        method="riemann_middle",
    )
    agree(ours.maps, expected.detach(), 0.02)  # two quadratures of one integral


def test_at_the_input_both_paths_are_one() -> None:
    model, images = MODELS["plain"], tiles(2, 32)
    layer, image = (
        integrated(model, images, "input", steps=300, path=p) for p in ("layer", "input")
    )
    agree(layer.maps, image.maps.double(), 0.02)


def test_passes_of_any_size_make_the_same_map() -> None:
    model, images = MODELS["resnet"], tiles(3, 64)
    for method in ("integrated_gradients", "gradient_shap"):
        options = {"baseline": "white"}
        spec = SaliencySpec(
            layer="layer1", method=method, method_options=options, samples=3, denoising="original"
        )
        found = [
            explain_tiles(
                model, images, spec, Compute(precision="fp64", device="cpu", batch_size=b)
            )
            for b in (1, 5, 64)
        ]
        for other in found[1:]:
            agree(other.maps, found[0].maps.double(), 1e-6)
            assert torch.equal(other.samples, found[0].samples)
            assert torch.allclose(other.convergence_delta, found[0].convergence_delta, atol=1e-5)


def test_noise_samples_are_averaged() -> None:
    """One noise sample after the other, each as its own image without noise."""
    model, images = MODELS["plain"], tiles(2, 32)
    ours = explained(model, images, "0", "integrated_gradients", samples=3, seed=4, target=0)
    assert (ours.standard_error > 0).all() and (ours.samples == 3).all()
    x = normalised(model, images)
    bare = Model(
        model.module, model.card.model_copy(update={"mean": (0.0,) * 3, "std": (1.0,) * 3})
    )
    expected = []
    for sample in range(3):
        noisy = add_noise(x, [(0,), (1,)], 0.2, 4, [sample] * 2)
        explainer = Explainer(
            bare,
            [
                SaliencySpec(
                    layer="0",
                    method="integrated_gradients",
                    samples=0,
                    target=0,
                    denoising="original",
                )
            ],
            FP64,
            "tiles",
        )
        expected.append(explainer.explain(noisy, [(0,), (1,)]).specs[0].maps.double())
    agree(ours.maps, torch.stack(expected).mean(0))


def test_targets_share_their_passes_and_differ() -> None:
    model, images = MODELS["resnet"], tiles(2, 64)
    specs = [
        SaliencySpec(layer="layer2", method="integrated_gradients", samples=2, target=t)
        for t in (0, 1, "a-b", "unit:layer3:2")
    ]
    explainer = Explainer(model, specs, FP64, "tiles")
    assert len(explainer.walks) == 1
    together = explainer.explain(images, [(0,), (1,)])
    for spec, maps in zip(specs, together.specs, strict=True):
        alone = explain_tiles(model, images, spec, FP64)
        agree(maps.maps, alone.maps.double())
        assert torch.allclose(maps.convergence_delta, alone.convergence_delta, atol=1e-5)
    a, b, difference, _ = (m.maps for m in together.specs)
    agree(difference, (a - b).double(), 1e-5)


@pytest.mark.parametrize("denoising", ["backward_hook", "centred_hook", "forward_hook"])
@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_shap"])
def test_denoisings_reach_the_gradients_on_the_way(method: str, denoising: str) -> None:
    model, images = MODELS["resnet"], tiles(1, 64)
    options = {"method_options": {"baseline": "zero"}}
    plain = explained(model, images, "layer1", method, target=0, **options)
    smooth = explained(model, images, "layer1", method, target=0, denoising=denoising, **options)
    assert (plain.maps - smooth.maps).abs().max() > 0.05 * plain.maps.abs().max()


def test_noise_at_the_layer_is_on_the_way_of_that_layer_alone() -> None:
    model, images = MODELS["plain"], tiles(2, 32)
    fields = {"samples": 4, "noise_at": "layer", "target": 0}
    noisy = explained(model, images, "0", "integrated_gradients", **fields)
    still = explained(model, images, "0", "integrated_gradients", target=0)
    assert (noisy.standard_error > 0.01).all() and not torch.allclose(noisy.maps, still.maps)
    assert (noisy.convergence_delta < 0.1 * noisy.maps.sum((1, 2, 3)).abs()).all()
    with pytest.raises(SettingError, match="noise_at = 'input', or path = 'layer'"):
        explained(
            model, images, "0", "integrated_gradients", method_options={"path": "input"}, **fields
        )


def test_what_lies_below_the_layer_runs_once_for_a_sample() -> None:
    model, images = every_model()["functional"], tiles(1, 32)
    spec = SaliencySpec(
        layer="c", method="integrated_gradients", denoising="original", samples=0, target=0,
        method_options={"steps": 8},
    )  # fmt: skip
    explainer = Explainer(model, [spec], FP64.model_copy(update={"batch_size": 8}), "tiles")
    explainer.batch_size(32)
    rows: list[int] = []
    network = explainer.network.module
    explanation = explainer.begin(images, [(0,)])
    network.get_submodule("a").register_forward_hook(lambda _m, i, _o: rows.append(len(i[0])))
    explanation.step()
    # The baseline's and the tile's own pass, and the one that carries all steps.
    assert explanation.finished and sum(rows) <= 4


def test_jitter_and_samples_that_are_enough() -> None:
    model, images = MODELS["resnet"], tiles(2, 64)
    found = explained(
        model, images, "layer1", "integrated_gradients", samples="auto", jitter=True, target=0,
        max_standard_error=0.9, method_options={"steps": 2},
    )  # fmt: skip
    assert (found.samples % 4 == 0).all() and (found.samples < 200).all()
    assert (found.standard_error <= 0.9).all()


@pytest.mark.parametrize(
    ("method", "options", "error", "words"),
    [
        ("integrated_gradients", {"steps": 0}, SettingError, "steps = 0"),
        ("gradient_shap", {"draws": 0}, SettingError, "draws = 0"),
        ("integrated_gradients", {"baseline": "wite"}, UnknownNameError, "white"),
        ("integrated_gradients", {"baseline": "normal_tissue"}, SettingError, "gradient_shap"),
        ("integrated_gradients", {"path": "straight"}, SettingError, "layer"),
    ],
)
def test_options_that_cannot_work(method: str, options, error, words: str) -> None:
    with pytest.raises(error, match=words):
        explained(MODELS["plain"], tiles(1, 32), "0", method, method_options=options)
