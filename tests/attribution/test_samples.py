"""Noise samples: shared passes, progress, when they suffice, how they are combined."""

from itertools import pairwise

import pytest
import torch
from networks import every_model, wrapped
from torch import nn
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.errors import SettingError, UnknownNameError

FP64 = Compute(precision="fp64", device="cpu")


def tiles(n: int, size: int = 64) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(n))


@pytest.fixture
def resnet():
    return every_model()["resnet"]


def single_samples(model, images, spec) -> list[torch.Tensor]:
    """The map of each noise sample, from the means after 1, 2, ... samples."""
    means: list[torch.Tensor] = []
    explain_tiles(model, images, spec, FP64, on_sample=lambda t: means.append(t.maps.double()))
    sums = [mean * (i + 1) for i, mean in enumerate(means)]
    return [sums[0], *(after - before for before, after in pairwise(sums))]


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-6) -> bool:
    """float32 maps of the same numbers."""
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def test_several_layers_targets_and_methods_equal_each_on_its_own(resnet) -> None:
    specs = [
        SaliencySpec(layer=layer, target=target, method=method, samples=3)
        for layer in ("layer1", "layer2", "layer4")
        for target in (0, "b", "a-b", "unit:layer4.1:5")
        for method in ("gradient", "activation_x_gradient", "deeplift")
        if not (layer == "layer4" and "unit" in str(target))
    ]
    images, places = tiles(2), [(0,), (1,)]
    together = Explainer(resnet, specs, FP64, "tiles").explain(images, places)
    for spec, ours in zip(specs, together.specs, strict=True):
        (alone,) = Explainer(resnet, [spec], FP64, "tiles").explain(images, places).specs
        assert alone.maps.abs().max() > 0
        assert close(ours.maps, alone.maps), spec
        assert torch.allclose(ours.standard_error, alone.standard_error, rtol=1e-5)
        assert torch.equal(ours.target, alone.target)


def test_specs_share_forward_passes(resnet) -> None:
    """Counted: one decision, then one pass a sample, whatever is asked for."""
    specs = [
        SaliencySpec(layer=layer, target=target, method=method, samples=4)
        for layer in ("layer1", "layer2", "layer3")
        for target in ("a", "b")
        for method in ("gradient", "activation_x_gradient")
    ]
    explainer = Explainer(resnet, specs, FP64, "tiles")
    explainer.rows.limit = 1
    passes = []
    explainer.network.module.register_forward_hook(lambda *_: passes.append(1))
    explainer.explain(tiles(1), [(0,)])
    assert len(passes) == 1 + 4


@pytest.mark.parametrize("method", ["gradient", "deeplift"])
@pytest.mark.parametrize("baseline", ["zero", "blurred"])
def test_how_rows_are_cut_into_passes_does_not_matter(resnet, method, baseline) -> None:
    options = {"baseline": baseline} if method == "deeplift" else {}
    spec = SaliencySpec(layer="layer1", method=method, samples=5, method_options=options)
    images = tiles(3)
    expected = explain_tiles(resnet, images, spec, Compute(precision="fp64", batch_size=1))
    for size in (2, 3, 7, 16):
        ours = explain_tiles(resnet, images, spec, Compute(precision="fp64", batch_size=size))
        assert close(ours.maps, expected.maps)
        assert torch.allclose(ours.standard_error, expected.standard_error, rtol=1e-5)
        assert torch.allclose(
            ours.convergence_delta, expected.convergence_delta, atol=1e-9, equal_nan=True
        )


def test_maps_grow_sample_by_sample(resnet) -> None:
    spec = SaliencySpec(layer="layer2", samples=6)
    images = tiles(3)
    seen = []
    final = explain_tiles(
        resnet, images, spec, Compute(precision="fp64", batch_size=2), on_sample=seen.append
    )
    assert [t.samples.tolist() for t in seen] == [[n] * 3 for n in range(1, 7)]
    assert seen[0].standard_error.isnan().all() and seen[1].standard_error.isfinite().all()
    for number, partial in enumerate(seen, start=1):
        few = explain_tiles(resnet, images, spec.model_copy(update={"samples": number}), FP64)
        assert close(partial.maps, few.maps)
    assert torch.equal(final.maps, seen[-1].maps)
    assert close(final.maps, explain_tiles(resnet, images, spec, FP64).maps)


