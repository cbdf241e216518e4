"""Networks of timm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import UnknownNameError
from napari_smoothsal.models.libraries.base import (
    ASSUMED,
    NAMELESS,
    Library,
    NamedWeights,
    class_names,
    classes_of,
)


class TimmNetworks(Library):
    """Of `timm.create_model`, for classification."""

    name = "timm"
    how = "timm:NAME:FILE"
    fetching = (
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "pretrained_model_args",
        "checkpoint_path",
        "cache_dir",
        "model_name",
    )

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """As described by `Library.build`.

        Names with a source (``hf-hub:...``), which timm would download, are no networks of it.
        """
        import timm  # takes a second, which models of other libraries need not wait for

        if not timm.is_model(name):
            raise UnknownNameError("network of timm", name, timm.list_models())
        return timm.create_model(name, pretrained=False, **arguments)

    def described(self, weights: NamedWeights) -> ModelCard:
        """Normalisation and tile side are timm's own of the network."""
        name = weights.name
        with torch.device("meta"):
            module = self.build(name, {})
        classes = classes_of(
            module, self.state(weights.content, weights.file.name), f"timm's {name!r}"
        )
        settings: dict[str, Any] = module.pretrained_cfg  # type: ignore[assignment]
        return ModelCard(
            name=name,
            kind="classification",
            class_names=class_names(classes),
            input_size=settings["input_size"][-1],
            mean=tuple(settings["mean"]),
            std=tuple(settings["std"]),
            architecture=self.architecture(name, {"num_classes": classes}),
            notes=f"{NAMELESS} {ASSUMED}",
        )
