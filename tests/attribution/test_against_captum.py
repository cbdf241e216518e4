"""Maps agree with Captum's layer gradients in fp64 under the same noise."""

import pytest
import torch
from captum.attr import LayerGradientXActivation
from networks import LAYERS, every_model

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.attribution.noise import add_noise
from napari_smoothsal.models import Model

FP64 = Compute(precision="fp64", device="cpu")
MODELS = every_model()
# Captum returns a layer's output after an in-place ReLU has overwritten it: its gradient there is
# right, its activation is the rectified one. test_explain_tiles has the closed form instead.
OVERWRITTEN = {("plain", "1"), ("resnet", "bn1")}
CASES = [
    (name, layer, method)
    for name in MODELS
    for layer in LAYERS[name]
    for method in ("gradient", "activation_x_gradient")
    if method == "gradient" or (name, layer) not in OVERWRITTEN
]


def captum_mean(model: Model, images, spec: SaliencySpec, target) -> torch.Tensor:
    """Captum's attribution, averaged over the noise samples that the spec stands for."""
    card, network = model.card, model.module.double()
    shape = (1, 3, 1, 1)
    normalised = (images.double() - torch.tensor(card.mean).double().reshape(shape)) / torch.tensor(
        card.std
    ).double().reshape(shape)
    places = [(i,) for i in range(len(images))]
    samples = []
    for sample in range(max(spec.samples, 1)):
        noisy = add_noise(normalised, places, spec.sigma, spec.seed, [sample] * len(images))
        noisy = noisy if spec.samples else normalised
        multiply = spec.method == "activation_x_gradient"

        def flat(x):
            return network(x).flatten(1)

        if spec.layer == "input":
            noisy = noisy.clone().requires_grad_()
            chosen = flat(noisy).gather(1, target[:, None]).sum()
            (gradient,) = torch.autograd.grad(chosen, noisy)
            samples.append((gradient * noisy if multiply else gradient).detach())
            continue
        layer = network.get_submodule(spec.layer)
        oracle = LayerGradientXActivation(flat, layer, multiply_by_inputs=multiply)
        samples.append(oracle.attribute(noisy, target=target).detach())
    return torch.stack(samples).mean(0)


@pytest.mark.parametrize(("name", "layer", "method"), CASES)
def test_original_maps_equal_captums(name: str, layer: str, method: str) -> None:
    model = MODELS[name]
    size = model.card.input_size
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(1))
    spec = SaliencySpec(layer=layer, method=method, denoising="original", samples=3, seed=5)
    ours = explain_tiles(model, images, spec, FP64)
    expected = captum_mean(model, images, spec, ours.target)
    scale = expected.abs().max()
    assert scale > 0
    assert (ours.maps.double() - expected).abs().max() <= 1e-6 * scale


def test_without_noise_the_tile_itself_is_explained() -> None:
    model = MODELS["resnet"]
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    spec = SaliencySpec(layer="layer2", method="gradient", denoising="original", samples=0)
    ours = explain_tiles(model, images, spec, FP64)
    expected = captum_mean(model, images, spec, ours.target)
    assert torch.allclose(ours.maps.double(), expected, atol=1e-6 * float(expected.abs().max()))
    assert torch.isnan(ours.standard_error).all()
