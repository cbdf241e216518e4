"""This project's own model format: a folder with ``card.json`` and ``model.safetensors``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError, UnknownNameError
from napari_smoothsal.models.architectures import ARCHITECTURES
from napari_smoothsal.models.card_file import json_object
from napari_smoothsal.models.model import Model
from napari_smoothsal.models.weights import filled, read_weights, sha256_of, tensors_of

CARD = "card.json"
WEIGHTS = "model.safetensors"
_MOST_CARD_BYTES = 1 << 20


def load_folder(folder: Path) -> Model:
    """Read a card and its weights; neither can run code.

    Raises
    ------
    ModelError
        If the card is unreadable, names an architecture that is not known, or does not fit
        the weights (by hash, names or shapes).
    """
    card = _card(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ModelError(f"model {card.name!r}: {WEIGHTS} is missing beside {CARD}")
    found = sha256_of(weights)
    if card.weights_sha256 is not None and found != card.weights_sha256:
        raise ModelError(
            f"model {card.name!r}: {WEIGHTS} is not the file the card describes "
            f"(SHA-256 {found[:12]}..., card says {card.weights_sha256[:12]}...)"
        )
    arguments = dict(card.architecture or {})
    library = arguments.pop("library", None)
    name = arguments.pop("name", None)
    if library != "napari_smoothsal":
        raise ModelError(
            f"model {card.name!r}: its card names architecture {name!r} of library {library!r}; "
            "this version builds those of 'napari_smoothsal'. Use ss.Model(module, card) in "
            "Python for any other network"
        )
    if name not in ARCHITECTURES:
        raise UnknownNameError("architecture", str(name), ARCHITECTURES)
    whose = f"model {card.name!r}"
    state = tensors_of(read_weights(weights), whose)
    try:
        module = filled(partial(ARCHITECTURES[name], **arguments), state, whose)
    except (RuntimeError, TypeError) as error:  # arguments that the architecture does not take
        raise ModelError(f"{whose}: {error}") from error
    return Model(module, card)


def _card(folder: Path) -> ModelCard:
    path = folder / CARD
    if not path.is_file():
        raise ModelError(
            f"{folder.name!r} is no model folder: it holds no {CARD}; it needs {CARD} and {WEIGHTS}"
        )
    return ModelCard(**json_object(path, f"model folder {folder.name!r}", _MOST_CARD_BYTES))
