"""Label randomisation, on small networks that are trained for it."""

import copy

import numpy as np
import pytest
import torch
from networks import every_model, wrapped
from noise_tiles import NoiseTiles
from torch import nn
from torch.nn import functional as F

from napari_smoothsal import Compute, SaliencySpec
from napari_smoothsal.evaluation.label_randomisation import label_randomisation
from napari_smoothsal.evaluation.map_similarity import Similarity
from napari_smoothsal.evaluation.sanity_verdict import DOES_NOT, sanity_verdicts
from napari_smoothsal.models import Model
from napari_smoothsal.models.architectures import NarrowResNet18
from napari_smoothsal.sample_data.tiles import render_tiles

CPU = Compute(device="cpu", precision="fp32")
MEASURES = list(Similarity._fields)
GRADIENT = SaliencySpec(layer="input", method="gradient", denoising="original", samples=0)
SIDE, TILES = 64, 48


def test_a_model_is_like_itself_and_its_class_is_kept() -> None:
    model = every_model()["resnet"]
    other = copy.deepcopy(model)
    with torch.no_grad():  # decides everything the other way round, by the same features
        other.module.fc.weight.copy_(model.module.fc.weight.flip(0))
        other.module.fc.bias.copy_(model.module.fc.bias.flip(0))
    tiles = NoiseTiles([0] * 4)
    same, flipped = (
        label_randomisation(model, m, tiles, [GRADIENT], CPU) for m in (copy.deepcopy(model), other)
    )
    assert np.allclose(same.similarities[MEASURES], 1)
    assert (sanity_verdicts(same)["verdict"] == DOES_NOT).all()
    assert flipped.similarities["spearman"].max() < 0.9
    assert len(same.chance) > 4


class Rendered:
    """Synthetic tissue with its labels."""

    def __init__(self, first_seed: int) -> None:
        images, labels = render_tiles(first_seed, TILES, 0.5, SIDE)
        self.pixels = torch.from_numpy(images).movedim(-1, 1).contiguous()
        self.labels = torch.from_numpy(labels)

    def __len__(self) -> int:
        return 12

    def name(self, index: int) -> str:
        return f"tile {index}"

    def images(self, indices) -> torch.Tensor:
        return self.pixels[list(indices)]


def trained(tiles: Rendered, labels: torch.Tensor) -> Model:
    """Learns tiles by heart."""
    torch.manual_seed(0)
    network = NarrowResNet18(width=8).train()
    model = wrapped(network, "normal", "tumour", size=SIDE)
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std))
    images = (tiles.pixels.float() / 255 - mean) / std
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    network.train()
    for _ in range(120):
        optimiser.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimiser.step()
    for module in network.modules():  # statistics of what is explained, without momentum
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        network(images)
    network.eval()
    with torch.no_grad():
        assert (network(images).argmax(1) == labels).float().mean() > 0.95
    return model


@pytest.mark.slow
def test_gradients_of_shuffled_labels_are_others() -> None:
    tiles = Rendered(0)
    generator = torch.Generator().manual_seed(1)
    model = trained(tiles, tiles.labels)
    shuffled = trained(tiles, tiles.labels[torch.randperm(TILES, generator=generator)])
    shown = GRADIENT.model_copy(update={"method": "activation"})
    found = label_randomisation(model, shuffled, tiles, [GRADIENT, shown], CPU)
    table = sanity_verdicts(found).set_index(["method", "measure"])
    assert table.loc[("gradient", "spearman"), "kept"] < 0.1
    assert (table.loc["activation", "verdict"] == DOES_NOT).all()
