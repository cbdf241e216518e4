"""The networks that slide runs are measured with."""

from __future__ import annotations

import torch
from torchvision.models import resnet18 as torchvision_resnet18

import napari_smoothsal as ss

Colour = tuple[float, float, float]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = ("a", "b")


def demo_classifier() -> ss.Model:
    """The built-in one: small, so that everything beside its computing shows."""
    return ss.load_model("demo-classifier")


def resnet18(mean: Colour = MEAN, std: Colour = STD) -> ss.Model:
    """A ResNet18 of random weights, always the same: two classes, 224 px at 0.5 um."""
    card = ss.ModelCard(
        name="resnet18",
        kind="classification",
        class_names=CLASSES,
        input_size=224,
        input_mpp=0.5,
        mean=mean,
        std=std,
    )
    return ss.Model(resnet18_module(), card)


def resnet18_module() -> torch.nn.Module:
    """Its network."""
    torch.manual_seed(0)
    return torchvision_resnet18(num_classes=len(CLASSES)).eval()
