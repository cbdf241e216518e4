"""This project's own format: a model card beside the weights."""

from __future__ import annotations

from pathlib import Path

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.formats.base import SAFETENSORS, Format, settings_in
from napari_smoothsal.models.weights import sha256_of

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
        fields = settings_in(folder, CARD)
        fields.pop("$schema", None)  # by which editors find what a card may say
        return ModelCard(**fields)

    def weights(self, folder: Path, card: ModelCard) -> Path:
        """As described by `Format.weights`; the card names their hash."""
        weights = super().weights(folder, card)
        check_hash(weights, card)
        return weights


def check_hash(weights: Path, card: ModelCard) -> None:
    """Refuse weights that a card does not describe.

    Raises
    ------
    ModelError
        If the card names the hash of another file.
    """
    if card.weights_sha256 is None:
        return
    found = sha256_of(weights)
    if found != card.weights_sha256:
        raise ModelError(
            f"model {card.name!r}: {weights.name} is not the file the card describes "
            f"(SHA-256 {found[:12]}..., card says {card.weights_sha256[:12]}...)"
        )
