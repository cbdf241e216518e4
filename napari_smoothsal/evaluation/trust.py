"""The trust card of one map: what was tested of it, against what, and what came of it.

Each test asks one thing and has a threshold that is told. A card never says more than was
measured: of the model as it is, of this tile, of this map. The randomisation is passed in part
where more is left than chance, but less than half of the way from there to equality.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from napari_smoothsal.core.checks import TrustCheck
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.core.total_variation import total_variation
from napari_smoothsal.evaluation.followed_tile import Places
from napari_smoothsal.evaluation.insertion_deletion import Curves
from napari_smoothsal.evaluation.kept_class import one_precision
from napari_smoothsal.evaluation.paper import Told
from napari_smoothsal.evaluation.sanity import Found
from napari_smoothsal.evaluation.sanity_verdict import sanity_verdicts
from napari_smoothsal.evaluation.trust_measuring import TrustMeasuring, TrustPart
from napari_smoothsal.evaluation.trust_question import TrustQuestion
from napari_smoothsal.evaluation.trust_tests import FAILED, PARTLY, PASSED, UNTESTED, Tested
from napari_smoothsal.models import Model


@dataclass(frozen=True, eq=False)
class TrustCard:
    """What was measured of one map of one tile.

    Attributes
    ----------
    model, tile
        Names.
    spec
        What was computed.
    um_per_px
        Of the tile; None where nobody knows.
    target, probability
        The class that is explained, and what the model gives it.
    predicted
        The class that the model predicts.
    label
        The true one, where it is known.
    how
        What was tested, with its thresholds.
    tests
        All that were asked.
    flags
        What to be wary of in the prediction itself, in words.
    tv, road, random_road
        Total variation, and ROAD of the map and of random orders, which are told without a
        threshold.
    curves, random_curves
        Insertion and deletion by the map, and in random orders.
    randomisation
        Similarities by block and chance level; see `sanity`.
    stability
        Similarities with maps of changed tiles; see `stability`.
    image
        (C, H, W) uint8.
    values, places
        (h, w) of the map with its channels combined, above zero what speaks for ``target``, and
        where it lies.
    """

    model: str
    tile: str
    spec: SaliencySpec
    um_per_px: float | None
    target: str
    probability: float
    predicted: str
    label: str | None
    how: TrustCheck
    tests: tuple[Tested, ...]
    flags: tuple[str, ...]
    tv: float
    road: float
    random_road: float
    curves: Curves
    random_curves: tuple[Curves, ...]
    randomisation: Found
    stability: pd.DataFrame
    image: NDArray[np.uint8]
    values: NDArray[np.float32]
    places: Places

    @property
    def passed(self) -> bool:
        """Whether every test that could be made was passed, and some could."""
        made = {test.result for test in self.tests} - {UNTESTED}
        return made == {PASSED}

    @property
    def verdict(self) -> str:
        """What came of it, in plain words."""
        made = [test for test in self.tests if test.result != UNTESTED]
        good = [test for test in made if test.result == PASSED]
        said = ["None of the tests could be made."]
        if made:
            said = [f"The map passed {len(good)} of {len(made)} tests."]
        for result in (FAILED, PARTLY):
            said += [
                f"{result.capitalize()}: {test.name} ({test.found}; asked for: {test.threshold})."
                for test in made
                if test.result == result
            ]
        left = [test for test in self.tests if test.result == UNTESTED]
        if left:
            said.append(f"Not tested: {'; '.join(f'{t.name} ({t.found})' for t in left)}.")
        if self.flags:
            said.append(f"Caution: {'; '.join(self.flags)}.")
        said.append(
            "This is of how the map stands to the model on this tile, not of whether the model "
            "is right."
        )
        return " ".join(said)

    def to_json(self) -> str:
        """Everything that was measured, without pixels."""
        return json.dumps(_finite(self._figures()), indent=1, allow_nan=False)

    def _figures(self) -> dict[str, Any]:
        randomised = self.randomisation.similarities.drop(columns=["tile"])
        return {
            "model": self.model,
            "tile": self.tile,
            "spec": self.spec.model_dump(mode="json"),
            "target": self.target,
            "probability": self.probability,
            "predicted": self.predicted,
            "label": self.label,
            "passed": self.passed,
            "verdict": self.verdict,
            "flags": list(self.flags),
            "tests": [asdict(test) for test in self.tests],
            "thresholds": self.how.model_dump(),
            "total_variation": self.tv,
            "road": self.road,
            "road_of_a_random_order": self.random_road,
            "insertion": _listed(self.curves.insertion),
            "deletion": _listed(self.curves.deletion),
            "random_insertion": [_listed(c.insertion) for c in self.random_curves],
            "random_deletion": [_listed(c.deletion) for c in self.random_curves],
            "randomisation": randomised.to_dict("records"),
            "chance": sanity_verdicts(self.randomisation).to_dict("records"),
            "stability": self.stability.drop(columns=["tile"]).to_dict("records"),
        }


def trust_card(
    model: Model,
    image: torch.Tensor | NDArray[np.generic],
    spec: SaliencySpec,
    *,
    label: int | str | None = None,
    name: str = "tile",
    how: TrustCheck | None = None,
    perturbation: Perturbation | None = None,
    compute: Compute | None = None,
    known_scale: bool = True,
    caveats: Sequence[str] = (),
    told: Told = lambda *_: None,
    on_part: Callable[[TrustPart], None] = lambda _: None,
    stop: Callable[[], bool] | None = None,
) -> TrustCard:
    """Test one map of one tile.

    Parameters
    ----------
    model
        From `load_model` or built with `Model`; it decides once per tile.
    image
        (C, H, W) or (1, C, H, W), square; uint8 0..255 or floating 0..1, at the model's resolution.
    spec
        The map. ``target`` unset or "auto" is the class that the model predicts.
    label
        The true class, by name or index, if it is known.
    name
        What the card calls the tile.
    how
        What is tested, and what has to be reached.
    perturbation
        Cells, steps and baselines of insertion and deletion.
    compute
        On what; ``precision="auto"`` is fp32.
    known_scale
        Whether the tile is at the model's resolution, so that a scale bar can be drawn.
    caveats
        What is to be known of the tile, in words: of the card's flags the first.
    told
        Called with what is measured, how much is done, and of how much.
    on_part
        Called with what is known so far: the standard error and the curves first.
    stop
        Asked before every pass.

    Raises
    ------
    Stopped
        Once ``stop`` answers True; what was known is what ``on_part`` heard.
    SmoothsalError
        If a layer, method, class or option does not exist, nothing lies above the layer, the model
        decides per pixel, the target is not one class, or the image does not fit.
    """
    how, compute = how or TrustCheck(), one_precision(compute or Compute())
    asked = TrustQuestion.of(model, image, spec, label, name, compute)
    apart = perturbation or Perturbation()
    going = TrustMeasuring(asked, how, apart, compute, tuple(caveats), told, on_part, stop)
    maps, reduced, places = going.map()
    curves, random = going.curves(reduced, places)
    changed = going.changed()
    found = going.randomised()
    road, random_road = going.road(reduced, places)
    return TrustCard(
        model=model.card.name,
        tile=name,
        spec=asked.explainer.specs[0],
        um_per_px=model.card.input_mpp if known_scale else None,
        target=asked.target,
        probability=asked.probability,
        predicted=asked.predicted,
        label=asked.label,
        how=how,
        tests=going.tests,
        flags=going.flags,
        tv=float(total_variation(maps)[0]),
        road=road,
        random_road=random_road,
        curves=curves,
        random_curves=random,
        randomisation=found,
        stability=changed,
        image=asked.image.numpy(),
        values=reduced.numpy(),
        places=places,
    )


def _listed(curve: torch.Tensor) -> list[float]:
    return [round(float(v), 6) for v in curve]


def _finite(value: Any) -> Any:
    """Without NaN, which JSON has not."""
    if isinstance(value, dict):
        return {name: _finite(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
