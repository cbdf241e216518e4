"""Maps at layers of tokens: a closed form, Captum, and what is refused."""

from __future__ import annotations

import warnings

import pytest
import timm
import torch
from captum.attr import LayerGradientXActivation, LayerIntegratedGradients
from torch import nn

from napari_smoothsal.attribution import explain_tiles
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.models import Model

FP64 = Compute(precision="fp64", device="cpu")
MEAN, STD = (0.5, 0.4, 0.6), (0.2, 0.3, 0.25)


def card(size: int) -> ModelCard:
    return ModelCard(
        name="tokens",
        kind="classification",
        class_names=("a", "b"),
        input_size=size,
        mean=MEAN,
        std=STD,
    )


class Weighing(nn.Module):
    """Tokens, a class token among them, each of which is weighed by its own place.

    The score is sum_n w_n (v . t_n), so that its gradient at token n is w_n v.
    """

    def __init__(self, order: str) -> None:
        super().__init__()
        self.order = order
        self.patches = nn.Conv2d(3, 5, 4, 4)
        self.marked = nn.Parameter(torch.randn(1, 1, 5))
        self.tokens, self.image = nn.Identity(), nn.Identity()
        self.weights = nn.Parameter(torch.randn(37))  # 6 x 6 patches, and one that is none
        self.directions = nn.Linear(5, 2, bias=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.patches(image)
        if self.order == "BHWC":
            x = self.image(x.permute(0, 2, 3, 1)).flatten(1, 2)
            return (self.directions(x) * self.weights[1:, None]).sum(1)
        x = x.flatten(2).transpose(1, 2)
        x = self.tokens(torch.cat([self.marked.expand(len(x), -1, -1), x], 1))
        return (self.directions(x) * self.weights[:, None]).sum(1)


@pytest.mark.parametrize(("order", "layer"), [("BNC", "tokens"), ("BHWC", "image")])
def test_the_gradient_at_tokens_is_the_closed_form(order: str, layer: str) -> None:
    torch.manual_seed(0)
    network = Weighing(order).eval()
    model = Model(network, card(24))
    images = torch.rand(2, 3, 24, 24)
    spec = SaliencySpec(method="gradient", layer=layer, samples=0, target="b")
    found = explain_tiles(model, images, spec, compute=FP64).maps
    expected = network.weights[1:].reshape(6, 6) * network.directions.weight[1][:, None, None]
    torch.testing.assert_close(found, expected.expand(2, -1, -1, -1).detach().float())


def transformer(name: str, **arguments: object) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, pretrained=False, num_classes=2, **arguments).eval()


VIT = ("vit_tiny_patch16_224", {"depth": 3, "img_size": 64, "embed_dim": 48}, "blocks.0")
SWIN = (
    "swin_tiny_patch4_window7_224",
    {"depths": (2, 2), "num_heads": (3, 6), "embed_dim": 24, "img_size": 56},
    "layers.0",
)


def as_map(values: torch.Tensor, name: str) -> torch.Tensor:
    """(B, C, h, w) of what a module returns."""
    if name.startswith("swin"):
        return values.permute(0, 3, 1, 2)
    return values[:, 1:].transpose(1, 2).reshape(len(values), -1, 4, 4)


def normalised(images: torch.Tensor) -> torch.Tensor:
    shape = (1, 3, 1, 1)
    return (images.double() - torch.tensor(MEAN).reshape(shape).double()) / torch.tensor(
        STD
    ).double().reshape(shape)


