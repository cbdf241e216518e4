"""Networks of torchvision, from the files of weights that torchvision itself downloads.

Named as ``torchvision:NAME:FILE``, e.g. ``torchvision:resnet34:weights/resnet34-b627a593.pth``.
Nothing is downloaded, and nothing in a file is run (`napari_smoothsal.models.weights`).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from torchvision import models as torchvision_models

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError, UnknownNameError
from napari_smoothsal.models.model import Model
from napari_smoothsal.models.weights import filled, read_weights, state_dict_in

PREFIX = "torchvision:"

_LOADED_OTHERWISE = ("googlenet", "inception", "densenet")
"""Networks that torchvision changes, or whose files it rewrites, while it loads its weights."""


def load_torchvision(source: str) -> Model:
    """Build a classification network of torchvision and fill it from a file.

    Parameters
    ----------
    source
        ``torchvision:NAME:FILE``; a state dict or a checkpoint that holds one, as `read_weights`
        takes it. Classes,
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
    whose = f"{path.name!r} for torchvision's {name!r}"
    build = partial(torchvision_models.get_model, name, weights=None)
    module = filled(build, state_dict_in(read_weights(path), whose), whose)
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
    return Model(module.requires_grad_(False), card)


def _entries(name: str) -> list[Any]:
    return list(torchvision_models.get_model_weights(name))


def _known_file(entry: Any) -> str:
    return str(entry.url).rpartition("/")[2]
