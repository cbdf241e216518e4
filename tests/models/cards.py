"""Cards of networks that tests make up."""

from typing import Any

from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models import Model


def small_card(
    kind: str = "classification", classes: int = 2, size: int = 32, **more: Any
) -> ModelCard:
    """Classes a, b, c, ..., and colours that are normalised, unevenly."""
    fields: dict[str, Any] = {"mean": (0.5, 0.4, 0.6), "std": (0.2, 0.3, 0.25), **more}
    names = tuple("abcdefgh"[:classes])
    return ModelCard(name="m", kind=kind, class_names=names, input_size=size, **fields)


def model_of(module: nn.Module, size: int = 64) -> Model:
    """A classifier whose images are not normalised."""
    return Model(module.eval(), small_card(size=size, mean=(0.0,) * 3, std=(1.0,) * 3))
