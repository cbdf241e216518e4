"""Kinds of folders that hold a model: the registry, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.core.registry import Registry
from napari_smoothsal.models.formats.base import CONFIG, Format, settings_in
from napari_smoothsal.models.formats.card_folder import CardFolder
from napari_smoothsal.models.formats.hub_folder import HubFolder
from napari_smoothsal.models.formats.monai_bundle import MonaiBundle
from napari_smoothsal.models.formats.smp_folder import SmpFolder
from napari_smoothsal.models.formats.wsinfer_folder import WsinferFolder

__all__ = ["FORMATS", "Format", "format_of", "is_known"]

_NAMES_TOLD = 6

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
        f"{folder.name!r} is no model folder that is known: it holds {_held(folder)}. A known one "
        f"holds {known}. Weights alone need the name of their network, such as "
        "timm:NAME:FILE or torchvision:NAME:FILE; `smoothsal card new` makes a folder of them"
    )


def is_known(folder: Path) -> bool:
    """Whether a folder is of a format that is known."""
    return any(one.recognises(folder) for one in FORMATS.values())


def _held(folder: Path) -> str:
    """What is in a folder, and in its configuration, as far as a message has room for."""
    names = sorted(entry.name for entry in folder.iterdir())
    told = _some(names) or "nothing"
    if CONFIG in names:
        told += f"; {CONFIG} has {_some(settings_in(folder)) or 'nothing'}"
    return told


def _some(names: Iterable[str]) -> str:
    first = [repr(name[:40]) for name in islice(names, _NAMES_TOLD + 1)]
    return ", ".join(first[:_NAMES_TOLD]) + (", ..." if len(first) > _NAMES_TOLD else "")
