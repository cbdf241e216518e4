"""Maps of a network with a softmax at its end are those of the same network without it."""

from __future__ import annotations

import pytest
import torch
from networks import wrapped
from unets import SmallUNet, segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.evaluation.blocks import blocks_of
from napari_smoothsal.evaluation.randomisation import Randomisation, randomised
from napari_smoothsal.models import Model
from napari_smoothsal.models.architectures import NarrowResNet18

CPU = Compute(device="cpu", precision="fp32")


class EndedResNet(NarrowResNet18):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).softmax(1)


class EndedUNet(SmallUNet):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(super().forward(x), dim=1)


def resnets() -> tuple[Model, Model]:
    """With the softmax, and without."""
    networks = [seeded(kind, width=4) for kind in (EndedResNet, NarrowResNet18)]
    one, two = (wrapped(network, "a", "b", size=64) for network in networks)
    return one, two


def unets() -> tuple[Model, Model]:
    networks = [seeded(kind, classes=3) for kind in (EndedUNet, SmallUNet)]
    one, two = (segmenter(network, "bg", "n", "t", size=64) for network in networks)
    return one, two


def seeded(kind, **arguments) -> torch.nn.Module:
    torch.manual_seed(0)
    return kind(**arguments)


def tiles() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("method", "denoising"),
    [
        ("gradient", "centred_hook"),
        ("gradient", "backward_hook"),
        ("activation_x_gradient", "original"),
        ("deeplift", "original"),
        ("integrated_gradients", "original"),
        ("lrp_epsilon", "original"),
        ("lrp_z_plus", "original"),
        ("guided_backprop", "original"),
        ("grad_cam", "original"),
    ],
)
@pytest.mark.parametrize(("models", "layer"), [(resnets, "layer1"), (unets, "stem")])
def test_maps_at_a_layer(models, layer: str, method: str, denoising: str) -> None:
    headed, bare = models()
    spec = SaliencySpec(layer=layer, method=method, denoising=denoising, samples=0, target=1)
    if headed.readout.dense:  # of an untrained network the class may be predicted nowhere
        spec = spec.model_copy(update={"method_options": {"target_pixels": "all"}})
    one, two = (explain_tiles(model, tiles(), spec, CPU) for model in (headed, bare))
    assert headed.removed_head == "softmax"
    assert torch.equal(one.logits, two.logits) and torch.equal(one.maps, two.maps)
    assert one.maps.abs().max() > 0


def test_randomised_copies_are_without_it_too() -> None:
    how = Randomisation()
    copies = [randomised(m, blocks_of(m)[:1], how, tiles()) for m in resnets()]
    assert [m.removed_head for m in copies] == ["softmax", None]
    outputs = [m.module(tiles()) for m in copies]
    assert torch.equal(*outputs) and not torch.equal(outputs[1], resnets()[1].module(tiles()))
