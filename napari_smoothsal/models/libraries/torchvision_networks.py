"""Networks of torchvision: for classification, and for segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torchvision import models

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
from napari_smoothsal.models.libraries.old_names import renamed_densenet
from napari_smoothsal.models.weights import state_dict_in

_IMAGENET = 1000
_WITH_INPUT_TRANSFORM = ("googlenet", "inception_v3")
"""torchvision's weights of these were trained on images scaled otherwise; it adds the scaling to
the network when it loads its own weights."""


class TorchvisionNetworks(Library):
    """Of `torchvision.models` and `torchvision.models.segmentation`."""

    name = "torchvision"
    how = "torchvision:NAME:FILE"
    fetching = ("weights", "weights_backbone", "pretrained", "pretrained_backbone", "progress")

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """As described by `Library.build`; auxiliary heads are left out."""
        dense = _segmenters()
        known = [*models.list_models(module=models), *dense]
        if name not in known:
            raise UnknownNameError("network of torchvision", name, known)
        given = dict(arguments)
        if name in dense:
            given |= {"weights_backbone": None, "aux_loss": False}
        if name in _WITH_INPUT_TRANSFORM:
            given |= {"init_weights": False, "aux_logits": False}
        module: nn.Module = models.get_model(name, weights=None, **given)
        return module

    def state(self, content: Mapping[str, Any], whose: str) -> dict[str, torch.Tensor]:
        """Without auxiliary heads, which only training has."""
        state = renamed_densenet(state_dict_in(content, whose))
        return {k: v for k, v in state.items() if not k.startswith(("aux", "AuxLogits."))}

    def described(self, weights: NamedWeights) -> ModelCard:
        """Classes, normalisation and tile side are those that torchvision states for the file of
        this name; for its first weights of the network where the name is another."""
        name = weights.name
        with torch.device("meta"):
            module = self.build(name, {})
        entries: list[Any] = list(models.get_model_weights(name))
        published = next((e for e in entries if _file_of(e) == weights.file.name), None)
        entry = published or entries[0]
        preset = entry.transforms()
        classes = classes_of(
            module, self.state(weights.content, weights.file.name), f"torchvision's {name!r}"
        )
        # A thousand classes are ImageNet's as good as always; other numbers may be anybody's.
        of_imagenet = classes == _IMAGENET and name not in _segmenters()
        known = entry.meta["categories"] if published or of_imagenet else ()
        names = class_names(classes, known)
        arguments: dict[str, Any] = {}
        if classes != len(entry.meta["categories"]):
            arguments["num_classes"] = classes
        if name in _WITH_INPUT_TRANSFORM:
            arguments["transform_input"] = published is not None
        return ModelCard(
            name=name,
            kind="segmentation" if name in _segmenters() else "classification",
            class_names=names,
            background="__background__" if "__background__" in names else None,
            input_size=getattr(preset, "crop_size", preset.resize_size)[0],
            mean=tuple(preset.mean),
            std=tuple(preset.std),
            architecture=self.architecture(name, arguments),
            training_data="ImageNet-1k, as torchvision says" if published else None,
            notes=None if published else ASSUMED if known else f"{NAMELESS} {ASSUMED}",
        )


def _segmenters() -> list[str]:
    return list(models.list_models(module=models.segmentation))


def _file_of(entry: Any) -> str:
    return str(entry.url).rpartition("/")[2]
