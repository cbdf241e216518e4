"""ResNet-18 with fewer channels: the classifier, and the trunk it shares with the U-Net."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from napari_smoothsal.models.architectures.initial_weights import draw_convolutions


class ResNetTrunk(nn.Module):
    """Stem and four stages of torchvision's ResNet-18, without its head.

    7x7 strided stem, max-pool, strided 3x3 convolutions with strided 1x1 shortcuts, and the
    shared in-place ReLUs of torchvision's blocks; modules carry torchvision's names, so that
    what works here works on torchvision's networks. (torchvision itself fixes the width at 64.)

    Parameters
    ----------
    width
        Channels of the stem and of ``layer1``; doubled at each of the next three stages.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channels = (width, width, 2 * width, 4 * width, 8 * width)
        """Channels of the feature maps, the finest first."""
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)

    def feature_maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Outputs of ``relu`` and of the four stages, of strides 2, 4, 8, 16 and 32.

        Parameters
        ----------
        x
            Normalised images (B, 3, H, W).
        """
        maps = [self.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(maps[0])
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return maps


class NarrowResNet18(ResNetTrunk):
    """torchvision's ResNet-18 layout with fewer channels.

    Parameters
    ----------
    width
        See `ResNetTrunk`.
    num_classes
        Logits.
    """

    def __init__(self, width: int = 16, num_classes: int = 2) -> None:
        super().__init__(width)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * width, num_classes)
        draw_convolutions(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, num_classes) of normalised images (B, 3, H, W)."""
        logits: torch.Tensor = self.fc(torch.flatten(self.avgpool(self.feature_maps(x)[-1]), 1))
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
