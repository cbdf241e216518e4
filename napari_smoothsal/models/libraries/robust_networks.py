"""Adversarially robust networks, from checkpoints of the ``robustness`` library.

Its checkpoint holds the network within a wrapper that normalises the image and attacks it; only
the network is taken, and the normalisation goes into the card. The paper's robust ResNet50 is one
(Herdt et al., Smooth Deep Saliency, section 4; weights of Salman et al., 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torchvision import models

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError, UnknownNameError
from napari_smoothsal.models.libraries.base import (
    NAMELESS,
    Library,
    NamedWeights,
    class_names,
    classes_of,
)
from napari_smoothsal.models.weights import state_dict_in

_NAMES = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
    *("vgg16_bn", "mobilenet_v2", "shufflenet_v2_x1_0", "mnasnet1_0"),
)
"""Networks that the library and its published checkpoints share with torchvision."""

_NETWORK, _NORMALISER = "model.", "normalizer."


class RobustNetworks(Library):
    """Of ``robustness.model_utils.make_and_restore_model``, for images of 224 px."""

    name = "robustness"
    how = "robustness:NAME:FILE"

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """As described by `Library.build`: the layers are torchvision's."""
        if name not in _NAMES:
            raise UnknownNameError("network of the robustness library", name, _NAMES)
        module: nn.Module = models.get_model(name, weights=None, **arguments)
        return module

    def state(self, content: Mapping[str, Any], whose: str) -> dict[str, torch.Tensor]:
        """The network's own, without normaliser and attacker."""
        state = _wrapped(content, whose)
        own = {k.removeprefix(_NETWORK): v for k, v in state.items() if k.startswith(_NETWORK)}
        return own or state  # the network alone, as `save_model` writes it

    def described(self, weights: NamedWeights) -> ModelCard:
        """Normalisation as the checkpoint has it; a thousand classes are ImageNet's."""
        name = weights.name
        wrapped = _wrapped(weights.content, weights.file.name)
        try:
            mean, std = (wrapped[f"{_NORMALISER}new_{n}"].flatten() for n in ("mean", "std"))
        except KeyError as error:
            raise ModelError(
                f"{weights.file.name!r} is no checkpoint of the robustness library: it holds no "
                f"normaliser. If it is of a network of torchvision, give torchvision:{name}:FILE"
            ) from error
        state = self.state(weights.content, weights.file.name)
        with torch.device("meta"):
            module = self.build(name, {})
        classes = classes_of(module, state, f"the robustness library's {name!r}")
        names = class_names(classes, models.ResNet50_Weights.DEFAULT.meta["categories"])
        return ModelCard(
            name=f"robust {name}",
            kind="classification",
            class_names=names,
            input_size=224,
            mean=tuple(mean.tolist()),
            std=tuple(std.tolist()),
            architecture=self.architecture(name, {"num_classes": classes}),
            notes=NAMELESS if names[0] == "class 0" else None,
        )


def _wrapped(content: Mapping[str, Any], whose: str) -> dict[str, torch.Tensor]:
    """By name: the network as ``model.*``, its normaliser as ``normalizer.*``."""
    state = state_dict_in(content, whose)
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}
