"""Seen: what a model says of tiles, and how strong its maps of them are.

It may take minutes: after every few tiles it is told how far it is, and it can be stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer, Stopped
from napari_smoothsal.attribution.reduction import reduce_channels
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.evaluation.paper import AT_ONCE, Told
from napari_smoothsal.models import Decision, Target

Floats = NDArray[np.float64]

_AUTO_SAMPLES = 20
"""For how far it is: ``samples="auto"`` stops where it likes."""
_PASSES_OF_A_GRADIENT = 3


class Going:
    """How far something is, counted in forward passes of one tile.

    Parameters
    ----------
    total
        All of them, as far as one knows beforehand.
    told
        Called with what is done, how much of it, and of how much.
    stop
        Asked again and again.
    """

    def __init__(self, total: int, told: Told, stop: Callable[[], bool] | None) -> None:
        self.stop = stop
        self._told, self._total, self._done, self._what = told, total, 0, ""

    def begin(self, what: str) -> None:
        """Something else is done from now on."""
        self._what = what
        self.went(0)

    def went(self, passes: int) -> None:
        """So much more is done.

        Raises
        ------
        Stopped
            Once ``stop`` answers True.
        """
        if self.stop is not None and self.stop():
            raise Stopped
        self._done += passes
        self._told(self._what, min(self._done, self._total), self._total)


def passes_of(spec: SaliencySpec) -> int:
    """How many forward passes a map takes, about."""
    samples = _AUTO_SAMPLES if spec.samples == "auto" else max(1, spec.samples)
    return _PASSES_OF_A_GRADIENT * samples


class Seen(NamedTuple):
    """What is looked at of some tiles.

    Attributes
    ----------
    decision
        Of all of them.
    magnitudes
        For each spec (n, pixels), of the maps of as many as have some.
    """

    decision: Decision
    magnitudes: list[NDArray[np.float32]]

    def probability(self, target: Target) -> Floats:
        """(n,) of a target."""
        found = target_probability(self.decision.probabilities, target.classes or ())
        return np.asarray(found.numpy(), np.float64)

    def largest(self, index: int) -> Floats:
        """(n,) magnitude of one spec's maps."""
        return np.asarray(self.magnitudes[index].max(1), np.float64)


def seen(explainer: Explainer, decided: torch.Tensor, mapped: torch.Tensor, going: Going) -> Seen:
    """Decisions of some tiles (n, C, H, W), and maps of others or the same."""
    return Seen(_decisions(explainer, decided, going), _magnitudes(explainer, mapped, going))


def target_probability(probabilities: torch.Tensor, classes: tuple[int, ...]) -> torch.Tensor:
    """(n,) of a class; of a difference, of the one against the other alone.

    Parameters
    ----------
    probabilities
        (n, classes) of a decision.
    classes
        Of a `Target`.
    """
    chosen = probabilities[:, list(classes)].double()
    return chosen[:, 0] / chosen.sum(1) if len(classes) == 2 else chosen[:, 0]


def decided(explainer: Explainer, images: torch.Tensor, going: Going) -> Iterator[Decision]:
    """Of one batch after another, without any maps."""
    asked = Explainer(explainer.model, [], explainer.compute, "slide", networks=explainer.networks)
    for part in images.split(asked.batch_size(max(images.shape[2:]))):
        yield asked.explain(part, [(i,) for i in range(len(part))]).decision
        going.went(len(part))


def _decisions(explainer: Explainer, images: torch.Tensor, going: Going) -> Decision:
    """Of whole tiles."""
    found = [decision.without_pixels() for decision in decided(explainer, images, going)]
    return Decision(
        logits=torch.cat([one.logits for one in found]),
        probabilities=torch.cat([one.probabilities for one in found]),
        predicted=torch.cat([one.predicted for one in found]),
        labels=torch.cat([one.labels for one in found]),
        dense_probabilities=None,
    )


def _magnitudes(
    explainer: Explainer, images: torch.Tensor, going: Going
) -> list[NDArray[np.float32]]:
    """For each spec (n, pixels); the noise of a tile is by its number."""
    if not explainer.specs:
        return []
    size = min(AT_ONCE, explainer.batch_size(max(images.shape[2:])))
    each = sum(map(passes_of, explainer.specs))
    found: list[list[NDArray[np.float32]]] = [[] for _ in explainer.specs]
    for start in range(0, len(images), size):
        part = images[start : start + size]
        places = [(start + i,) for i in range(len(part))]
        result = explainer.explain(part, places, going.stop)
        for parts, spec, own in zip(found, explainer.specs, result.specs, strict=True):
            parts.append(reduce_channels(own.maps, spec.reduction).abs().flatten(1).numpy())
        going.went(each * len(part))
    return [np.concatenate(parts) for parts in found]
