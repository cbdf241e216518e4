"""Folders of the WSInfer model zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.models.formats.base import (
    SAFETENSORS,
    Format,
    name_of,
    settings_in,
)
from napari_smoothsal.models.formats.licence import licence_in
from napari_smoothsal.models.libraries import LIBRARIES

_NAMES = {"inceptionv4": "inception_v4"}
"""Architectures that the zoo calls otherwise than timm."""


class Resize(Settings):
    """To one side, in px."""

    size: int = Field(ge=1)


class Normalize(Settings):
    """Of values from 0 to 1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Transform(Settings):
    """One of those that version 1.0 has."""

    name: Literal["Resize", "ToTensor", "Normalize"]
    arguments: dict[str, Any] | None = None


class WsinferConfig(Settings):
    """Version 1.0 of the zoo's ``config.json``; further fields at the top are passed over."""

    spec_version: Literal["1.0"]
    architecture: str
    num_classes: int = Field(ge=1)
    patch_size_pixels: int = Field(ge=1)
    spacing_um_px: float = Field(gt=0)
    class_names: tuple[str, ...]
    transform: tuple[Transform, ...]


class WsinferFolder(Format):
    """``config.json`` with patch size, spacing and transforms."""

    name = "wsinfer"
    says = f"WSInfer's config.json (spec_version 1.0) and {SAFETENSORS}"

    def recognises(self, folder: Path) -> bool:
        """As described by `Format.recognises`."""
        settings = settings_in(folder)
        return "spec_version" in settings and "patch_size_pixels" in settings

    def card(self, folder: Path) -> ModelCard:
        """As described by `Format.card`.

        WSInfer cuts patches of `patch_size_pixels` and lets Pillow make them the network's side:
        the network then sees ``patch_size_pixels * spacing_um_px / side`` um per pixel.
        """
        settings = settings_in(folder)
        known = {k: v for k, v in settings.items() if k in WsinferConfig.model_fields}
        config = WsinferConfig(**known)
        name = name_of(folder)
        if len(config.class_names) != config.num_classes:
            raise ModelError(
                f"model {name!r}: config.json names {len(config.class_names)} classes and says "
                f"there are {config.num_classes}"
            )
        side, mean, std = _preprocessing(config)
        resized = side != config.patch_size_pixels
        return ModelCard(
            name=name,
            kind="classification",
            class_names=config.class_names,
            input_size=side,
            input_mpp=config.patch_size_pixels * config.spacing_um_px / side,
            resampling="bilinear" if resized else "area",
            mean=mean,
            std=std,
            architecture=LIBRARIES["timm"].architecture(
                _NAMES.get(config.architecture, config.architecture),
                {"num_classes": config.num_classes},
            ),
            licence=licence_in(folder),
        )


Numbers = tuple[float, ...]


def _preprocessing(config: WsinferConfig) -> tuple[int, Numbers, Numbers]:
    """Side, mean and std that the transforms amount to."""
    side = config.patch_size_pixels
    mean: Numbers = (0.0,) * 3
    std: Numbers = (1.0,) * 3
    for step in config.transform:
        arguments = step.arguments or {}
        if step.name == "Resize":
            side = Resize(size=_side(arguments.get("size"))).size
        elif step.name == "Normalize":
            normalize = Normalize(**arguments)
            mean, std = normalize.mean, normalize.std
    return side, mean, std


def _side(size: Any) -> Any:
    """Of a square that is given by both its sides."""
    if isinstance(size, list) and len(size) == 2 and size[0] == size[1]:
        return size[0]
    return size
