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
CASES = [(name, layer) for name in MODELS for layer in LAYERS[name]]


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
        noisy = add_noise(normalised, places, spec.sigma, spec.seed, sample)
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


@pytest.mark.parametrize(("name", "layer"), CASES)
@pytest.mark.parametrize("method", ["gradient", "activation_x_gradient"])
def test_original_maps_equal_captums(name: str, layer: str, method: str) -> None:
    model = MODELS[name]
    size = model.card.input_size
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(1))
    spec = SaliencySpec(layer=layer, method=method, denoising="original", samples=3, seed=5)
    ours = explain_tiles(model, images, spec, FP64)
    expected = captum_mean(model, images, spec, ours.target)
    # Captum returns a layer's output after an in-place ReLU has overwritten it (the layer "1" and
    # "bn1" here); its gradient there is right, its activation is the rectified one.
    if method == "activation_x_gradient" and (name, layer) in {("plain", "1"), ("resnet", "bn1")}:
        pytest.skip("Captum's activation is overwritten in place; see test_closed_forms")
    scale = expected.abs().max()
    assert scale > 0
    assert (ours.maps.double() - expected).abs().max() <= 1e-6 * scale


def test_without_noise_the_tile_itself_is_explained() -> None:
    model = MODELS["resnet"]
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    spec = SaliencySpec(layer="layer2", denoising="original", samples=0)
    ours = explain_tiles(model, images, spec, FP64)
    expected = captum_mean(model, images, spec, ours.target)
    assert torch.allclose(ours.maps.double(), expected, atol=1e-6 * float(expected.abs().max()))
    assert torch.isnan(ours.standard_error).all()
