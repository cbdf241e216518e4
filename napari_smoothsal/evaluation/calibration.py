"""Calibrate maps: how strong are they where there is nothing to see?

There is nothing to see in normal tissue, stained a little more or less, and in what a copy of the
model sees that has not learned anything. A tile shows something only if the model's probability
of the target is above what all but ``error_rate`` of normal tiles reach (`conformal_limit`): maps
alone would not tell, since a normal tile's can be as strong as a tumour's, with ends of either
sign that add up to next to nothing. Of such a tile that part of the map is shown that is stronger
than all but ``error_rate`` of it in normal tissue, and than the strongest place of all but
``error_rate`` of the tiles that a copy of the model lets pass. Maps of models that decide per pixel
are zero where the target is predicted nowhere; there the limit is of tiles' strongest places alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.attribution.reduction import reduce_channels
from napari_smoothsal.attribution.tiles import checked_images
from napari_smoothsal.core.calibration import Calibration, CalibrationCheck, calibrated_as
from napari_smoothsal.core.checks import Randomisation
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.evaluation.blocks import blocks_of
from napari_smoothsal.evaluation.conformal import conformal_limit, expected_share, fewest
from napari_smoothsal.evaluation.kept_class import one_precision
from napari_smoothsal.evaluation.paper import Told
from napari_smoothsal.evaluation.randomisation import randomised
from napari_smoothsal.evaluation.stain_jitter import stained
from napari_smoothsal.models import Model

Floats = NDArray[np.float64]

MOST_PREDICTED = 0.1
"""Of normal tissue, predicted as the target."""
_FITTED_TO = 64
_PIXELS = 4096
"""Of a map, drawn by chance."""
_FULL_COLOUR = 0.999


def calibrate(
    model: Model,
    images: torch.Tensor | NDArray[np.generic],
    specs: Sequence[SaliencySpec],
    of_target: torch.Tensor | NDArray[np.generic] | None = None,
    how: CalibrationCheck | None = None,
    compute: Compute | None = None,
    told: Told = lambda *_: None,
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

    Returns
    -------
    list of Calibration
        In the order of the specs.

    Raises
    ------
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
    predicted = _predicted_as_target(explainer, tiles)
    variants = list(_stains(tiles, how.stain))
    total = len(variants) + how.copies
    normal = []
    for done, variant in enumerate(variants):
        told("calibration: normal tissue", done, total)
        normal.append(_looked_at(explainer, variant, range(len(tiles))))
    rng, copies = np.random.default_rng(how.seed), []
    for copy in range(how.copies):
        told("calibration: randomised copies", len(variants) + copy, total)
        random = Randomisation(seed=(how.seed + copy) % 2**31)
        forgotten = randomised(model, blocks_of(model), random, tiles[:_FITTED_TO])
        shown = rng.choice(len(tiles), min(how.copy_tiles, len(tiles)), replace=False)
        copied = Explainer(forgotten, explainer.specs, compute, "slide", warn=False)
        copies.append(_looked_at(copied, tiles[shown], shown))
    measured = [
        _calibration(
            explainer,
            index,
            [found[index] for found in normal],
            [found[index] for found in copies],
            predicted[index],
            len(tiles),
            max(tiles.shape[2:]),
            how,
        )
        for index in range(len(explainer.specs))
    ]
    if of_target is None:
        return measured
    there = checked_images(model, of_target)
    found = _looked_at(explainer, there, range(len(there)))
    return [
        one.model_copy(update={"shown": _shown(one, nulls)})
        for one, nulls in zip(measured, found, strict=True)
    ]


class _Seen(NamedTuple):
    """What is looked at of one map of some tiles.

    Attributes
    ----------
    probability
        (n,) of the target.
    largest
        (n,) magnitude.
    pixels
        Some magnitudes of every tile.
    """

    probability: Floats
    largest: Floats
    pixels: Floats


def _shown(calibration: Calibration, found: _Seen) -> float | None:
    """Share of tiles in which something is shown, of those predicted as the target."""
    of_target = (
        found.probability > 0.5 if calibration.probability is not None else found.largest > 0
    )
    shown = found.largest > calibration.limit
    shown &= found.probability > (calibration.probability or 0)
    return float(shown[of_target].mean()) if of_target.any() else None


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


def _looked_at(explainer: Explainer, images: torch.Tensor, places: Iterable[int]) -> list[_Seen]:
    size, named = explainer.batch_size(max(images.shape[2:])), [(int(i),) for i in places]
    found: list[list[_Seen]] = [[] for _ in explainer.specs]
    for start in range(0, len(images), size):
        part = images[start : start + size]
        result = explainer.explain(part, named[start : start + size])
        for nulls, spec, target, own in zip(
            found, explainer.specs, explainer.targets, result.specs, strict=True
        ):
            maps = reduce_channels(own.maps, spec.reduction).double().numpy()
            sizes = np.abs(maps).reshape(len(maps), -1)
            drawn = np.random.default_rng(0).permutation(sizes.shape[1])[:_PIXELS]
            score = target_probability(result.decision.probabilities, target.classes or ())
            nulls.append(_Seen(score.numpy(), sizes.max(1), sizes[:, drawn].ravel()))
    return [_joined(nulls) for nulls in found]


def _joined(nulls: Sequence[_Seen]) -> _Seen:
    return _Seen(*(np.concatenate(values) for values in zip(*nulls, strict=True)))


def _calibration(
    explainer: Explainer,
    index: int,
    normal: Sequence[_Seen],
    copies: Sequence[_Seen],
    predicted: float,
    tiles: int,
    tile_px: int,
    how: CalibrationCheck,
) -> Calibration:
    model, spec = explainer.model, explainer.specs[index]
    pixels = np.concatenate([one.pixels for one in normal])

    # A tile counts with the worst of its stains.
    likely, largest = (
        np.max([getattr(one, what) for one in normal], axis=0)
        for what in ("probability", "largest")
    )
    in_copies = np.stack([one.largest for one in copies])
    if model.readout.dense:
        probability, least = None, conformal_limit(largest, how.error_rate)
    else:
        probability = conformal_limit(likely, how.error_rate)
        least = float(np.quantile(pixels, 1 - how.error_rate))
        passing = np.stack([one.probability for one in copies]) > probability
        in_copies = np.where(passing, in_copies, 0)
    least = max(least, conformal_limit(in_copies, how.error_rate))
    strong = pixels[pixels > 0]
    replaces = explainer.plans[index].denoising.replaces
    return Calibration(
        spec=calibrated_as(spec),
        target=explainer.targets[index].label,
        surrogate=model.surrogate.sha256 if replaces and model.surrogate else None,
        limit=least,
        probability=probability,
        full_colour=float(np.quantile(strong, _FULL_COLOUR)) if len(strong) else 0.0,
        error_rate=how.error_rate,
        expected=expected_share(tiles, how.error_rate),
        tiles=tiles,
        tile_px=tile_px,
        copies=len(copies),
        stain=how.stain,
        predicted=predicted,
    )


def _predicted_as_target(explainer: Explainer, tiles: torch.Tensor) -> list[float]:
    """For each spec, the share of tiles that are predicted as its target; refused if large."""
    model = explainer.model
    asked = Explainer(model, [], explainer.compute, "slide", networks=explainer.networks)
    size = asked.batch_size(max(tiles.shape[2:]))
    decisions = [
        asked.explain(part, [(i,) for i in range(len(part))]).decision.predicted
        for part in tiles.split(size)
    ]
    predicted = torch.cat(decisions).numpy()
    shares = []
    for target in explainer.targets:
        wanted = (target.classes or (0,))[0]
        share = float((predicted == wanted).mean())
        if share > MOST_PREDICTED:
            raise SettingError(
                f"calibration: model {model.card.name!r} predicts "
                f"{model.readout.outcomes[wanted]!r} of {100 * share:.0f} % of the {len(tiles)} "
                f"tiles, more than {100 * MOST_PREDICTED:.0f} %: they are no normal tissue, or the "
                "model does not know it. Take such tiles away, or explain another class"
            )
        shares.append(share)
    return shares


def _stains(tiles: torch.Tensor, by: float) -> Iterator[torch.Tensor]:
    """The tiles as they are, and with more or less of both dyes."""
    yield tiles
    if by and tiles.dtype == torch.uint8 and tiles.shape[1] == 3:
        for factors in product((1 - by, 1 + by), repeat=2):
            yield stained(tiles, *factors)
