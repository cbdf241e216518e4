"""The methods that draw, through `explain_tiles`: any kind of model, any batch, one map."""

import warnings

import pytest
import torch
from networks import every_model
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.attribution import METHODS, Explainer
from napari_smoothsal.attribution.base import options_of
from napari_smoothsal.attribution.perturbation import PerturbedTile
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models import Model

MODELS = {**every_model(), "u_net": small_segmenter()}
OPTIONS = {
    "rise": {"masks": 40, "cells": 4},
    "lime": {"samples": 40},
    "kernel_shap": {"samples": 40},
    "shapley_sampling": {"permutations": 4},
}


def explained(model: Model, images: torch.Tensor, method: str, batch: int = 3, **fields):
    options = OPTIONS[method] | ({} if method == "rise" else {"size_px": images.shape[-1] // 4})
    fields = {"denoising": "original", "samples": 0, **fields}
    spec = SaliencySpec(layer="input", method=method, method_options=options, **fields)
    return explain_tiles(
        model, images, spec, Compute(precision="fp64", device="cpu", batch_size=batch)
    )


def some_tiles(model: Model) -> torch.Tensor:
    side = model.card.input_size
    rough = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(6))
    return torch.nn.functional.interpolate(rough, (side, side), mode="bilinear")


@pytest.mark.parametrize("method", OPTIONS)
@pytest.mark.parametrize("network", MODELS)
def test_a_tile_has_the_same_map_in_any_batch(network: str, method: str) -> None:
    model = MODELS[network]
    images = some_tiles(model)
    ours = explained(model, images, method)
    assert ours.maps.shape == (3, 1, *images.shape[2:]) and torch.isfinite(ours.maps).all()
    assert (ours.maps.flatten(1).std(1) > 0).all() and (ours.standard_error > 0).all()
    again = explained(model, images, method, batch=1)
    assert torch.allclose(ours.maps, again.maps, atol=1e-6 * float(ours.maps.abs().max()))
    other = explained(model, images, method, seed=1)
    assert not torch.allclose(ours.maps, other.maps, atol=1e-3 * float(ours.maps.abs().max()))


@pytest.mark.parametrize("method", ["kernel_shap", "shapley_sampling"])
@pytest.mark.parametrize("network", ["plain", "resnet", "functional", "single_logit"])
def test_a_shapley_map_adds_up_to_the_score_less_the_fills(network: str, method: str) -> None:
    model = MODELS[network]
    images = some_tiles(model)
    ours = explained(model, images, method, target=0)
    mean = torch.tensor(model.card.mean).reshape(1, 3, 1, 1).expand_as(images)
    fills = explained(model, mean, method, target=0)
    rise = ours.logits[:, 0] - fills.logits[:, 0]
    assert torch.allclose(ours.maps.sum((1, 2, 3)), rise, rtol=1e-4, atol=1e-6)
    # Of a tile that is its own fill nothing is left to share.
    assert fills.maps.abs().max() <= 1e-6 * ours.maps.abs().max()


@pytest.mark.parametrize("method", OPTIONS)
def test_maps_of_two_targets_are_opposite_where_the_targets_are(method: str) -> None:
    model = MODELS["functional"]
    images = some_tiles(model)
    one, other = (explained(model, images, method, target=target) for target in ("a-b", "b-a"))
    assert torch.allclose(one.maps, -other.maps, atol=1e-6 * float(one.maps.abs().max()))


@pytest.mark.parametrize("method", OPTIONS)
def test_what_is_drawn_belongs_to_the_place(method: str) -> None:
    model = MODELS["functional"]
    images = some_tiles(model)[:1].repeat(2, 1, 1, 1)
    here, there = explained(model, images, method).maps
    assert not torch.equal(here, there)


def test_a_unit_and_a_changed_network_are_what_is_scored() -> None:
    model = MODELS["resnet"]
    images = some_tiles(model)[:1]
    mean = torch.tensor(model.card.mean).reshape(1, 3, 1, 1).expand_as(images)
    hooked = {"target": 0, "denoising": "forward_hook"}
    ours = explained(model, images, "kernel_shap", **hooked)
    plain = explained(model, images, "kernel_shap", target=0)
    rise = ours.logits[0, 0] - explained(model, mean, "kernel_shap", **hooked).logits[0, 0]
    assert torch.allclose(ours.maps.sum(), rise, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(ours.logits, plain.logits, rtol=1e-3)
    unit = explained(model, images, "kernel_shap", target="unit:layer3:2").maps
    seen = []
    network = model.module.double()
    handle = network.layer3.register_forward_hook(lambda _m, _i, o: seen.append(o[:, 2].mean()))
    std = torch.tensor(model.card.std).reshape(1, 3, 1, 1)
    middle = torch.tensor(model.card.mean).reshape(1, 3, 1, 1)
    with torch.no_grad():
        for image in (images, mean):
            network(((image - middle) / std).double())
    handle.remove()
    assert torch.allclose(unit.sum().double(), seen[0] - seen[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", OPTIONS)
def test_they_have_no_map_of_a_hidden_layer(method: str) -> None:
    model = MODELS["plain"]
    spec = SaliencySpec(layer="0", method=method, samples=0)
    with pytest.raises(SettingError, match="layer = 'input'"):
        explain_tiles(model, some_tiles(model), spec, Compute(device="cpu"))


@pytest.mark.parametrize("method", OPTIONS)
def test_denoisings_that_have_nothing_to_do_are_computed_once(method: str, monkeypatch) -> None:
    model = MODELS["resnet"]
    images = some_tiles(model)
    done = []

    def counted(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def call(self, *given):
            done.append(name)
            return original(self, *given)

        monkeypatch.setattr(owner, name, call)

    tile = PerturbedTile(images[0], images[0], lambda changed: changed, None, seed=0)
    way = METHODS[method].perturb(tile, options_of(METHODS[method], OPTIONS[method]))
    counted(type(way), "add")
    counted(type(model.module), "forward")

    def made(*denoisings: str) -> tuple[list[str], list[torch.Tensor]]:
        specs = [
            SaliencySpec(
                layer="input", method=method, method_options=OPTIONS[method], denoising=denoising
            )
            for denoising in denoisings
        ]
        explainer = Explainer(model, specs, Compute(device="cpu"), scope="tiles", warn=False)
        done.clear()
        result = explainer.explain(images, [(i,) for i in range(len(images))])
        return list(done), [one.maps for one in result.specs]

    once, (alone,) = made("original")
    several, maps = made("original", "centred_hook", "gaussian_blur")
    assert several == once
    assert torch.equal(maps[0], alone) and torch.equal(maps[1], alone)
    assert not torch.equal(maps[2], alone)


def test_what_a_method_has_no_use_for_is_said() -> None:
    model, images = every_model()["plain"], torch.rand(1, 3, 32, 32)
    options = {"masks": 8}

    def explained(**fields: object) -> SaliencySpec:
        spec = SaliencySpec(layer="input", method="rise", method_options=options, **fields)
        return explain_tiles(model, images, spec).spec

    with pytest.warns(
        UserWarning, match=r"'rise' has no use for .*samples = 'auto', jitter = True"
    ):
        used = explained(samples="auto", jitter=True, denoising="backward_hook")
    assert (used.samples, used.jitter, used.denoising) == (0, False, "original")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert explained() == used  # the default is nobody's choice
