"""Format: a kind of folder that holds a model, and what is read from it before its weights are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.card_file import json_object

SAFETENSORS = "model.safetensors"
MOST_JSON_BYTES = 1 << 20


@dataclass(frozen=True)
class Description:
    """What a folder says of its model.

    Attributes
    ----------
    card
        Everything but the weights.
    weights
        The file that holds them.
    """

    card: ModelCard
    weights: Path


class Format(ABC):
    """One kind of folder.

    Attributes
    ----------
    name
        As it is registered.
    says
        What the folder holds, for the message when none is recognised.
    """

    name: ClassVar[str]
    says: ClassVar[str]

    @abstractmethod
    def recognises(self, folder: Path) -> bool:
        """Whether a folder is of this kind, by its files."""

    @abstractmethod
    def described(self, folder: Path) -> Description:
        """Read what the folder says; nothing in it is run.

        Raises
        ------
        ModelError
            If it is incomplete, or contradicts itself.
        """


def weights_in(folder: Path, names: Sequence[str], whose: str) -> Path:
    """The first of the files that is there.

    Raises
    ------
    ModelError
        If none is.
    """
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise ModelError(f"{whose}: weights are missing; put {' or '.join(names)} into its folder")
    return found


def settings_in(folder: Path, file: str = "config.json") -> dict[str, Any]:
    """The JSON object that describes a folder; an empty one where there is no such file."""
    path = folder / file
    if not path.is_file():
        return {}
    return json_object(path, f"model folder {folder.name!r}", MOST_JSON_BYTES)


def name_of(folder: Path) -> str:
    """What a model is called whose files do not say it: as its folder is.

    In a cache of a model hub the folder is called by a hash, three levels below one whose name is
    the model's.
    """
    folder = folder.absolute()
    if folder.parent.name == "snapshots":
        return folder.parent.parent.name.rpartition("--")[2]
    return folder.name
