"""Whether weights are those that a card describes."""

from __future__ import annotations

from pathlib import Path

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.weights import sha256_of


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
            f"(SHA-256 {found[:12]}..., card says {card.weights_sha256[:12]}...). Copy or download "
            "it again; if it is the right one, correct weights_sha256 in the card"
        )
