"""The small networks of this project's demonstration models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from napari_smoothsal.core.errors import UnknownNameError
from napari_smoothsal.models.architectures import ARCHITECTURES
from napari_smoothsal.models.libraries.base import Library
from napari_smoothsal.models.weights import tensors_of


class OwnNetworks(Library):
    """See `napari_smoothsal.models.architectures`."""

    name = "napari_smoothsal"
    how = "a folder with card.json"

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """As described by `Library.build`."""
        if name not in ARCHITECTURES:
            raise UnknownNameError("architecture", name, ARCHITECTURES)
        return ARCHITECTURES[name](**arguments)

    def state(self, content: Mapping[str, Any], whose: str) -> dict[str, torch.Tensor]:
        """The file is the state dict itself: nobody wraps these networks."""
        return tensors_of(content, whose)
