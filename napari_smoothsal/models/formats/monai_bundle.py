"""MONAI bundles, read as data: no ``$`` expression is evaluated, and no component is built but the
network, whose kind must be known here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import model_validator

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.models.formats.base import Format, name_of, settings_in
from napari_smoothsal.models.formats.licence import licence_in
from napari_smoothsal.models.libraries import LIBRARIES
from napari_smoothsal.models.libraries.base import class_names
from napari_smoothsal.models.libraries.monai_networks import TARGET

_METADATA = "configs/metadata.json"
_CONFIGS = ("configs/inference.json", "configs/evaluate.json", "configs/train.json")
_HARMLESS = {
    *("CastToTyped", "CastToType", "EnsureTyped", "EnsureType", "ToTensord", "ToTensor"),
    *("LoadImaged", "LoadImage", "EnsureChannelFirstd", "EnsureChannelFirst"),
    *("AsChannelFirstd", "AsChannelFirst"),
}
_SCALING = ("ScaleIntensityRanged", "ScaleIntensityRange")
_FIELDS = ("a_min", "a_max", "b_min", "b_max", "clip", "keys")
_REFERENCES = 8
_WAY_OUT = "build the network with MONAI and use ss.Model(module, card), or --factory"
_WHITE = 255
"""A MONAI image has values from 0 to 255."""


class MonaiBundle(Format):
    """``configs/metadata.json``, ``configs/inference.json`` and ``models/model.pt``."""

    name = "monai"
    says = "a MONAI bundle's configs/ and models/model.pt"
    weight_files = ("models/model.pt", "models/model.safetensors")

    def recognises(self, folder: Path) -> bool:
        """As described by `Format.recognises`."""
        return (folder / _METADATA).is_file()

    def card(self, folder: Path) -> ModelCard:
        """As described by `Format.card`; bundles do not say a resolution."""
        metadata = settings_in(folder, _METADATA)
        name = str(metadata.get("name") or name_of(folder))
        config = next((c for c in (settings_in(folder, f) for f in _CONFIGS) if c), None)
        if config is None:
            raise ModelError(f"bundle {name!r}: {_CONFIGS[0]} is missing; it says the network")
        network = _resolved(config.get("network_def", config.get("network")), config, name)
        target, arguments = _known(network, name)
        channels, side = _input(metadata, name)
        mean, std = _normalisation(config, channels, name)
        classes = arguments.get("num_classes", 1)
        if not isinstance(classes, int):
            raise ModelError(f"bundle {name!r}: num_classes = {classes!r} is no number")
        return ModelCard(
            name=name,
            kind="classification",
            class_names=class_names(classes, _classes(metadata)),
            input_size=side,
            mean=mean,
            std=std,
            architecture=LIBRARIES["monai"].architecture(target, arguments),
            licence=licence_in(folder),
            training_data=metadata.get("data_source"),
            intended_use=metadata.get("intended_use"),
            notes="Bundles do not say at which resolution (um per pixel) the model sees a slide.",
        )


def _resolved(value: Any, config: Mapping[str, Any], name: str, depth: int = 0) -> Any:
    """A value with plain references (``@other``) followed; expressions are refused."""
    if isinstance(value, str) and value[:1] in ("$", "%"):
        raise ModelError(
            f"bundle {name!r}: {value[:80]!r} is an expression, which is not evaluated here; write "
            f"the value into a copy of the bundle's configuration, or {_WAY_OUT}"
        )
    if isinstance(value, str) and value.startswith("@"):
        found = config.get(value[1:])
        # To plain values alone: a reference to many others to many others has no end.
        if isinstance(found, Mapping | list) or value[1:] not in config or depth >= _REFERENCES:
            raise ModelError(
                f"bundle {name!r}: {value[:80]!r} refers to no plain value in its configuration; "
                + _WAY_OUT
            )
        return _resolved(found, config, name, depth + 1)
    if isinstance(value, Mapping):
        return {k: _resolved(v, config, name, depth) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolved(v, config, name, depth) for v in value]
    return value


def _known(network: Any, name: str) -> tuple[str, dict[str, Any]]:
    target = str(network.get("_target_", "")) if isinstance(network, Mapping) else ""
    short = target.rpartition(".")[2]
    if short != TARGET:
        raise ModelError(
            f"bundle {name!r}: its network is {target or network!r}, and only {TARGET} is built "
            f"from a bundle; {_WAY_OUT}"
        )
    arguments = {k: v for k, v in network.items() if not k.startswith("_")}
    return short, arguments


def _input(metadata: Mapping[str, Any], name: str) -> tuple[int, int]:
    """Channels and side of the network's image."""
    try:
        image = metadata["network_data_format"]["inputs"]["image"]
        channels, shape = int(image["num_channels"]), image["spatial_shape"]
        sides = {int(side) for side in shape}
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"bundle {name!r}: {_METADATA} does not say the image's num_channels and "
            f"spatial_shape; {_WAY_OUT}"
        ) from error
    if channels != 3 or len(shape) != 2 or len(sides) != 1:
        raise ModelError(
            f"bundle {name!r} takes images of {channels} channels and shape {shape}; square RGB "
            "tiles are what there is here"
        )
    return channels, sides.pop()


