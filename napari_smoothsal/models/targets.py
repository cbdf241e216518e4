"""Targets: the scalar of the network's output that a map explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import SettingError, UnknownNameError

Scope = Literal["slide", "tiles"]


@dataclass(frozen=True)
class Target:
    """What is explained, resolved against a card.

    Attributes
    ----------
    classes
        The class, or the two classes of a difference, as indices; None: the class that the
        original model predicts in each tile.
    label
        In words, as it appears in map keys and legends.
    """

    classes: tuple[int] | tuple[int, int] | None
    label: str


def resolve_target(card: ModelCard, target: int | str | None, scope: Scope) -> Target:
    """Turn a spec's ``target`` into class indices.

    Parameters
    ----------
    card
        Its classes, ``default_target`` and ``background`` decide what None means.
    target
        None, ``"auto"``, a class index or name, or ``"a-b"``.
    scope
        None means one class for a whole slide (colours would otherwise change their meaning
        from tile to tile), but the predicted class for single tiles.

    Raises
    ------
    UnknownNameError
        If there is no such class, with the nearest names.
    SettingError
        If an index is out of range.
    """
    names = card.class_names
    if target is None:
        target = "auto" if scope == "tiles" else _default_for_slides(card)
    if isinstance(target, int):
        if not 0 <= target < len(names):
            raise SettingError(
                f"target = {target}: model {card.name!r} has classes 0 to {len(names) - 1} "
                f"({', '.join(names)})"
            )
        return Target((target,), names[target])
    if target in names:
        return Target((names.index(target),), target)
    if target == "auto":
        return Target(None, "auto")
    for cut in (i for i, character in enumerate(target) if character == "-"):
        first, second = target[:cut], target[cut + 1 :]
        if first in names and second in names and first != second:
            return Target((names.index(first), names.index(second)), target)
    raise UnknownNameError(f"class of model {card.name!r}", target, [*names, "auto"])


def _default_for_slides(card: ModelCard) -> str:
    if card.default_target is not None:
        return card.default_target
    others = [name for name in card.class_names if name != card.background]
    if len(card.class_names) == 1 or (len(card.class_names) == 2 and len(others) == 1):
        return others[0]
    return "auto"


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Class probabilities (B, classes): softmax, or the sigmoid of a single logit."""
    if logits.shape[1] == 1:
        return torch.sigmoid(logits)
    return torch.softmax(logits, dim=1)


def predicted(logits: torch.Tensor) -> torch.Tensor:
    """Predicted class (B,): the largest logit; for a single logit always that class, 0."""
    return logits.argmax(dim=1)


def target_scores(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """The explained scalars (B,).

    Parameters
    ----------
    logits
        (B, classes).
    classes
        (B, 1) class indices, or (B, 2) for the difference of two.
    """
    chosen = logits.gather(1, classes)
    return chosen[:, 0] - chosen[:, 1] if classes.shape[1] == 2 else chosen[:, 0]