@pytest.mark.parametrize(("name", "arguments", "layer"), [VIT, SWIN])
def test_activation_x_gradient_is_captums(
    name: str, arguments: dict[str, object], layer: str
) -> None:
    network = transformer(name, **arguments)
    size = int(arguments["img_size"])  # type: ignore[call-overload]
    images = torch.rand(2, 3, size, size)
    spec = SaliencySpec(layer=layer, method="activation_x_gradient", samples=0, target="b")
    found = explain_tiles(Model(network, card(size)), images, spec, compute=FP64)
    # In fp64, of the same numbers that card and tile have in it.
    reference = network.double()
    captum = LayerGradientXActivation(reference, reference.get_submodule(layer))
    expected = as_map(captum.attribute(normalised(images), target=1), name)
    torch.testing.assert_close(found.maps, expected.detach().float(), rtol=1e-5, atol=1e-9)
    assert found.maps.abs().max() > 0
    if name.startswith("vit"):
        assert found.idle_denoising


def test_integrated_gradients_of_a_map_that_cuts_the_network_add_up() -> None:
    name, arguments, layer = SWIN
    network = transformer(name, **arguments)
    images = torch.rand(1, 3, 56, 56)
    spec = SaliencySpec(
        layer=layer,
        method="integrated_gradients",
        samples=0,
        target="b",
        method_options={"steps": 20, "baseline": "black"},
    )
    found = explain_tiles(Model(network, card(56)), images, spec, compute=FP64)
    reference = network.double()
    captum = LayerIntegratedGradients(reference, reference.get_submodule(layer))
    x, start = normalised(images), normalised(torch.zeros_like(images))
    expected = as_map(
        captum.attribute(x, start, target=1, n_steps=20, method="gausslegendre"), name
    )
    assert found.convergence_delta.abs().max() < 1e-3 * expected.abs().sum()
    torch.testing.assert_close(found.maps, expected.detach().float(), rtol=1e-2, atol=1e-7)


@pytest.mark.parametrize("method", ["grad_cam", "layer_cam", "activation", "gradient"])
def test_methods_know_nothing_of_tokens(method: str) -> None:
    """A wrapper that hands on (B, C, h, w) itself gives the same maps."""
    name, arguments, layer = VIT
    network = transformer(name, **arguments)
    images = torch.rand(2, 3, 64, 64)

    class AsMap(nn.Module):
        """Its inner module's tokens as a map, and back."""

        def __init__(self, block: nn.Module) -> None:
            super().__init__()
            self.block, self.map = block, nn.Identity()

        def forward(self, x: torch.Tensor, **_more: object) -> torch.Tensor:
            x = self.block(x)
            values = self.map(x[:, 1:].transpose(1, 2).unflatten(2, (4, 4)))
            return torch.cat([x[:, :1], values.flatten(2).transpose(1, 2)], 1)

    spec = SaliencySpec(layer=layer, method=method, samples=2)
    plain = explain_tiles(Model(network, card(64)), images, spec, compute=FP64).maps
    network.blocks[0] = AsMap(network.blocks[0])
    wrapped = explain_tiles(
        Model(network, card(64)), images, spec.model_copy(update={"layer": "blocks.0.map"}),
        compute=FP64,
    ).maps  # fmt: skip
    torch.testing.assert_close(plain, wrapped)
    assert plain.shape == (2, 48, 4, 4) and plain.abs().max() > 0


def test_methods_without_a_rule_for_attention_say_so() -> None:
    name, arguments, layer = VIT
    model = Model(transformer(name, **arguments), card(64))
    for method in ("deeplift", "lrp_epsilon"):
        with pytest.raises(ModelError, match="has no rule for 'layer_norm'"):
            explain_tiles(model, torch.rand(1, 3, 64, 64), SaliencySpec(layer=layer, method=method))


def test_a_denoising_that_was_asked_for_says_that_there_is_nothing_to_remove() -> None:
    name, arguments, layer = VIT
    model = Model(transformer(name, **arguments), card(64))
    spec = SaliencySpec(layer=layer, denoising="centred_hook", samples=1)
    with pytest.warns(UserWarning, match="no strided convolution lies above.*nothing to do"):
        denoised = explain_tiles(model, torch.rand(1, 3, 64, 64), spec)
    assert denoised.idle_denoising
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of the default nobody expects anything
        explain_tiles(model, torch.rand(1, 3, 64, 64), SaliencySpec(layer=layer, samples=1))
