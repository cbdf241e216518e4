"""The network of MONAI's pathology bundles: one of torchvision with another head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torchvision import models

from napari_smoothsal.core.errors import ModelError, UnknownNameError
from napari_smoothsal.models.libraries.base import Library

TARGET = "TorchVisionFCModel"

_POOLINGS = {
    "avg": nn.AvgPool2d,
    "max": nn.MaxPool2d,
    "adaptiveavg": nn.AdaptiveAvgPool2d,
    "adaptivemax": nn.AdaptiveMaxPool2d,
}


class MonaiNetworks(Library):
    """Of `monai.networks.nets`, as far as pathology bundles use them here."""

    name = "monai"
    how = "a MONAI bundle's folder"
    fetching = ("pretrained", "weights", "progress")

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """As described by `Library.build`."""
        if name != TARGET:
            raise UnknownNameError("network of MONAI that can be built", name, [TARGET])
        return HeadOnTorchvision(**arguments)


class HeadOnTorchvision(nn.Module):
    """What MONAI's ``TorchVisionFCModel`` makes of a network of torchvision.

    Parameters
    ----------
    model_name
        The network whose mean and linear layer are replaced.
    num_classes
        Outputs.
    use_conv
        The head is a 1x1 convolution, so that larger images give a grid of decisions.
    pool
        Name and arguments of the pooling below the head; None leaves the network's own.
    fc_name
        The network's own head.
    in_channels, bias
        Of the new head.
    dim
        Of the images; 2.
    node_name
        Only ``""`` is built.
    """

    def __init__(
        self,
        model_name: str = "resnet18",
        num_classes: int = 1,
        dim: int = 2,
        in_channels: int | None = None,
        use_conv: bool = False,
        pool: Sequence[Any] | None = ("avg", {"kernel_size": 7, "stride": 1}),
        bias: bool = True,
        fc_name: str = "fc",
        node_name: str = "",
    ) -> None:
        super().__init__()
        known = models.list_models(module=models)
        if model_name not in known:
            raise UnknownNameError("network of torchvision", model_name, known)
        if dim != 2 or node_name:
            raise ModelError(
                f"{TARGET} with dim = {dim} and node_name = {node_name!r} is not built; build it "
                "with MONAI and use ss.Model(module, card)"
            )
        network = models.get_model(model_name, weights=None)
        own = network.get_submodule(fc_name)
        features = in_channels or own.in_features
        self.pool: nn.Module | None
        if pool is None:
            network.set_submodule(fc_name, nn.Identity())
            self.features, self.pool = network, None
        else:
            self.features = nn.Sequential(*list(network.children())[:-2])
            kind, options = pool
            self.pool = _POOLINGS[kind](**options)
        head = nn.Conv2d(features, num_classes, 1, bias=bias) if use_conv else None
        self.fc = head or nn.Linear(features, num_classes, bias=bias)
        self._convolutional = use_conv

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to logits (B, classes), or (B, classes, h, w) of a convolution."""
        found = self.features(images)
        if self.pool is not None:
            found = self.pool(found)
        if not self._convolutional:
            found = found.flatten(1)
        elif found.ndim == 2:
            found = found[..., None, None]
        logits: torch.Tensor = self.fc(found)
        return logits
