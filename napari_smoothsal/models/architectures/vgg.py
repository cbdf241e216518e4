"""VGG with fewer channels: a classifier without any strided convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torchvision.models.vgg import make_layers

from napari_smoothsal.models.architectures.initial_weights import draw_convolutions


class NarrowVGG(nn.Module):
    """torchvision's VGG layout with batch normalisation, narrow, and with a small head.

    3x3 convolutions of stride 1 and max-pooling between them (Simonyan and Zisserman, ICLR
    2015): nothing here makes a checkerboard, which is what such a network is compared for.
    Modules carry torchvision's names; the three fully connected layers are one, behind a
    global average.

    Parameters
    ----------
    width
        Channels of the first stage; doubled at each of the next three, kept in the fifth.
    num_classes
        Logits.
    convolutions
        Convolutions of each of the five stages; VGG-11 has (1, 1, 2, 2, 2), VGG-19
        (2, 2, 4, 4, 4).
    """

    def __init__(
        self,
        width: int = 16,
        num_classes: int = 2,
        convolutions: Sequence[int] = (1, 1, 2, 2, 2),
    ) -> None:
        super().__init__()
        channels = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        layout: list[str | int] = []
        for count, stage in zip(convolutions, channels, strict=True):
            layout += [*[stage] * count, "M"]
        self.features: nn.Sequential = make_layers(layout, batch_norm=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels[-1], num_classes)
        draw_convolutions(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, num_classes) of normalised images (B, 3, H, W)."""
        logits: torch.Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return logits
