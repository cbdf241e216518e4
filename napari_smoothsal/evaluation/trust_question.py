"""TrustQuestion: whose map of which class of which tile a trust card is about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.attribution.tiles import checked_images
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.evaluation.asked_model import AskedModel
from napari_smoothsal.evaluation.followed_tile import asked_of
from napari_smoothsal.evaluation.kept_class import kept_target
from napari_smoothsal.evaluation.some_tiles import InMemory
from napari_smoothsal.models import Decision, Model
from napari_smoothsal.models.targets import Target


@dataclass(frozen=True)
class TrustQuestion:
    """A map, before it is tested.

    Attributes
    ----------
    model, tiles
        Behind the stain normalisation, whose pixels are covered and put back.
    whole, unstained
        As they were given: a tile that is stained otherwise meets the normalisation, too.
    asked
        The model that changed tiles are scored on.
    explainer
        Of the map.
    spec
        As it is settled, with the class named.
    decision
        What the model says of the tile.
    outcome, truth
        The explained class, and the true one or None.
    """

    model: Model
    tiles: InMemory
    whole: Model
    unstained: InMemory
    asked: AskedModel
    explainer: Explainer
    spec: SaliencySpec
    decision: Decision
    outcome: int
    truth: int | None

    @classmethod
    def of(
        cls,
        model: Model,
        image: torch.Tensor | NDArray[np.generic],
        spec: SaliencySpec,
        label: int | str | None,
        name: str,
        compute: Compute,
    ) -> TrustQuestion:
        """See `trust_card`, whose parameters these are.

        Raises
        ------
        SmoothsalError
            As it does.
        """
        given = _one_image(model, image)
        unstained = InMemory([name], given)
        pixels, behind = model.stain_normalised(given).images, model.behind_stain
        truth = _outcome(behind, label)
        asked = asked_of(behind, compute)
        explainer = Explainer(behind, [spec], compute, "tiles")
        decision = asked.decision(pixels)
        outcome = explained_outcome(behind, explainer.targets[0], decision)
        kept = kept_target(behind, explainer.specs[0], outcome)
        again = Explainer(behind, [kept], compute, "tiles", warn=False, networks=explainer.networks)
        return cls(
            model=behind,
            tiles=InMemory([name], pixels),
            whole=model,
            unstained=unstained,
            asked=asked,
            explainer=again,
            spec=kept,
            decision=decision,
            outcome=outcome,
            truth=truth,
        )

    @property
    def image(self) -> torch.Tensor:
        """(C, H, W) uint8."""
        return self.tiles.images([0])[0]

    @property
    def target(self) -> str:
        """Name of the explained class."""
        return self.model.readout.outcomes[self.outcome]

    @property
    def predicted(self) -> str:
        """Name of the predicted one."""
        return self.model.readout.outcomes[int(self.decision.predicted[0])]

    @property
    def label(self) -> str | None:
        """Name of the true one."""
        return None if self.truth is None else self.model.readout.outcomes[self.truth]

    @property
    def probability(self) -> float:
        """Of the explained class."""
        index, sign = self.model.readout.score_of(self.outcome)
        value = float(self.decision.probabilities[0, index])
        return value if sign > 0 else 1 - value


def explained_outcome(model: Model, target: Target, decision: Decision) -> int:
    """The class that a target means for the first tile of a decision.

    Raises
    ------
    SettingError
        If it is not one class.
    """
    if target.unit is not None or len(target.classes or ()) == 2:
        raise SettingError(
            f"target = {target.label!r}: a trust card follows the probability of one class; "
            f"choose one of {', '.join(model.readout.outcomes)}"
        )
    return int(decision.predicted[0]) if target.classes is None else target.classes[0]


def _one_image(model: Model, image: torch.Tensor | NDArray[np.generic]) -> torch.Tensor:
    """(1, C, H, W) uint8: what is looked at and changed has whole colours."""
    given = torch.as_tensor(image)
    batch = checked_images(model, given[None] if given.ndim == 3 else given)
    if len(batch) != 1 or batch.shape[2] != batch.shape[3]:
        raise SettingError(
            f"image has shape {tuple(given.shape)}; a trust card is of one square tile: give "
            "(channels, side, side)"
        )
    if batch.is_floating_point():
        batch = (255 * batch.clamp(0, 1)).round().to(torch.uint8)
    return batch.cpu().contiguous()


def _outcome(model: Model, label: int | str | None) -> int | None:
    if label is None:
        return None
    outcomes = model.readout.outcomes
    if isinstance(label, int) and 0 <= label < len(outcomes):
        return label
    if label in outcomes:
        return outcomes.index(str(label))
    raise SettingError(
        f"label = {label!r} is no class of model {model.card.name!r}; there are: "
        f"{', '.join(outcomes)}"
    )
