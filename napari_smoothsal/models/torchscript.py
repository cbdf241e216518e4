"""load_torchscript: a TorchScript file for predictions alone, where it is asked for.

TorchScript is a program. Reading one runs none of Python's code, unlike a pickle, but using it
runs whatever it consists of; nobody gets to that by mistaking a file for weights.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.logits import (
    first_pass,
    probe_sides,
    stays_within,
    tell_of_several_sigmoids,
)
from napari_smoothsal.models.model import Model
from napari_smoothsal.models.output_kind import OutputKind, kind_of
from napari_smoothsal.models.outputs import Place, place_of
from napari_smoothsal.models.scripted import ScriptedNetwork
from napari_smoothsal.models.weights import sha256_of


def load_torchscript(path: Path, card: ModelCard) -> Model:
    """Load a TorchScript program as a model that predicts and explains nothing.

    Parameters
    ----------
    path
        What `torch.jit.save` wrote. It is a program: load only what you would run.
    card
        What it is; nothing of it is written in such a file.

    Returns
    -------
    Model
        Of logits: where the outputs for probe tiles are probabilities, their logarithm (softmax)
        or the inverse of the sigmoid is taken, with a sentence in `Model.adaptations`.

    Raises
    ------
    ModelError
        If it is no TorchScript, fails on the probe tiles, or has several outputs.
    """
    if not path.is_file():
        raise ModelError(f"model {card.name!r}: there is no TorchScript file {path.name!r}")
    try:
        with warnings.catch_warnings():
            # torch would have everybody export anew; the files that there are stay as they are.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            script = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"model {card.name!r}: {path.name!r} is no TorchScript program ({reason}); weights "
            "are loaded without torchscript=True"
        ) from error
    script.eval()
    place, kind = _probed(script, card)
    return Model(ScriptedNetwork(script, place, kind, sha256_of(path)).eval(), card)


@torch.no_grad()
def _probed(script: torch.jit.ScriptModule, card: ModelCard) -> tuple[Place, OutputKind]:
    """Where its logits are, and what they look like."""
    found = first_pass(script, card)
    if found is None:
        sides = ", ".join(map(str, probe_sides(card)))
        raise ModelError(
            f"model {card.name!r}: its TorchScript program fails on images of "
            f"{len(card.mean)} channels and {sides} px; put the tile side it was made for into "
            "the card's input_size"
        )
    _, returned, images = found
    place = place_of(returned, card)
    kind = kind_of(place.of(returned))
    if kind == "sigmoid" and not stays_within(script, card, place, images.shape[-1]):
        return place, "logits"
    if kind == "sigmoid" and len(card.class_names) > 1:
        tell_of_several_sigmoids(card.name)
    return place, kind
