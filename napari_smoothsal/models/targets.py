"""Targets: the scalar of the network's output that a map explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import SettingError, UnknownNameError

Scope = Literal["slide", "tiles"]
TargetPixels = Literal["predicted", "all"]

_UNIT = "unit:"


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
    pixels
        Of models that decide per pixel: whether the score is summed over the pixels predicted as
        the class, or over all.
    unit
        Layer and channel of a hidden unit, whose mean activity is explained in place of a class.
    """

    classes: tuple[int] | tuple[int, int] | None
    label: str
    pixels: TargetPixels = "predicted"
    unit: tuple[str, int] | None = None


def resolve_target(
    card: ModelCard,
    target: int | str | None,
    scope: Scope,
    pixels: TargetPixels = "predicted",
) -> Target:
    """Turn a spec's ``target`` into class indices.

    Parameters
    ----------
    card
        Its classes, ``default_target`` and ``background`` decide what None means.
    target
        None, ``"auto"``, a class index or name, ``"a-b"``, or ``"unit:<layer>:<channel>"``, whose
        layer and channel are not looked up here.
    scope
        None means one class for a whole slide (colours would otherwise change their meaning
        from tile to tile), but the predicted class for single tiles.
    pixels
        Whose scores are summed, of models that decide per pixel.

    Raises
    ------
    UnknownNameError
        If there is no such class, with the nearest names.
    SettingError
        If an index is out of range, a unit is not written as one, or pixels are to be chosen of
        a model that has none.
    """
    if pixels == "all" and card.kind != "segmentation":
        raise SettingError(
            f"target_pixels = 'all' is for models that decide per pixel; {card.name!r} decides "
            "once per tile"
        )
    if isinstance(target, str) and target.startswith(_UNIT) and target not in card.class_names:
        return Target(None, target, "all", _unit_of(target))
    classes, label = _classes_of(card, target, scope)
    return Target(classes, label, pixels)


def _unit_of(target: str) -> tuple[str, int]:
    layer, _, channel = target.removeprefix(_UNIT).rpartition(":")
    if not layer or not channel.isdecimal():
        raise SettingError(
            f"target = {target!r}: a hidden unit is written unit:LAYER:CHANNEL, for example "
            "unit:layer4:17"
        )
    return layer, int(channel)


def _classes_of(
    card: ModelCard, target: int | str | None, scope: Scope
) -> tuple[tuple[int] | tuple[int, int] | None, str]:
    names = card.class_names
    if target is None:
        target = "auto" if scope == "tiles" else _default_for_slides(card)
    if isinstance(target, int):
        if not 0 <= target < len(names):
            raise SettingError(
                f"target = {target}: model {card.name!r} has classes 0 to {len(names) - 1} "
                f"({', '.join(names)})"
            )
        return (target,), names[target]
    if target in names:
        return (names.index(target),), target
    if target == "auto":
        return None, "auto"
    for cut in (i for i, character in enumerate(target) if character == "-"):
        first, second = target[:cut], target[cut + 1 :]
        if first in names and second in names and first != second:
            return (names.index(first), names.index(second)), target
    raise UnknownNameError(f"class of model {card.name!r}", target, [*names, "auto"])


def _default_for_slides(card: ModelCard) -> str:
    if card.default_target is not None:
        return card.default_target
    others = [name for name in card.class_names if name != card.background]
    if len(card.class_names) == 1 or (len(card.class_names) == 2 and len(others) == 1):
        return others[0]
    return "auto"
