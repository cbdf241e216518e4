"""The networks that slide runs are measured with."""

from __future__ import annotations

import torch
from torchvision.models import resnet18 as torchvision_resnet18

import napari_smoothsal as ss

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def demo_classifier() -> ss.Model:
    """The built-in one: small, so that everything beside its computing shows."""
    return ss.load_model("demo-classifier")


def resnet18(classes: int = 2) -> ss.Model:
    """A ResNet18 of random weights, always the same: 224 px at 0.5 um."""
    torch.manual_seed(0)
    card = ss.ModelCard(
        name="resnet18",
        kind="classification",
        class_names=tuple(f"class-{i}" for i in range(classes)),
        input_size=224,
        input_mpp=0.5,
        mean=MEAN,
        std=STD,
    )
    return ss.Model(torchvision_resnet18(num_classes=classes).eval(), card)
