"""Train the paths of a bilinear surrogate, each against its own convolution's outputs.

The network is frozen and in evaluation mode; every convolution sees what it sees in the
original network, whatever its path makes of it, and no gradient flows through the network
(Herdt et al., Smooth Deep Saliency, section 3.3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.training import SurrogateTraining
from napari_smoothsal.denoise.surrogate_trainer import History, TileSource, Trainer
from napari_smoothsal.models import Model
from napari_smoothsal.models.surrogate import Surrogate

CHECKPOINT = "checkpoint.safetensors"
_FORMAT = "3"
_LEAST_TILES = 4


class Trained(NamedTuple):
    """What came of a training.

    Attributes
    ----------
    surrogate
        The best on the held-out tiles.
    start
        As it was before the first step.
    history
        What was measured.
    held_out
        Tiles that it was measured on.
    """

    surrogate: Surrogate
    start: Surrogate
    history: History
    held_out: list[int]


Told = Callable[[int, History], None]
"""Called after every measurement."""


def train_surrogate(
    model: Model,
    source: TileSource,
    options: SurrogateTraining,
    folder: Path,
    *,
    classes: Sequence[int] | None = None,
    device: torch.device | None = None,
    told: Told | None = None,
) -> Trained:
    """Train a surrogate for every strided convolution of a model.

    Parameters
    ----------
    model
        It stays as it is.
    source
        Tiles. A share of them is held out.
    options
        How.
    folder
        Where the checkpoint goes. One of the same training that is there is gone on with: the
        weights are then those of a training that was never interrupted.
    classes
        Predicted class of each tile; batches hold as many of each.
    device
        None: the CPU.
    told
        Called after every measurement with the step and what was measured so far.

    Returns
    -------
    Trained

    Raises
    ------
    SettingError
        If the model has no strided convolution, or there are too few tiles.
    ComputeError
        If the loss is not finite; the last checkpoint stays.
    ModelError
        If the folder holds the checkpoint of another training.
    """
    if not model.strided_convolutions:
        raise SettingError(
            f"model {model.card.name!r} has no strided convolution (nn.Conv2d with a stride above "
            "1), so there is nothing that a surrogate could stand in for"
        )
    if len(source) < _LEAST_TILES:
        raise SettingError(
            f"{len(source)} tiles are too few to train on and to measure with; give "
            f"{_LEAST_TILES} or more"
        )
    trainer = Trainer(model, source, options, classes, device or torch.device("cpu"))
    checkpoint = folder / CHECKPOINT
    identity = {
        "format": _FORMAT,
        "model": model.parameters_sha256,
        **_stain(model),
        "tiles": source.fingerprint,
        "classes": None
        if classes is None
        else hashlib.sha256(bytes(str(classes), "ascii")).hexdigest(),
        "options": options.model_dump(mode="json"),
    }
    if checkpoint.exists():
        trainer.load(checkpoint, identity)
    else:
        trainer.begin()
        folder.mkdir(parents=True, exist_ok=True)
        trainer.save(checkpoint, identity)
    while not trainer.finished:
        trainer.step()
        if trainer.done % options.validate_every == 0 or trainer.done == options.steps:
            trainer.validate()
            if told is not None:
                told(trainer.done, trainer.history)
        if trainer.done % options.checkpoint_every == 0 or trainer.finished:
            trainer.save(checkpoint, identity)
    return Trained(trainer.best, trainer.start, trainer.history, trainer.held_out)


def _stain(model: Model) -> dict[str, object]:
    """What tiles are brought to; nothing where they stay as they are."""
    stain = model.card.stain_normalisation
    return {} if stain is None else {"stain_normalisation": stain.model_dump(mode="json")}
