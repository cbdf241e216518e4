"""Format: a kind of folder that holds a model, and what is read from it before its weights are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.card_file import MOST_JSON_BYTES, json_object

SAFETENSORS = "model.safetensors"
TORCHSCRIPT = "torchscript_model.pt"
CONFIG = "config.json"


class Format(ABC):
    """One kind of folder.

    Attributes
    ----------
    name
        As it is registered.
    says
        What the folder holds, for the message when none is recognised.
    weight_files
        Names of the files that may hold its weights; the first that is there does.
    """

    name: ClassVar[str]
    says: ClassVar[str]
    weight_files: ClassVar[tuple[str, ...]] = (
        SAFETENSORS,
        f"{SAFETENSORS}.index.json",
        "pytorch_model.bin",
    )

    @abstractmethod
    def recognises(self, folder: Path) -> bool:
        """Whether a folder is of this kind, by its files."""

    @abstractmethod
    def card(self, folder: Path) -> ModelCard:
        """What the folder says of its model, whatever its weights are; nothing in it is run.

        Raises
        ------
        ModelError
            If it says too little, or contradicts itself.
        """

    def weights(self, folder: Path, card: ModelCard) -> Path:
        """The file that holds the weights.

        Raises
        ------
        ModelError
            If there is none that can be read, or it is not the one that the card describes.
        """
        for name in self.weight_files:
            if (folder / name).is_file():
                return folder / name
        if (folder / TORCHSCRIPT).is_file():
            raise ModelError(
                f"model {card.name!r} has its weights as TorchScript only ({TORCHSCRIPT}), whose "
                f"hidden layers cannot be reached; put {' or '.join(self.weight_files)} beside "
                "it. For predictions without maps: smoothsal run --predict-only --torchscript"
            )
        raise ModelError(
            f"model {card.name!r}: weights are missing; put {' or '.join(self.weight_files)} into "
            "its folder"
        )


def settings_in(folder: Path, file: str = CONFIG) -> dict[str, Any]:
    """The JSON object that describes a folder; an empty one where there is no such file."""
    path = folder / file
    if not path.is_file():
        return {}
    return json_object(path, f"model folder {name_of(folder)!r}", MOST_JSON_BYTES)


def name_of(folder: Path) -> str:
    """What a model is called whose files do not say it: as its folder is.

    In a cache of a model hub the folder is called by a hash, three levels below one whose name is
    the model's.
    """
    folder = folder.absolute()
    if folder.parent.name == "snapshots":
        return folder.parent.parent.name.rpartition("--")[2]
    return folder.name
