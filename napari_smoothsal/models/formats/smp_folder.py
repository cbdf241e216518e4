"""Folders as segmentation-models-pytorch saves them (``model.save_pretrained``)."""

from __future__ import annotations

from pathlib import Path

from napari_smoothsal.models.formats.base import (
    SAFETENSORS,
    Description,
    Format,
    name_of,
    settings_in,
    weights_in,
)
from napari_smoothsal.models.formats.licence import licence_in
from napari_smoothsal.models.libraries.smp_networks import smp_card

_CLASS = "_model_class"


class SmpFolder(Format):
    """``config.json`` with a decoder's class and its arguments."""

    name = "smp"
    says = f"segmentation-models-pytorch's config.json and {SAFETENSORS}"

    def recognises(self, folder: Path) -> bool:
        """As described by `Format.recognises`."""
        return _CLASS in settings_in(folder)

    def described(self, folder: Path) -> Description:
        """As described by `Format.described`."""
        arguments = {k: v for k, v in settings_in(folder).items() if not k.startswith("_")}
        decoder = str(settings_in(folder)[_CLASS])
        card = smp_card(name_of(folder), decoder, arguments)
        card = card.model_copy(update={"licence": licence_in(folder)})
        return Description(card, weights_in(folder, (SAFETENSORS, "pytorch_model.bin"), card.name))
