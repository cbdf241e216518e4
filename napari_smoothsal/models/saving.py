"""save_model: a model as a folder that any machine loads without running code."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.core.files import replaced_at_once
from napari_smoothsal.models.formats.base import SAFETENSORS
from napari_smoothsal.models.formats.card_folder import CARD
from napari_smoothsal.models.libraries import LIBRARIES
from napari_smoothsal.models.model import Model
from napari_smoothsal.models.weights import sha256_of


def save_model(model: Model, folder: Path) -> ModelCard:
    """Write ``card.json`` and ``model.safetensors``.

    Parameters
    ----------
    model
        Of an architecture that `load_model` builds.
    folder
        Is made where it is not there; files of other names stay.

    Returns
    -------
    ModelCard
        As written, with the hash of the weights.

    Raises
    ------
    ModelError
        If the card names no architecture that could be built again, or the folder holds a card.
    """
    library = (model.card.architecture or {}).get("library")
    if library not in LIBRARIES:
        raise ModelError(
            f"model {model.card.name!r} could not be loaded again: its card's architecture names "
            f"no library of {', '.join(LIBRARIES)}"
        )
    if (folder / CARD).exists():
        raise ModelError(f"{folder.name!r} holds a {CARD} already; remove it, or choose another")
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / SAFETENSORS
    with replaced_at_once(weights) as part:
        # Cloned, since one parameter under two names would be refused.
        save_file({name: value.clone() for name, value in model.module.state_dict().items()}, part)
    fields = {**model.card.model_dump(mode="json"), "weights_sha256": sha256_of(weights)}
    card = ModelCard(**fields)
    with replaced_at_once(folder / CARD) as part:
        part.write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
    return card
