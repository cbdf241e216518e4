"""A map that looks good and knows nothing of the network."""

import pytest
import torch
from torch.nn import functional as F

from napari_smoothsal import SaliencySpec
from napari_smoothsal.attribution.base import METHODS, AtLayer, LayerMethod, MethodOptions


def edges(at: AtLayer, _options: MethodOptions) -> torch.Tensor:
    """Sobel's edges of the image: a map that looks good and knows nothing of the network."""
    kernel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    grey = F.pad(at.activation.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    both = torch.stack([kernel, kernel.T])[:, None].to(grey)
    return F.conv2d(grey, both).square().sum(1, keepdim=True).sqrt()


@pytest.fixture
def edge_detector(monkeypatch: pytest.MonkeyPatch) -> SaliencySpec:
    method = LayerMethod(name="edges", title="Edges", positive="is", negative="is", attribute=edges)
    monkeypatch.setitem(METHODS._entries, "edges", method)
    return SaliencySpec(layer="input", method="edges", denoising="original", samples=0)
