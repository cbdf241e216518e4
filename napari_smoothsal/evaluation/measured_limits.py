"""Calibrate maps: how strong are they where there is nothing to see?

There is nothing to see in normal tissue, stained a little more or less, and in what a copy of the
model sees that has not learned anything. A tile shows something only if the model's probability
of the target is above what all but ``error_rate`` of both reach (`conformal_limit`): maps alone
would not tell, since a normal tile's can be as strong as a tumour's, with ends of either sign that
add up to next to nothing. Of such a tile that part of the map is shown that is stronger than all
but ``error_rate`` of it in normal tissue. Maps of models that decide per pixel are zero where the
target is predicted nowhere; there the limit is of tiles' strongest places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer, Stopped
from napari_smoothsal.attribution.reduction import reduce_channels
from napari_smoothsal.attribution.tiles import checked_images
from napari_smoothsal.core.calibration import (
    Calibration,
    CalibrationCheck,
    calibrated_as,
    spread,
)
from napari_smoothsal.core.checks import Randomisation
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.evaluation.blocks import blocks_of
from napari_smoothsal.evaluation.conformal import (
    conformal_limit,
    counted_share,
    expected_share,
    fewest,
)
from napari_smoothsal.evaluation.kept_class import one_precision
from napari_smoothsal.evaluation.paper import Told
from napari_smoothsal.evaluation.randomisation import randomised
from napari_smoothsal.evaluation.stain_jitter import stained
from napari_smoothsal.models import Decision, Model, Target

Floats = NDArray[np.float64]

MOST_PREDICTED = 0.1
"""Of normal tissue, predicted as the target: of its tiles, or of its pixels."""
_FITTED_TO = 64
_FULL_COLOUR = 0.999


def calibrate(
    model: Model,
    images: torch.Tensor | NDArray[np.generic],
    specs: Sequence[SaliencySpec],
    of_target: torch.Tensor | NDArray[np.generic] | None = None,
    how: CalibrationCheck | None = None,
    compute: Compute | None = None,
    told: Told = lambda *_: None,
    *,
    tissue: str | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[Calibration]:
    """Measure above which limits maps show something.

    Parameters
    ----------
    model
        Trained; it is not changed. `napari_smoothsal.models.calibration_file` keeps what was
        measured; ``model.calibrations`` is what runs look at.
    images
        (n, C, H, W), uint8 or floats 0..1: normal tissue at the model's resolution, in which the
        target does not occur. Changed stains are those of uint8 colour images.
    specs
        Of the maps. Their targets are classes or differences of two.
    of_target
        The same of tissue with the target, to measure how much of it is still shown; those that
        are predicted otherwise are left out.
    how, compute
        The settings; ``precision="auto"`` is fp32.
    told
        Called as it goes on.
    tissue
        What the images are of, for the legend, where it is worth a word.
    stop
        Asked before every pass.

    Returns
    -------
    list of Calibration
        In the order of the specs.

    Raises
    ------
    Stopped
        Once ``stop`` answers True.
    SettingError
        If there are too few tiles or copies for the error rate, a target is no class, or the model
        itself says that the tissue is not normal.
    """
    how, compute = how or CalibrationCheck(), one_precision(compute or Compute())
    tiles = checked_images(model, images)
    for number, what in ((len(tiles), "normal tile(s)"), (how.copies, "randomised copies")):
        if number < fewest(how.error_rate):
            raise SettingError(
                f"calibration: of {number} {what} no limit follows that at most "
                f"{how.error_rate:.3g} of others exceed; give {fewest(how.error_rate)} or more, or "
                f"error_rate = {1 / (number + 1):.3g} or more"
            )
    explainer = Explainer(model, list(specs), compute, "slide", warn=False)
    for target in explainer.targets:
        if target.classes is None:
            raise SettingError(
                f"calibration: target = {target.label!r} means no class that normal tissue is "
                f"without; give one of {', '.join(model.card.class_names)}, or a difference a-b"
            )
    dense = model.readout.dense
    predicted = _predicted_as_target(explainer, tiles, stop)
    variants = list(_stains(tiles, how.stain))
    total = len(variants) + how.copies
    normal, copies = [], []
    for done, variant in enumerate(variants):
        told("calibration: normal tissue", done, total)
        mapped = variant if dense else variant[spread(len(variant), how.map_tiles)]
        normal.append(_seen(explainer, variant, mapped, stop))
    rng = np.random.default_rng(how.seed)
    for copy in range(how.copies):
        told("calibration: randomised copies", len(variants) + copy, total)
        random = Randomisation(seed=(how.seed + copy) % 2**31)
        forgotten = randomised(model, blocks_of(model), random, tiles[:_FITTED_TO])
        shown = tiles[rng.choice(len(tiles), min(how.copy_tiles, len(tiles)), replace=False)]
        copied = Explainer(
            forgotten, explainer.specs if dense else [], compute, "slide", warn=False
        )
        copies.append(_seen(copied, shown, shown, stop))
    measured = [
        _calibration(explainer, index, normal, copies, predicted[index], tiles, how).model_copy(
            update={"tissue": tissue}
        )
        for index in range(len(explainer.specs))
    ]
    if of_target is None:
        return measured
    there = checked_images(model, of_target)
    seen = _seen(explainer, there, there, stop)
    return [
        one.model_copy(update={"shown": _shown(one, seen, index, target)})
        for index, (one, target) in enumerate(zip(measured, explainer.targets, strict=True))
    ]


class _Seen(NamedTuple):
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


def _seen(
    explainer: Explainer,
    decided: torch.Tensor,
    mapped: torch.Tensor,
    stop: Callable[[], bool] | None,
) -> _Seen:
    """Decisions of some tiles, and maps of others or the same."""
    return _Seen(_decisions(explainer, decided, stop), _magnitudes(explainer, mapped, stop))


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


def _decided(
    explainer: Explainer, images: torch.Tensor, stop: Callable[[], bool] | None
) -> Iterator[Decision]:
    """Of one batch after another, without any maps."""
    asked = Explainer(explainer.model, [], explainer.compute, "slide", networks=explainer.networks)
    for part in images.split(asked.batch_size(max(images.shape[2:]))):
        if stop is not None and stop():
            raise Stopped
        yield asked.explain(part, [(i,) for i in range(len(part))]).decision


def _decisions(
    explainer: Explainer, images: torch.Tensor, stop: Callable[[], bool] | None
) -> Decision:
    """Of whole tiles."""
    found = [decision.without_pixels() for decision in _decided(explainer, images, stop)]
    return Decision(
        logits=torch.cat([one.logits for one in found]),
        probabilities=torch.cat([one.probabilities for one in found]),
        predicted=torch.cat([one.predicted for one in found]),
        labels=torch.cat([one.labels for one in found]),
        dense_probabilities=None,
    )


def _magnitudes(
    explainer: Explainer, images: torch.Tensor, stop: Callable[[], bool] | None
) -> list[NDArray[np.float32]]:
    """For each spec (n, pixels); the noise of a tile is by its number."""
    if not explainer.specs:
        return []
    size = explainer.batch_size(max(images.shape[2:]))
    found: list[list[NDArray[np.float32]]] = [[] for _ in explainer.specs]
    for start in range(0, len(images), size):
        part = images[start : start + size]
        result = explainer.explain(part, [(start + i,) for i in range(len(part))], stop)
        for parts, spec, own in zip(found, explainer.specs, result.specs, strict=True):
            parts.append(reduce_channels(own.maps, spec.reduction).abs().flatten(1).numpy())
    return [np.concatenate(parts) for parts in found]


def _calibration(
    explainer: Explainer,
    index: int,
    normal: Sequence[_Seen],
    copies: Sequence[_Seen],
    predicted: float,
    tiles: torch.Tensor,
    how: CalibrationCheck,
) -> Calibration:
    model, target = explainer.model, explainer.targets[index]
    # A tile counts with the worst of its stains.
    if model.readout.dense:
        of_tiles = np.max([one.largest(index) for one in normal], axis=0)
        of_copies = np.stack([one.largest(index) for one in copies])
    else:
        of_tiles = np.max([one.probability(target) for one in normal], axis=0)
        of_copies = np.stack([one.probability(target) for one in copies])
    of_tissue, of_random = (conformal_limit(v, how.error_rate) for v in (of_tiles, of_copies))
    highest, by_tissue = max(of_tissue, of_random), of_tissue > of_random
    above = int((of_tiles > highest).sum())
    pixels = np.concatenate([one.magnitudes[index].ravel() for one in normal])
    strong = pixels[pixels > 0]
    replaces = explainer.plans[index].denoising.replaces
    return Calibration(
        spec=calibrated_as(explainer.specs[index]),
        target=target.label,
        surrogate=model.surrogate.sha256 if replaces and model.surrogate else None,
        limit=highest if model.readout.dense else float(np.quantile(pixels, 1 - how.error_rate)),
        probability=None if model.readout.dense else highest,
        full_colour=float(np.quantile(strong, _FULL_COLOUR)) if len(strong) else 0.0,
        error_rate=how.error_rate,
        # That of a limit which tissue gave is known before anything is measured; else one counts.
        expected=expected_share(len(tiles), how.error_rate)
        if by_tissue
        else counted_share(above, len(tiles)),
        decided_by="normal tissue" if by_tissue else "randomised copies",
        above=above,
        tiles=len(tiles),
        tile_px=max(tiles.shape[2:]),
        copies=len(copies),
        stain=how.stain,
        predicted=predicted,
    )


def _shown(one: Calibration, seen: _Seen, index: int, target: Target) -> float | None:
    """Share of tiles in which something is shown, of those predicted as the target."""
    probability, largest = seen.probability(target), seen.largest(index)
    of_target = largest > 0 if one.probability is None else probability > 0.5
    shown = (largest > one.limit) & (probability > (one.probability or 0))
    return float(shown[of_target].mean()) if of_target.any() else None


def _predicted_as_target(
    explainer: Explainer, images: torch.Tensor, stop: Callable[[], bool] | None
) -> list[float]:
    """For each spec, the share of tiles, or of pixels where a model decides on each, that are
    predicted as its target; refused if large."""
    model = explainer.model
    counts = torch.zeros(len(model.readout.outcomes))
    for decision in _decided(explainer, images, stop):
        counts += decision.labels.flatten().long().bincount(minlength=len(counts))
    pixels = "pixels of the " if model.readout.dense else ""
    shares = []
    for target in explainer.targets:
        wanted = (target.classes or (0,))[0]
        share = float(counts[wanted] / counts.sum())
        if share > MOST_PREDICTED:
            raise SettingError(
                f"calibration: model {model.card.name!r} predicts "
                f"{model.readout.outcomes[wanted]!r} of {100 * share:.0f} % of the "
                f"{pixels}{len(images)} tiles, more than {100 * MOST_PREDICTED:.0f} %: they are no "
                "normal tissue, or the model does not know it. Take such tiles away, or explain "
                "another class"
            )
        shares.append(share)
    return shares


def _stains(tiles: torch.Tensor, by: float) -> Iterator[torch.Tensor]:
    """The tiles as they are, and with more or less of both dyes."""
    yield tiles
    if by and tiles.dtype == torch.uint8 and tiles.shape[1] == 3:
        for factors in product((1 - by, 1 + by), repeat=2):
            yield stained(tiles, *factors)
