"""Library: who builds a network from its name, and what its files of weights look like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.weights import prefix_of, state_dict_in


@dataclass(frozen=True)
class NamedWeights:
    """A network's name and a file of its weights, as ``library:NAME:FILE`` gives them.

    Attributes
    ----------
    name
        What stands between the colons.
    content
        Of the file; see `read_weights`.
    file
        Whose name may tell more.
    """

    name: str
    content: Mapping[str, Any]
    file: Path


class Library(ABC):
    """One source of architectures.

    Attributes
    ----------
    name
        As cards name it: ``{"library": name, "name": ..., ...}``.
    how
        The source that names one of its networks and a file, ``library:NAME:FILE``.
    fetching
        Arguments by which it would fetch weights; they are never handed on.
    """

    name: ClassVar[str]
    how: ClassVar[str]
    fetching: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """Build a network with random weights, without reading or downloading any.

        Parameters
        ----------
        name
            Of the architecture.
        arguments
            Further ones of the card, without those that are `fetching`.

        Raises
        ------
        UnknownNameError
            If the library has no such network.
        """

    def architecture(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """As a card names a network of this library."""
        kept = {n: value for n, value in arguments.items() if n not in self.fetching}
        return {"library": self.name, "name": name, **kept}

    def state(self, content: Mapping[str, Any], whose: str) -> dict[str, torch.Tensor]:
        """The parameters by name, from what a file of weights holds.

        Raises
        ------
        ModelError
            If it holds none.
        """
        return state_dict_in(content, whose)

    def described(self, weights: NamedWeights) -> ModelCard:
        """What is known of a network by its name and its weights alone.

        Raises
        ------
        UnknownNameError
            If the library has no such network.
        ModelError
            If the weights are of another one, or alone do not say what the network is.
        """
        raise ModelError(f"{weights.file.name!r} alone does not say what it is of; give {self.how}")


def classes_of(module: nn.Module, state: Mapping[str, torch.Tensor], whose: str) -> int:
    """How many classes weights decide between, by the network's last layer with weights.

    Parameters
    ----------
    module
        The architecture, with any number of classes.
    state
        The weights.
    whose
        Named in messages.
    """
    heads = [
        name
        for name, child in module.named_modules()
        if isinstance(child, nn.Linear | nn.Conv2d) and not name.lower().startswith("aux")
    ]
    head = heads[-1] if heads else "last layer"
    weight = state.get(f"{prefix_of(state, module.state_dict(), whose)}{head}.weight")
    if weight is None or weight.ndim < 2:
        raise ModelError(
            f"{whose}: its weights hold no {head}. They are of another network, or of an "
            "encoder without classes, where there is no decision to explain: put a trained head "
            "on it, and use ss.Model(module, card)"
        )
    return len(weight)


def class_names(number: int, known: Iterable[str] = ()) -> tuple[str, ...]:
    """The known ones where there are as many, else ``class 0``, ``class 1``, ...."""
    names = tuple(known)
    return names if len(names) == number else tuple(f"class {i}" for i in range(number))


ASSUMED = "Its normalisation is not in the file: that of the library's own weights was taken."
"""Note of a card whose mean and std are a library's defaults."""

NAMELESS = "The names of its classes are not known: the file does not hold them."
"""Note of a card whose class names are numbers."""
