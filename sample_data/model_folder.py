"""The model folders that the training scripts write: a card and its weights."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models.architectures import ARCHITECTURES

INTENDED_USE = (
    "Demonstration and testing of saliency maps. NOT for diagnosis, NOT for any decision "
    "about a patient, NOT a measure of what such networks can do."
)
REAL_PATCHES = (
    "real H&E patches of lymph nodes (256 px at 0.25 um per pixel{reduced}) of Camelyon16, CC0, "
    "as cut by DIDSR/DeepLearningCamelyon_II. The sample slide was not used in training."
)


def chosen_folder(what: str | None, name: str) -> Path:
    """Folder given on the command line; without one, where the model ``name`` is shipped."""
    parser = argparse.ArgumentParser(description=what)
    default = Path(__file__).parent / "models" / name
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    folder: Path = parser.parse_args().folder
    return folder


def build(architecture: dict[str, Any]) -> nn.Module:
    """Network with random weights, of a card's field ``architecture``."""
    arguments = {k: v for k, v in architecture.items() if k not in ("library", "name")}
    return ARCHITECTURES[architecture["name"]](**arguments)


def write_model(folder: Path, model: nn.Module, fields: dict[str, Any]) -> ModelCard:
    """Write ``model.safetensors`` and ``card.json``.

    Parameters
    ----------
    folder
        Made where it is missing.
    model
        Its state dict becomes the weights.
    fields
        Of the card, but for the weights' hash, the licence and the intended use, which are the
        same for all demonstration models.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "model.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, weights)
    weights.chmod(0o644)  # safetensors writes files that only their owner can read
    card = ModelCard(
        **fields,
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        licence="MIT",
        intended_use=INTENDED_USE,
    )
    text = card.model_dump_json(indent=2, exclude_none=True)
    (folder / "card.json").write_text(text + "\n", encoding="utf-8")
    return card
