"""Networks of torchvision, from the files of weights that torchvision itself downloads.

Named as ``torchvision:NAME:FILE``, e.g. ``torchvision:resnet34:weights/resnet34-b627a593.pth``.
Nothing is downloaded, and a ``.pth`` is read by the unpickler that knows tensors only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torchvision import models as torchvision_models

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError, UnknownNameError
from napari_smoothsal.models.model import Model

PREFIX = "torchvision:"

_LOADED_OTHERWISE = ("googlenet", "inception", "densenet")
"""Networks that torchvision changes, or whose files it rewrites, while it loads its weights."""


def load_torchvision(source: str) -> Model:
    """Build a classification network of torchvision and fill it from a file.

    Parameters
    ----------
    source
        ``torchvision:NAME:FILE``; a state dict as ``.pth``, ``.pt`` or ``.safetensors``. Classes,
        normalisation and tile side are those that torchvision states for the file of this name;
        for its first weights of the network where the name is another.

    Raises
    ------
    UnknownNameError
        If torchvision has no such network for classification, or fills it in a way of its own
        (GoogLeNet, Inception, DenseNet).
    ModelError
        If there is no such file, or it does not fit the network.
    """
    name, _, file = source.removeprefix(PREFIX).partition(":")
    known = [
        n
        for n in torchvision_models.list_models(module=torchvision_models)
        if not n.startswith(_LOADED_OTHERWISE)
    ]
    if name not in known:
        raise UnknownNameError("network of torchvision", name, known)
    path = Path(file)
    if not file or not path.is_file():
        raise ModelError(
            f"torchvision's {name!r}: there is no file of weights {path.name!r}; give it as "
            f"{PREFIX}{name}:FILE, e.g. {PREFIX}{name}:{_known_file(_entries(name)[0])}"
        )
    entry = next((e for e in _entries(name) if _known_file(e) == path.name), _entries(name)[0])
    module = torchvision_models.get_model(name, weights=None)
    try:
        module.load_state_dict(_state(path))
    except RuntimeError as error:
        raise ModelError(f"{path.name!r} does not fit torchvision's {name!r}: {error}") from error
    preset = entry.transforms()
    card = ModelCard(
        name=name,
        kind="classification",
        class_names=tuple(entry.meta["categories"]),
        input_size=preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        architecture={"library": "torchvision", "name": name},
        training_data="ImageNet-1k, as torchvision says",
    )
    return Model(module.eval().requires_grad_(False), card)


def _entries(name: str) -> list[Any]:
    return list(torchvision_models.get_model_weights(name))


def _known_file(entry: Any) -> str:
    return str(entry.url).rpartition("/")[2]


def _state(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler meets garbage with errors of any kind
        raise ModelError(
            f"{path.name!r} is no file of weights that can be read without running code"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ModelError(f"{path.name!r} holds no state dict (names and tensors)")
    return state
