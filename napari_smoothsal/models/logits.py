"""logits_of: from the network that was given to one that returns logits, and nothing else.

One pass over two probe tiles tells what the network returns. A softmax or sigmoid that makes it is
left out, which a second pass confirms; probabilities that cannot be undone so are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.fitting import COMMON_UNIT, fitting_size
from napari_smoothsal.models.head import (
    Head,
    Watching,
    adapted_forward,
    returning_logits,
)
from napari_smoothsal.models.output_kind import flat_tiles, is_made_of, kind_of, noise_tiles
from napari_smoothsal.models.outputs import Place, check_arguments, place_of
from napari_smoothsal.models.scripted import ScriptedNetwork

_LARGEST_PX = 256
"""Side of a probe tile of a network that takes any."""


_SATURATED = 0.99


@dataclass(frozen=True)
class Logits:
    """A network that returns logits, and what was done to it for that.

    Attributes
    ----------
    module
        The one that was given, where nothing had to be done; else one of the same children,
        parameters and names.
    removed
        Name of the function that was taken off its end; None: none.
    no_layer
        Name of the module that was nothing but this function.
    said
        In words, a sentence for each thing that was done or found.
    """

    module: nn.Module
    removed: str | None = None
    no_layer: str | None = None
    said: tuple[str, ...] = ()


def logits_of(module: nn.Module, card: ModelCard) -> Logits:
    """Take the head off a network, as far as there is one, and read odd outputs.

    Parameters
    ----------
    module
        It is not changed. A network that fails on every probe is handed back as it is, for
        whoever runs it next to say why.
    card
        Its kind, classes, channels and tile side.

    Raises
    ------
    ModelError
        If it wants more than images, or images of other channels than the card's; if it has
        several outputs; if its outputs are probabilities that no single call at its end made.
    """
    if isinstance(module, ScriptedNetwork):
        return Logits(module, module.undone, said=module.said)
    earlier = adapted_forward(module)
    if earlier is not None:  # a copy of one that was adapted
        return _adapted(module, earlier.place, earlier.head)
    check_arguments(module, card.name)
    with evaluating(module):
        return _probed(module, card)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """While the block runs, a network is in evaluation mode; then it is as it was."""
    modes = {m: m.training for m in module.modules()}
    try:
        module.eval()
        yield
    finally:
        for m, mode in modes.items():
            m.training = mode


@torch.no_grad()
def _probed(module: nn.Module, card: ModelCard) -> Logits:
    found = first_pass(module, card)
    if found is None:
        return Logits(
            module,
            said=(
                "it failed on every probe tile, so whether it ends in a softmax or sigmoid is not "
                "known",
            ),
        )
    watching, returned, images = found
    place = place_of(returned, card)
    raw = place.of(returned)
    head = watching.head_of(Place(place.key).of(returned))
    without = None
    if head is not None:
        without = returning_logits(module, place, head)
        logits = without(images.clone())
        if not is_made_of(raw, logits, head.name):
            head, without = None, None
        elif kind_of(logits) == "softmax":
            raise _probabilities(card, f"below the {head.name} at its end, too, ")
    if head is None:
        _check_kind(module, card, place, raw, images.shape[-1])
    elif head.name == "sigmoid" and len(card.class_names) > 1:
        tell_of_several_sigmoids(card.name)
    if without is None:
        without = module if place == Place() else returning_logits(module, place, None)
    return _adapted(without, place, head, kind_of(raw) if head is None else None)


def _adapted(module: nn.Module, place: Place, head: Head | None, kind: str | None = None) -> Logits:
    said = [place.said] if place.said else []
    if head is not None:
        said.append(f"{head.name} at its end is left out: scores and maps are of the logits")
    if kind == "log_softmax":
        said.append(
            "it returns logarithms of probabilities, which are taken for logits: maps of a class "
            "also show what speaks against the others"
        )
    removed, no_layer = (None, None) if head is None else (head.name, head.module)
    return Logits(module, removed, no_layer, tuple(said))


def first_pass(module: nn.Module, card: ModelCard) -> tuple[Watching, Any, torch.Tensor] | None:
    """What the network returns for the noise tiles of the first size that it takes."""
    tiles = (
        noise_tiles(len(card.mean), side)[:number]
        for number in (2, 1)  # some take one image at a time
        for side in probe_sides(card)
    )
    for some in tiles:
        images = like_parameters(some, module)
        watching = Watching()
        try:
            # A copy: some networks write into what they are given.
            return watching, watching.run(module, images.clone()), images
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a network may assert or index whatever it likes
            wants, got = watching.channels or (0, 0)
            if wants != got == len(card.mean):
                raise ModelError(
                    f"model {card.name!r} takes images of {wants} channels, and its card's mean "
                    f"has {got}; name {wants} values in mean and std, or wrap the module in one "
                    "that makes the others of the image"
                ) from error
    return None


def probe_sides(card: ModelCard) -> list[int]:
    """Sides to try a network at: the cheapest that it may take first."""
    whole = card.input_size
    if card.kind == "classification":
        return [whole]
    small = fitting_size(min(whole, _LARGEST_PX), COMMON_UNIT)
    return list(dict.fromkeys((small, whole, fitting_size(whole, COMMON_UNIT))))


def like_parameters(images: torch.Tensor, module: nn.Module) -> torch.Tensor:
    """Images on the device and in the format of a network's parameters."""
    like = next(module.parameters(), torch.zeros(0))
    return images.to(like.device, like.dtype if like.is_floating_point() else images.dtype)