def _classes(metadata: Mapping[str, Any]) -> list[str]:
    try:
        named = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        return [str(named[key]) for key in sorted(named, key=int)]
    except (KeyError, TypeError, ValueError, AttributeError):
        return []


Numbers = tuple[float, ...]


class Scaling(Settings):
    """MONAI's ``ScaleIntensityRange``: from [a_min, a_max] to [b_min, b_max]."""

    a_min: float
    a_max: float
    b_min: float
    b_max: float
    clip: bool = False
    keys: str | list[str] = "image"

    @model_validator(mode="after")
    def _of_images(self) -> Scaling:
        if self.a_max <= self.a_min or self.b_max <= self.b_min:
            raise ValueError("a_min, a_max, b_min and b_max are no ranges")
        if self.clip and (self.a_min > 0 or self.a_max < _WHITE):
            raise ValueError("clip = True cuts values off that images have")
        if self.keys not in ("image", ["image"]):
            raise ValueError(f"keys = {self.keys!r} are not those of the image")
        return self


def _normalisation(config: Mapping[str, Any], channels: int, name: str) -> tuple[Numbers, Numbers]:
    """Mean and std, of values from 0 to 1, that the preprocessing amounts to."""
    found = config.get("preprocessing")
    steps = found.get("transforms", [found]) if isinstance(found, Mapping) else found
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        raise ModelError(
            f"bundle {name!r}: its configuration has no preprocessing, so nobody knows how images "
            f"are scaled; {_WAY_OUT}"
        )
    scalings = []
    for step in steps:
        kind = str(step.get("_target_", "")).rpartition(".")[2]
        if step.get("_disabled_", False) is not False:
            raise ModelError(
                f"bundle {name!r}: {kind} may be switched off (_disabled_); write what is done "
                "into a copy of the bundle's configuration"
            )
        if kind in _SCALING:
            fields = {k: _resolved(v, config, name) for k, v in step.items() if k in _FIELDS}
            scalings.append(Scaling(**fields))
        elif kind not in _HARMLESS:
            raise ModelError(
                f"bundle {name!r}: its preprocessing has {kind!r}, which is not known here; "
                + _WAY_OUT
            )
    black, white = 0.0, float(_WHITE)  # as the image has them, and each scaling makes them
    for one in scalings:
        factor = (one.b_max - one.b_min) / (one.a_max - one.a_min)
        black, white = (one.b_min + (value - one.a_min) * factor for value in (black, white))
    std = 1 / (white - black)
    mean = -black * std
    return (mean,) * channels, (std,) * channels
