"""Folders as timm saves them for a model hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.models.formats.base import SAFETENSORS, Format, name_of, settings_in
from napari_smoothsal.models.formats.licence import licence_in
from napari_smoothsal.models.libraries import LIBRARIES
from napari_smoothsal.models.libraries.base import NAMELESS, class_names


class HubConfig(Settings):
    """What is needed of ``config.json``; older folders have the preprocessing at its top."""

    architecture: str
    num_classes: int = 0
    label_names: tuple[str, ...] | None = None
    global_pool: str | None = None
    model_args: dict[str, Any] = Field(default_factory=dict)
    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    license: str | None = None


class HubFolder(Format):
    """``config.json`` with an architecture of timm and its preprocessing."""

    name = "timm"
    says = f"timm's config.json (architecture, pretrained_cfg) and {SAFETENSORS}"

    def recognises(self, folder: Path) -> bool:
        """As described by `Format.recognises`."""
        settings = settings_in(folder)
        return "architecture" in settings and ("pretrained_cfg" in settings or "mean" in settings)

    def card(self, folder: Path) -> ModelCard:
        """As described by `Format.card`.

        timm's own transforms crop and scale a picture to the tile's side; a tile is read at that
        side, and only normalised.
        """
        settings, name = settings_in(folder), name_of(folder)
        images = settings.get("pretrained_cfg", {})
        if not isinstance(images, dict):
            raise ModelError(f"model {name!r}: pretrained_cfg in config.json is no object")
        told = {**images, **{k: v for k, v in settings.items() if v is not None}}
        config = HubConfig(**{k: v for k, v in told.items() if k in HubConfig.model_fields})
        if not config.num_classes:
            raise ModelError(
                f"model {name!r} is an encoder: it has no classes, so there is no decision to "
                "explain. Put a trained head on it, and use ss.Model(module, card)"
            )
        arguments = {**config.model_args, "num_classes": config.num_classes}
        if config.global_pool is not None:
            arguments.setdefault("global_pool", config.global_pool)
        names = class_names(config.num_classes, config.label_names or ())
        return ModelCard(
            name=name,
            kind="classification",
            class_names=names,
            input_size=config.input_size[-1],
            mean=config.mean,
            std=config.std,
            architecture=LIBRARIES["timm"].architecture(config.architecture, arguments),
            licence=licence_in(folder) or _of_pretrained(config.license),
            notes=NAMELESS if names[0] == "class 0" else None,
        )


def _of_pretrained(licence: str | None) -> str | None:
    # timm copies it to whatever was trained from its own weights.
    return licence and f"{licence} (by timm's configuration: of these or of the weights before)"
