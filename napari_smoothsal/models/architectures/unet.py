"""U-Net over a narrow ResNet-18: one decision per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from napari_smoothsal.models.architectures.initial_weights import draw_convolutions
from napari_smoothsal.models.architectures.resnet import ResNetTrunk

Upsampling = Literal["nearest", "bilinear"]


class NarrowUNet(nn.Module):
    """segmentation_models_pytorch's ``Unet("resnet18")`` with fewer channels.

    A strided ResNet encoder, and a decoder (Ronneberger et al., MICCAI 2015) that doubles the
    map five times and joins the encoder's map of the same size, where there is one. Modules
    carry the names of segmentation_models_pytorch, so that what works here works on its
    networks, and a map at the full size has few channels: it decides the memory of large tiles.

    Parameters
    ----------
    width
        Channels of the encoder, see `ResNetTrunk`.
    num_classes
        Logits of each pixel.
    decoder_channels
        Channels of the five blocks, the coarsest first.
    upsampling
        How a map is doubled.
    """

    def __init__(
        self,
        width: int = 16,
        num_classes: int = 3,
        decoder_channels: Sequence[int] = (64, 32, 16, 16, 8),
        upsampling: Upsampling = "nearest",
    ) -> None:
        super().__init__()
        self.encoder = Encoder(width)
        self.decoder = Decoder(self.encoder.channels, decoder_channels, upsampling)
        self.segmentation_head = nn.Sequential(
            nn.Conv2d(decoder_channels[-1], num_classes, 3, padding=1)
        )
        draw_convolutions(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, num_classes, H, W) of normalised images (B, 3, H, W).

        H and W must be multiples of 32; for others the maps to be joined differ in size, and
        torch raises RuntimeError.
        """
        logits: torch.Tensor = self.segmentation_head(self.decoder(self.encoder(x)))
        return logits


class Encoder(ResNetTrunk):
    """The trunk as a module of its own: images to feature maps, the finest first."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Five maps of strides 2 to 32; see `ResNetTrunk.feature_maps`."""
        return self.feature_maps(x)


class Decoder(nn.Module):
    """Five blocks; the first four join a map of the encoder, the last has none to join."""

    def __init__(
        self, encoder_channels: Sequence[int], channels: Sequence[int], upsampling: Upsampling
    ) -> None:
        super().__init__()
        coarsest, *skips = reversed(encoder_channels)
        joined = [*skips, 0]
        below = [coarsest, *channels]
        self.blocks = nn.ModuleList(
            Block(below[i] + joined[i], out, upsampling) for i, out in enumerate(channels)
        )

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Map (B, C, H, W) at the images' size, of the encoder's maps."""
        x, *skips = reversed(maps)
        for block, skip in zip(self.blocks, [*skips, None], strict=True):
            x = block(x, skip)
        return x


class Block(nn.Module):
    """Double the map, join the encoder's, convolve twice."""

    def __init__(self, channels_in: int, channels_out: int, upsampling: Upsampling) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.conv1 = _convolution(channels_in, channels_out)
        self.conv2 = _convolution(channels_out, channels_out)

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
        """Map of twice the size; ``skip`` has that size."""
        x = F.interpolate(x, scale_factor=2, mode=self.upsampling)
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        doubled: torch.Tensor = self.conv2(self.conv1(x))
        return doubled


def _convolution(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
