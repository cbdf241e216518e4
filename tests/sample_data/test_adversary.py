"""Projected gradient: stays in its ball, misleads, and leaves the network as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from napari_smoothsal.models.architectures import NarrowResNet18
from napari_smoothsal.sample_data.adversary import ProjectedGradient
from napari_smoothsal.sample_data.training import STD, normalised


@pytest.fixture
def network() -> NarrowResNet18:
    torch.manual_seed(0)
    network = NarrowResNet18(width=4)
    for _ in range(5):
        network(torch.randn(8, 3, 64, 64))
    return network


def tiles() -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return images, torch.tensor([0, 1] * 3)


@pytest.mark.parametrize("radius", [0.1, 2.0])
def test_changed_tiles_are_near_valid_and_worse(network: NarrowResNet18, radius: float) -> None:
    images, labels = tiles()
    changed = ProjectedGradient(radius, steps=5)(network, images, labels)
    assert changed.min() >= 0
    assert changed.max() <= 1
    lengths = (changed - images).flatten(1).norm(dim=1)
    assert lengths.max() <= radius * (1 + 1e-5)
    # Steps of 2.5 radius / steps reach the rim; values cut at 0 and 1 shorten the change.
    assert lengths.min() > 0.8 * radius
    network.eval()
    with torch.no_grad():
        before, after = (
            F.cross_entropy(network(normalised(x)), labels, reduction="none")
            for x in (images, changed)
        )
    assert (after > before).all()


def test_of_a_linear_network_it_is_the_steepest_direction() -> None:
    weights = torch.randn(3 * 16, generator=torch.Generator().manual_seed(0))

    class Linear(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            score = x.flatten(1) @ weights
            return torch.stack([-score, score], 1)

    images = torch.full((1, 3, 4, 4), 0.5)
    changed = ProjectedGradient(0.2, steps=10)(Linear(), images, torch.tensor([0]))
    # Normalisation divides each channel by its standard deviation.
    steepest = (weights.view(3, 4, 4) / torch.tensor(STD).view(3, 1, 1))[None]
    expected = 0.2 * steepest / steepest.norm()
    assert torch.allclose(changed - images, expected, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(network: NarrowResNet18, training: bool) -> None:
    network.train(training)
    before = copy.deepcopy(network.state_dict())
    ProjectedGradient(1.0, steps=2)(network, *tiles())
    assert network.training is training
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
