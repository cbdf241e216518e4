"""Kinds of folders that hold a model: the registry, in the order in which they are tried."""

from __future__ import annotations

from pathlib import Path

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.core.registry import Registry
from napari_smoothsal.models.formats.base import Format
from napari_smoothsal.models.formats.card_folder import CardFolder
from napari_smoothsal.models.formats.hub_folder import HubFolder
from napari_smoothsal.models.formats.monai_bundle import MonaiBundle
from napari_smoothsal.models.formats.smp_folder import SmpFolder
from napari_smoothsal.models.formats.wsinfer_folder import WsinferFolder

__all__ = ["FORMATS", "Format", "format_of"]

FORMATS: Registry[Format] = Registry("format of models")
for _format in (CardFolder, SmpFolder, WsinferFolder, MonaiBundle, HubFolder):
    FORMATS.register(_format())


def format_of(folder: Path) -> Format:
    """The format of a folder; a card goes before whatever else is there.

    Raises
    ------
    ModelError
        If it is of none that is known.
    """
    for one in FORMATS.values():
        if one.recognises(folder):
            return one
    known = "; ".join(one.says for one in FORMATS.values())
    raise ModelError(
        f"{folder.name!r} is no model folder that is known. Such a folder holds {known}. "
        "`smoothsal card new` writes a card for weights of a known architecture"
    )
