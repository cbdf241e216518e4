"""This project's own format: a model card beside the weights."""

from __future__ import annotations

from pathlib import Path

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.formats.base import (
    SAFETENSORS,
    Description,
    Format,
    settings_in,
    weights_in,
)
from napari_smoothsal.models.weights import sha256_of

CARD = "card.json"
_WEIGHTS = (SAFETENSORS, "pytorch_model.bin", "model.pt", "model.pth")


class CardFolder(Format):
    """``card.json`` and ``model.safetensors``, of any library of networks."""

    name = "card"
    says = f"{CARD} and {SAFETENSORS}"

    def recognises(self, folder: Path) -> bool:
        """As described by `Format.recognises`."""
        return (folder / CARD).is_file()

    def described(self, folder: Path) -> Description:
        """As described by `Format.described`; the weights must be those that the card names."""
        fields = settings_in(folder, CARD)
        fields.pop("$schema", None)  # by which editors find what a card may say
        card = ModelCard(**fields)
        weights = weights_in(folder, _WEIGHTS, f"model {card.name!r}")
        if card.weights_sha256 is not None:
            found = sha256_of(weights)
            if found != card.weights_sha256:
                raise ModelError(
                    f"model {card.name!r}: {weights.name} is not the file the card describes "
                    f"(SHA-256 {found[:12]}..., card says {card.weights_sha256[:12]}...)"
                )
        return Description(card, weights)
