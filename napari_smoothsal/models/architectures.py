"""Network architectures of the demonstration models, built by name from a model card."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock


class NarrowResNet18(nn.Module):
    """torchvision's ResNet-18 layout with fewer channels.

    7x7 strided stem, max-pool, strided 3x3 convolutions with strided 1x1 shortcuts, and the
    shared in-place ReLUs of torchvision's blocks; modules carry torchvision's names, so that
    what works here works on torchvision's networks. (torchvision itself fixes the width at 64.)

    Parameters
    ----------
    width
        Channels of the stem and of ``layer1``; doubled at each of the next three stages.
    num_classes
        Logits.
    """

    def __init__(self, width: int = 16, num_classes: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, num_classes) of normalised images (B, 3, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: torch.Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or channels_in != channels_out:
        shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False),
            nn.BatchNorm2d(channels_out),
        )
    return nn.Sequential(
        BasicBlock(channels_in, channels_out, stride, shortcut),
        BasicBlock(channels_out, channels_out),
    )


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"narrow_resnet18": NarrowResNet18}
"""Architectures that a card may name with ``{"library": "napari_smoothsal", "name": ...}``."""
