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

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer
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
from napari_smoothsal.evaluation.seen_tiles import Going, Seen, decided, passes_of, seen
from napari_smoothsal.evaluation.stain_jitter import stained
from napari_smoothsal.models import Model, Target

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
    variants = list(_stains(tiles, how.stain))
    going = Going(_passes(explainer, len(tiles), len(variants), how), told, stop)
    going.begin("calibration: normal tissue")
    predicted = _predicted_as_target(explainer, tiles, going)
    normal, copies = [], []
    for variant in variants:
        mapped = variant if dense else variant[spread(len(variant), how.map_tiles)]
        normal.append(seen(explainer, variant, mapped, going))
    rng = np.random.default_rng(how.seed)
    going.begin("calibration: randomised copies")
    for copy in range(how.copies):
        random = Randomisation(seed=(how.seed + copy) % 2**31)
        forgotten = randomised(model, blocks_of(model), random, tiles[:_FITTED_TO])
        shown = tiles[rng.choice(len(tiles), min(how.copy_tiles, len(tiles)), replace=False)]
        copied = Explainer(
            forgotten, explainer.specs if dense else [], compute, "slide", warn=False
        )
        copies.append(seen(copied, shown, shown, going))
        going.went(min(_FITTED_TO, len(tiles)))
    measured = [
        _calibration(explainer, index, normal, copies, predicted[index], tiles, how).model_copy(
            update={"tissue": tissue}
        )
        for index in range(len(explainer.specs))
    ]
    if of_target is None:
        return measured
    there = checked_images(model, of_target)
    going.begin("calibration: tissue with the target")
    with_it = seen(explainer, there, there, going)
    return [
        one.model_copy(update={"shown": _shown(one, with_it, index, target)})
        for index, (one, target) in enumerate(zip(measured, explainer.targets, strict=True))
    ]


def _calibration(
    explainer: Explainer,
    index: int,
    normal: Sequence[Seen],
    copies: Sequence[Seen],
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


def _shown(one: Calibration, seen: Seen, index: int, target: Target) -> float | None:
    """Share of tiles in which something is shown, of those predicted as the target."""
    probability, largest = seen.probability(target), seen.largest(index)
    of_target = largest > 0 if one.probability is None else probability > 0.5
    shown = (largest > one.limit) & (probability > (one.probability or 0))
    return float(shown[of_target].mean()) if of_target.any() else None


def _passes(explainer: Explainer, tiles: int, variants: int, how: CalibrationCheck) -> int:
    """How many forward passes of a tile all of it takes, about."""
    dense, each = explainer.model.readout.dense, sum(map(passes_of, explainer.specs))
    shown = min(how.copy_tiles, tiles)
    of_a_copy = shown * (1 + dense * each) + min(_FITTED_TO, tiles)
    mapped = tiles if dense else min(how.map_tiles, tiles)
    return tiles + variants * (tiles + mapped * each) + how.copies * of_a_copy


def _predicted_as_target(explainer: Explainer, images: torch.Tensor, going: Going) -> list[float]:
    """For each spec, the share of tiles, or of pixels where a model decides on each, that are
    predicted as its target; refused if large."""
    model = explainer.model
    counts = torch.zeros(len(model.readout.outcomes))
    for decision in decided(explainer, images, going):
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
