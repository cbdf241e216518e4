"""TIAToolbox's named models for patches, from a file of its weights.

Their networks are torchvision's features, a mean over the tile and one linear layer, under names of
their own. TIAToolbox applies softmax within the network; here it is left away, since what is
explained is the logit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torchvision import models

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import UnknownNameError
from napari_smoothsal.models.libraries.base import Library, NamedWeights, class_names

_BACKBONES = (
    *("alexnet", "resnet18", "resnet34", "resnet50", "resnet101"),
    *("resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
    *("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "googlenet"),
)

_KATHER = {
    "class_names": ("BACK", "NORM", "DEB", "TUM", "ADI", "MUC", "MUS", "STR", "LYM"),
    "default_target": "TUM",
    "background": "BACK",
    "input_size": 224,
    "input_mpp": 0.5,
    "training_data": "Kather 100k: colorectal tissue in nine classes",
    "licence": "CC-BY-4.0 (of the data it was trained on)",
}
_PCAM = {
    "class_names": ("normal", "metastasis"),
    "default_target": "metastasis",
    "background": "normal",
    "input_size": 96,
    "input_mpp": 1.0,
    "training_data": "PatchCamelyon: lymph nodes with and without metastases",
    "licence": "CC0-1.0 (of the data it was trained on)",
}
_IDARS = {
    "mean": (0.5, 0.5, 0.5),
    "std": (0.1, 0.1, 0.1),
    "licence": "CC-BY-NC-SA-4.0 (as TIAToolbox says of IDaRS)",
    "notes": "TIAToolbox does not name the classes of this model.",
}

_MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"{b}-kather100k": (b, _KATHER) for b in _BACKBONES},
    **{f"{b}-pcam": (b, _PCAM) for b in _BACKBONES},
    "resnet18-idars-tumour": ("resnet18", {**_IDARS, "input_size": 512, "input_mpp": 0.5}),
    **{
        f"resnet34-idars-{marker}": ("resnet34", {**_IDARS, "input_size": 224, "input_mpp": 1.0})
        for marker in ("msi", "braf", "cimp", "cin", "tp53", "hm")
    },
}
"""By name: the backbone, and what the library's list of models says of it."""


class TiatoolboxNetworks(Library):
    """Of `tiatoolbox.models`: ``CNNModel`` and ``IDaRS``."""

    name = "tiatoolbox"
    how = "tiatoolbox:NAME:FILE"

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """As described by `Library.build`; ``name`` is the backbone's."""
        if name not in _BACKBONES:
            raise UnknownNameError("backbone of TIAToolbox's patch models", name, _BACKBONES)
        return PatchClassifier(name, **arguments)

    def described(self, weights: NamedWeights) -> ModelCard:
        """By the list of models that TIAToolbox publishes."""
        name = weights.name
        if name not in _MODELS:
            raise UnknownNameError("patch model of TIAToolbox", name, _MODELS)
        backbone, known = _MODELS[name]
        names = known.get("class_names") or class_names(2)
        fields = {
            "class_names": names,
            "mean": (0.0,) * 3,
            "std": (1.0,) * 3,
            **known,
            "architecture": self.architecture(backbone, {"num_classes": len(names)}),
        }
        return ModelCard(name=name, kind="classification", **fields)


class PatchClassifier(nn.Module):
    """Features of a network of torchvision, their mean, and a linear layer.

    Parameters
    ----------
    backbone
        Whose features.
    num_classes
        Outputs.
    """

    def __init__(self, backbone: str, num_classes: int) -> None:
        super().__init__()
        self.feat_extract = _features(backbone)
        self.pool = nn.AdaptiveAvgPool2d(1)
        with torch.no_grad():
            # Two images: in training mode a norm needs more than one value per channel.
            channels = self.feat_extract(torch.zeros(2, 3, 96, 96)).shape[1]
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to logits (B, classes)."""
        features = self.pool(self.feat_extract(images)).flatten(1)
        logits: torch.Tensor = self.classifier(features)
        return logits


def _features(backbone: str) -> nn.Module:
    if backbone == "googlenet":
        network = models.googlenet(weights=None, aux_logits=False, init_weights=False)
        return nn.Sequential(*list(network.children())[:-3])  # mean, dropout, linear
    network = models.get_model(backbone, weights=None)
    if isinstance(network, models.ResNet):
        return nn.Sequential(*list(network.children())[:-2])  # mean, linear
    features: nn.Module = network.features
    return features