def _check_kind(
    module: nn.Module, card: ModelCard, place: Place, raw: torch.Tensor, side: int
) -> None:
    """Refuse probabilities, and tell of what may be some."""
    kind = kind_of(raw)
    if kind == "softmax":
        raise _probabilities(card)
    if kind != "sigmoid" or not stays_within(
        module, card, place, side, 0.0 if len(card.class_names) == 1 else _SATURATED
    ):
        # Several logits that do not saturate may lie there by chance, of an untrained network.
        return
    warn_caller(
        f"model {card.name!r}: its outputs lie between 0 and 1 on all probe tiles, the strangest "
        "included, so they may be probabilities where logits are expected; no sigmoid was found "
        "at its end. If they are, wrap the module in one whose forward returns logits, e.g. "
        "torch.logit(network(images))"
    )


@torch.no_grad()
def stays_within(
    module: nn.Module, card: ModelCard, place: Place, side: int, least_span: float = 0.0
) -> bool:
    """Whether outputs that lay between 0 and 1 also do so for tiles of extreme values.

    Parameters
    ----------
    module, card, place
        The network, and where its outputs are.
    side
        Of a tile.
    least_span
        How far apart the least and the largest have to be, too.
    """
    try:
        outputs = place.of(module(like_parameters(flat_tiles(len(card.mean), side), module)))
    except Exception:  # noqa: BLE001 - it takes no five tiles, as it took two
        return False
    return kind_of(outputs) in ("sigmoid", "softmax") and bool(
        outputs.amax() - outputs.amin() >= least_span
    )


def _probabilities(card: ModelCard, where: str = "") -> ModelError:
    return ModelError(
        f"model {card.name!r}: its outputs {where}lie between 0 and 1 and sum to 1 over the "
        "classes, so they are probabilities, and no single softmax at its end that could be left "
        "out makes them; wrap the module in one whose forward returns logits, or, of averaged "
        "probabilities, their logarithm"
    )


def tell_of_several_sigmoids(name: str) -> None:
    """Warn that the classes of a model need not exclude each other."""
    warn_caller(
        f"model {name!r} takes a sigmoid of each class, so that they need not exclude each other. "
        "It is read as a model of classes that do: the predicted class is the one of the largest "
        "logit, and probabilities are a softmax of the logits, not the network's own. Maps of a "
        "named class are of its logit and do not depend on that"
    )
