"""Folders as timm saves them for a model hub."""

from __future__ import annotations

from pathlib import Path

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.formats.base import (
    SAFETENSORS,
    Format,
    name_of,
    settings_in,
)
from napari_smoothsal.models.formats.licence import licence_in
from napari_smoothsal.models.libraries.base import NAMELESS, class_names


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
        settings = settings_in(folder)
        # Older folders have the preprocessing at the top.
        images = {**settings, **settings.get("pretrained_cfg", {})}
        name = name_of(folder)
        classes = settings.get("num_classes", images.get("num_classes", 0))
        if not classes:
            raise ModelError(
                f"model {name!r} is an encoder: it has no classes, so there is no decision to "
                "explain. Put a trained head on it, and use ss.Model(module, card)"
            )
        names = class_names(classes, settings.get("label_names") or images.get("label_names") or ())
        arguments = {**settings.get("model_args", {}), "num_classes": classes}
        try:
            return ModelCard(
                name=name,
                kind="classification",
                class_names=names,
                input_size=images["input_size"][-1],
                mean=tuple(images["mean"]),
                std=tuple(images["std"]),
                architecture={
                    "library": "timm",
                    "name": settings["architecture"],
                    **arguments,
                },
                licence=images.get("license") or licence_in(folder),
                notes=NAMELESS if names[0] == "class 0" else None,
            )
        except (KeyError, TypeError, IndexError) as error:
            raise ModelError(f"model {name!r}: its config.json has no usable {error}") from error