def test_what_a_listener_raises_ends_the_computation(resnet) -> None:
    def listener(_maps) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain_tiles(resnet, tiles(1), SaliencySpec(layer="layer2"), FP64, on_sample=listener)


def test_the_standard_error_is_that_of_the_samples(resnet) -> None:
    images, spec = tiles(2), SaliencySpec(layer="layer2", samples=9)
    samples = torch.stack(single_samples(resnet, images, spec))
    variance = samples.var(0).flatten(1).sum(1) / 9
    expected = variance.sqrt() / samples.mean(0).flatten(1).norm(dim=1)
    ours = explain_tiles(resnet, images, spec, FP64)
    assert torch.allclose(ours.standard_error.double(), expected, rtol=1e-4)


def test_aggregates_are_those_of_the_samples(resnet) -> None:
    images, spec = tiles(2), SaliencySpec(layer="layer2", samples=7)
    samples = torch.stack(single_samples(resnet, images, spec))
    square = explain_tiles(resnet, images, spec.model_copy(update={"aggregate": "square"}), FP64)
    assert close(square.maps.double(), samples.square().mean(0), 1e-5)
    assert (square.standard_error > 0).all()
    update = {"aggregate": "variance"}
    variance = explain_tiles(resnet, images, spec.model_copy(update=update), FP64)
    assert close(variance.maps.double(), samples.var(0, correction=0), 1e-5)
    assert variance.standard_error.isnan().all()


def test_samples_are_drawn_until_the_error_is_small(resnet) -> None:
    spec = SaliencySpec(
        layer="layer2",
        denoising="backward_hook",
        samples="auto",
        max_standard_error=0.3,
        sigma=0.5,
    )
    images = tiles(5)
    # Tiles of little contrast need other numbers of samples.
    images[1], images[3] = 0.5 + 0.05 * images[1], 0.5
    ours = explain_tiles(resnet, images, spec, FP64)
    assert (ours.standard_error <= 0.3).all()
    assert len(set(ours.samples.tolist())) > 1
    assert (ours.samples % 4 == 0).all() and (ours.samples < 200).all()
    for row, number in enumerate(ours.samples.tolist()):
        few = spec.model_copy(update={"samples": number})
        expected = explain_tiles(resnet, images, few, FP64)
        assert close(ours.maps[row], expected.maps[row])
        if number > 4:
            fewer = spec.model_copy(update={"samples": number - 4})
            assert explain_tiles(resnet, images, fewer, FP64).standard_error[row] > 0.3
    for size in (1, 2, 16):
        other = explain_tiles(resnet, images, spec, Compute(precision="fp64", batch_size=size))
        assert torch.equal(other.samples, ours.samples)
        assert close(other.maps, ours.maps)


def test_a_spec_that_is_sure_ignores_the_samples_that_others_need(resnet) -> None:
    specs = [
        SaliencySpec(
            layer="layer1", method="gradient", samples="auto", max_standard_error=e, sigma=0.5
        )
        for e in (0.25, 0.25)
    ]
    specs[1] = specs[1].model_copy(update={"layer": "layer4", "method": "activation_x_gradient"})
    images, places = tiles(3), [(i,) for i in range(3)]
    together = Explainer(resnet, specs, FP64, "tiles").explain(images, places)
    assert not torch.equal(together.specs[0].samples, together.specs[1].samples)
    for spec, ours in zip(specs, together.specs, strict=True):
        (alone,) = Explainer(resnet, [spec], FP64, "tiles").explain(images, places).specs
        assert torch.equal(ours.samples, alone.samples)
        assert close(ours.maps, alone.maps)


def test_a_tile_with_nothing_to_explain_takes_one_pass() -> None:
    model = small_segmenter()
    spec = SaliencySpec(layer="stem", denoising="original", target="n", samples="auto")
    images = torch.zeros(1, 3, 64, 64)
    with pytest.warns(UserWarning, match="nothing to explain"):
        ours = explain_tiles(model, images, spec, FP64)
    assert ours.explained_px.tolist() == [0] and ours.samples.tolist()[0] <= 4


