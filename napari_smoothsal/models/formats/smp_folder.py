"""Folders as segmentation-models-pytorch saves them (``model.save_pretrained``)."""

from __future__ import annotations

from pathlib import Path

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models.formats.base import SAFETENSORS, Format, name_of, settings_in
from napari_smoothsal.models.formats.licence import licence_in
from napari_smoothsal.models.libraries.smp_networks import smp_card

_CLASS = "_model_class"
_TEMPLATES = "mit"
"""Licence in the README that `save_pretrained` writes, whosever weights they are."""


class SmpFolder(Format):
    """``config.json`` with a decoder's class and its arguments."""

    name = "smp"
    says = f"segmentation-models-pytorch's config.json and {SAFETENSORS}"

    def recognises(self, folder: Path) -> bool:
        """As described by `Format.recognises`."""
        return _CLASS in settings_in(folder)

    def card(self, folder: Path) -> ModelCard:
        """As described by `Format.card`."""
        settings = settings_in(folder)
        arguments = {k: v for k, v in settings.items() if not k.startswith("_")}
        card = smp_card(name_of(folder), str(settings[_CLASS]), arguments)
        licence = licence_in(folder)
        if licence == _TEMPLATES:
            licence += " (as the library writes beside all models that it saves)"
        return card.model_copy(update={"licence": licence})
