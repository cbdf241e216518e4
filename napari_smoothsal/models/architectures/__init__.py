"""Network architectures of the demonstration models, built by name from a model card."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from napari_smoothsal.models.architectures.resnet import NarrowResNet18
from napari_smoothsal.models.architectures.unet import NarrowUNet
from napari_smoothsal.models.architectures.vgg import NarrowVGG

__all__ = ["ARCHITECTURES", "NarrowResNet18", "NarrowUNet", "NarrowVGG"]

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "narrow_resnet18": NarrowResNet18,
    "narrow_unet": NarrowUNet,
    "narrow_vgg": NarrowVGG,
}
"""Architectures that a card may name with ``{"library": "napari_smoothsal", "name": ...}``."""