class LinearTail(nn.Module):
    """What lies above ``low`` is a sum: the attribution there is the disturbed activation."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Conv2d(3, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.low(x).sum((1, 2, 3))
        return torch.stack([y, -y], 1)


def test_noise_at_the_layer_is_in_units_of_its_own_spread() -> None:
    torch.manual_seed(0)
    model = wrapped(LinearTail(), "a", "b")
    images = tiles(2, 32)
    images[1] *= 0.1
    spec = SaliencySpec(
        layer="low", denoising="original", method="activation_x_gradient", target="a",
        samples=30, sigma=0.5, noise_at="layer",
    )  # fmt: skip
    clean = explain_tiles(model, images, spec.model_copy(update={"samples": 0}), FP64).maps.double()
    samples = torch.stack(single_samples(model, images, spec))
    noise = samples - clean
    wanted = 0.5 * clean.flatten(1).std(1)
    found = noise.transpose(0, 1).flatten(1).std(1)
    assert torch.allclose(found, wanted, rtol=0.02)
    assert abs(float(noise.mean())) < 0.01 * float(wanted.max())
    # Each sample and each tile has noise of its own.
    flat = (noise / wanted[:, None, None, None])[:2].transpose(0, 1).flatten(0, 1).flatten(1)
    assert (torch.corrcoef(flat) - torch.eye(4)).abs().max() < 0.1


@pytest.mark.parametrize("target", ["a", "a-b", "unit:layer3:2"])
def test_noise_at_the_layer_is_nowhere_else(resnet, target: str) -> None:
    spec = SaliencySpec(
        layer="layer2", method="deeplift", target=target, samples=3, noise_at="layer",
        denoising="original",
    )  # fmt: skip
    ours = explain_tiles(resnet, tiles(2), spec, FP64)
    assert (ours.standard_error > 0).all() and (ours.convergence_delta < 1e-10).all()


def test_a_hidden_unit_is_explained() -> None:
    model = every_model()["resnet"]
    images = tiles(2)
    spec = SaliencySpec(
        layer="layer1", method="gradient", denoising="original", target="unit:layer3:2", samples=0
    )
    ours = explain_tiles(model, images, spec, FP64)
    network = model.module.double()
    kept = {}
    handles = [
        network.layer1.register_forward_hook(lambda _m, _i, o: kept.update(low=o.requires_grad_())),
        network.layer3.register_forward_hook(lambda _m, _i, o: kept.update(high=o)),
    ]
    mean, std = (
        torch.tensor(v).double().reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std)
    )
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    network((images.double() - mean) / std)
    (expected,) = torch.autograd.grad(kept["high"][:, 2].mean((1, 2)).sum(), kept["low"])
    for handle in handles:
        handle.remove()
    assert close(ours.maps, expected)
    assert ours.target.tolist() == [-1, -1] and ours.explained_px.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"target": "unit:layer3"}, SettingError, "unit:LAYER:CHANNEL"),
        ({"target": "unit:layer3:x"}, SettingError, "unit:LAYER:CHANNEL"),
        ({"target": "unit:layer3:999"}, SettingError, "channels 0 to 15"),
        ({"target": "unit:layer9:0"}, UnknownNameError, "layer9"),
        ({"target": "unit:layer1:0"}, SettingError, "does not depend on"),
        ({"target": "unit:layer2:0"}, SettingError, "does not depend on"),
        ({"method": "deplift"}, UnknownNameError, "deeplift"),
    ],
)
def test_what_does_not_exist(resnet, fields, error, words: str) -> None:
    with pytest.raises(error, match=words):
        explain_tiles(resnet, tiles(1), SaliencySpec(layer="layer2", **fields), FP64)


def test_a_variance_has_no_error_to_stop_at() -> None:
    with pytest.raises(SettingError, match="give a number of samples"):
        SaliencySpec(layer="layer2", samples="auto", aggregate="variance")


@pytest.mark.parametrize("samples", [-1, 10_001, "some", 2.5])
def test_samples_are_a_number_or_auto(samples) -> None:
    with pytest.raises(SettingError, match="samples"):
        SaliencySpec(layer="layer2", samples=samples)
