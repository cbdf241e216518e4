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

_NAMES = {"inceptionv4": "inception_v4", "inception_v4nobn": "inception_v4"}
"""Architectures that the zoo calls otherwise than timm."""


class WsinferConfig(Settings):
    """Version 1.0 of the zoo's ``config.json``; further fields at the top are passed over."""

    spec_version: Literal["1.0"]
    architecture: str
    num_classes: int = Field(ge=1)
    patch_size_pixels: int = Field(ge=1)
    spacing_um_px: float = Field(gt=0)
    class_names: tuple[str, ...]
    transform: tuple[dict[str, Any], ...]


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
        side, mean, std = _preprocessing(config, name)
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
            architecture={
                "library": "timm",
                "name": _NAMES.get(config.architecture, config.architecture),
                "num_classes": config.num_classes,
            },
            licence=licence_in(folder),
        )


Numbers = tuple[float, ...]


def _preprocessing(config: WsinferConfig, name: str) -> tuple[int, Numbers, Numbers]:
    """Side, mean and std that the transforms amount to."""
    side, mean, std = config.patch_size_pixels, (0.0,) * 3, (1.0,) * 3
    for step in config.transform:
        arguments = step.get("arguments") or {}
        match step.get("name"):
            case "Resize":
                side = _side(arguments, name)
            case "ToTensor":
                pass
            case "Normalize":
                mean, std = tuple(arguments["mean"]), tuple(arguments["std"])
            case other:
                raise ModelError(
                    f"model {name!r}: config.json has a transform {other!r}; version 1.0 has "
                    "Resize, ToTensor and Normalize"
                )
    return side, mean, std


def _side(arguments: dict[str, Any], name: str) -> int:
    size = arguments.get("size")
    sides = {size} if isinstance(size, int) else set(size or ())
    if len(sides) != 1 or not isinstance(next(iter(sides)), int):
        raise ModelError(
            f"model {name!r}: config.json resizes patches to {size!r}; give one side in px"
        )
    return int(sides.pop())
