"""Networks that relevance is led through, and layers on the way."""

import torch
from networks import every_model
from torch import nn
from unets import SmallUNet, segmenter

from napari_smoothsal import Compute
from napari_smoothsal.models import Model

RULES = ("lrp_epsilon", "lrp_alpha_beta", "lrp_z_plus", "excitation_backprop", "deep_taylor")
FP64 = Compute(precision="fp64", device="cpu")
THROUGH = {
    "plain": ("input", "0", "1", "2", "3", "4"),
    "resnet": ("input", "conv1", "bn1", "maxpool", "layer1", "layer2.0", "layer3", "layer4"),
    "functional": ("input", "a", "c", "d"),
    "single_logit": ("input", "features.0", "features.1", "features"),
    "unet": ("input", "stem", "decode.0", "decode"),
}
"""Layers that every way from the image to the score leads through."""


def models() -> dict[str, Model]:
    found = every_model()
    torch.manual_seed(2)
    found["unet"] = segmenter(SmallUNet(), "n", "s", "t", mean=(0.4,) * 3, std=(0.2,) * 3)
    return found


MODELS = models()


def tiles(model: Model, n: int = 2) -> torch.Tensor:
    size = model.card.input_size
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(n))


class Head(nn.Module):
    """One weighted sum between what is looked at and the score."""

    def __init__(self, between=None) -> None:
        super().__init__()
        self.low, self.between = nn.Conv2d(3, 5, 1), between or nn.Identity()
        self.head = nn.Conv2d(5, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.between(self.low(x))).sum((2, 3))
