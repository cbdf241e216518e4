"""This project's own format: a model card beside the weights."""

from __future__ import annotations

from pathlib import Path

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models.card_file import card_fields
from napari_smoothsal.models.formats.base import SAFETENSORS, Format, name_of

CARD = "card.json"


class CardFolder(Format):
    """``card.json`` and ``model.safetensors``, of any library of networks."""

    name = "card"
    says = f"{CARD} and {SAFETENSORS}"
    weight_files = (SAFETENSORS, "pytorch_model.bin", "model.pt", "model.pth")

    def recognises(self, folder: Path) -> bool:
        """As described by `Format.recognises`."""
        return (folder / CARD).is_file()

    def card(self, folder: Path) -> ModelCard:
        """As described by `Format.card`."""
        return ModelCard(**card_fields(folder / CARD, f"model folder {name_of(folder)!r}"))
