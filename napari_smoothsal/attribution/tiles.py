"""explain_tiles: maps of given images, without a slide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution.base import PathMethod
from napari_smoothsal.attribution.batch_maps import BatchMaps
from napari_smoothsal.attribution.explainer import Explainer
from napari_smoothsal.attribution.explanation import Explanation
from napari_smoothsal.attribution.reduction import reduce_channels
from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.checks import UNSURE, WRONG, weakly_predicted
from napari_smoothsal.core.errors import ModelError, SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.denoise import Displacement
from napari_smoothsal.models import Decision, Model


@dataclass(frozen=True)
class TileMaps:
    """Saliency maps of a set of tiles and the decisions they explain.

    Attributes
    ----------
    maps
        (B, C, h, w) float32 CPU tensor, signed, at the layer's resolution; of one chosen channel
        (``spec.channel``) C = 1.
    target
        (B,) class explained; of a difference, the first; -1 of a hidden unit.
    logits, probabilities
        (B, classes) of one noise-free pass of the explained network.
        Means over the pixels where the model decides per pixel.
    original_probabilities
        (B, classes) of the untouched model.
    standard_error
        (B,) relative standard error of the mean over noise samples; NaN without noise.
    samples
        (B,) noise samples drawn; 1 without noise.
    convergence_delta
        (B,) of DeepLift and integrated gradients: how far the sum over a map is from the score
        less the baseline's, the mean of the magnitudes over samples; else NaN. Rounding, or what
        the steps are too few for, where every path from the image to the score leads through the
        layer; what goes past it, too, where a skip does.
    explained_px
        (B,) number of output pixels whose scores were summed and explained: 1 for one decision
        per tile; 0 where the class is predicted nowhere in the tile, whose map is zero.
    dense_probabilities
        (B, classes, H, W) if they were asked for; else None.
    predicted
        (B,) what the untouched model predicts: an index of its readout's ``outcomes``.
    dense
        Whether the model decides per pixel.
    displacement
        How far the maps lie beside what they show, in tile px; lay them its ``placed_px`` up and
        to the left, as stores do.
    idle_denoising
        Whether the denoising had nothing to do, so that the maps are the original's: no strided
        convolution lies above the layer.
    spec
        What was computed.
    """

    maps: torch.Tensor
    target: torch.Tensor
    logits: torch.Tensor
    probabilities: torch.Tensor
    original_probabilities: torch.Tensor
    standard_error: torch.Tensor
    samples: torch.Tensor
    convergence_delta: torch.Tensor
    explained_px: torch.Tensor
    dense_probabilities: torch.Tensor | None
    predicted: torch.Tensor
    dense: bool
    displacement: Displacement
    idle_denoising: bool
    spec: SaliencySpec

    def marks(self, labels: Sequence[int] | None = None) -> list[tuple[str, ...]]:
        """What is to be known of each tile's prediction before one trusts its map; empty: nothing.

        Maps of such tiles are computed like any other, and may be of what fools the model.

        Parameters
        ----------
        labels
            (B,) true outcomes, where they are known: those predicted otherwise are marked
            ``predicted wrongly``.

        Returns
        -------
        list of tuple of str
            ``weakly predicted`` stands where no outcome of the untouched model has a probability of
            `LEAST_PROBABILITY`; not of models that decide per pixel, which have none of a tile.
        """
        weak = weakly_predicted(self.original_probabilities.numpy()) & (not self.dense)
        wrong = np.zeros_like(weak)
        if labels is not None:
            if len(labels) != len(wrong):
                raise SettingError(f"{len(labels)} labels of {len(wrong)} tiles; give one for each")
            wrong = self.predicted.numpy() != np.asarray(labels)
        return [
            tuple(mark for mark, there in ((WRONG, w), (UNSURE, u)) if there)
            for w, u in zip(wrong.tolist(), weak.tolist(), strict=True)
        ]

    @property
    def reduced(self) -> torch.Tensor:
        """(B, h, w): channels combined as ``spec.reduction`` says."""
        return reduce_channels(self.maps, self.spec.reduction)


def explain_tiles(
    model: Model,
    images: torch.Tensor | NDArray[np.generic],
    spec: SaliencySpec,
    compute: Compute | None = None,
    *,
    dense: bool = False,
    baselines: torch.Tensor | NDArray[np.generic] | None = None,
    margin: int = 0,
    on_sample: Callable[[TileMaps], None] | None = None,
) -> TileMaps:
    """Compute the saliency maps of images at a hidden layer.

    Parameters
    ----------
    model
        From `load_model` or built with `Model`; it is left exactly as it is.
    images
        (B, C, H, W), uint8 0..255 or floating 0..1, at the model's resolution, before the card's
        mean and standard deviation.
    spec
        Layer, denoising, method, noise, target.
    compute
        Device, precision, batch size.
    dense
        Keep the probabilities of every pixel, of models that decide per pixel.
    baselines
        (B or 1, C, H, W), as ``images``: what methods with ``baseline="custom"`` compare with;
        without a margin. For ``gradient_shap`` as many as one likes, to draw from.
    margin
        How many px of context ``images`` show around each tile, for ``spec.jitter``; without
        them its border is reflected. Maps are of the tile alone.
    on_sample
        Called after each noise sample of all images with the maps so far and their standard
        errors, for a picture that refines itself. What it raises ends the computation.

    Returns
    -------
    TileMaps

    Raises
    ------
    SmoothsalError
        If a setting does not fit the model, the images have another shape or range, ``dense`` is
        asked of a model that decides per tile, or a tile's logits are not finite (the message
        names it).

    Notes
    -----
    ``spec.target=None`` explains the class that the untouched model predicts for each tile; of
    models that decide per pixel, the majority class other than the background. The noise of a
    tile derives from its position in ``images``, not from the batch it falls into.
    """
    compute = compute or Compute()
    batch = checked_images(model, images)
    if not 0 <= 2 * margin < min(batch.shape[2:]):
        raise SettingError(
            f"margin = {margin}: nothing is left of images of {tuple(batch.shape[2:])} px; give "
            "the px of context on each side of a tile"
        )
    if dense and not model.readout.dense:
        raise SettingError(
            f"dense=True: model {model.card.name!r} decides once per tile and has no probabilities "
            "of single pixels"
        )
    sides = (batch.shape[2] - 2 * margin, batch.shape[3] - 2 * margin)
    explainer = Explainer(model, [spec], compute, scope="tiles")
    pool = isinstance(explainer.methods[0], PathMethod) and explainer.methods[0].pool(
        explainer.plans[0].method_options
    )
    others = None
    if baselines is not None:
        others = _checked_baselines(model, baselines, None if pool else len(batch), sides)
    size = explainer.batch_size(max(sides))
    parts = [range(start, min(start + size, len(batch))) for start in range(0, len(batch), size)]

    shared = others is not None and (pool or len(others) == 1)

    def begun(part: range) -> Explanation:
        return explainer.begin(
            batch[part[0] : part[-1] + 1],
            [(index,) for index in part],
            others if others is None or shared else others[part[0] : part[-1] + 1],
            margin,
        )

    def done(explanation: Explanation) -> BatchMaps:
        result = explainer.finish(explanation)
        # The pixels' probabilities are large, and of every tile.
        return result if dense else replace(result, decision=result.decision.without_pixels())

    if on_sample is None:
        results = [done(begun(part)) for part in parts]
    else:
        explanations = [begun(part) for part in parts]
        while not all(explanation.finished for explanation in explanations):
            for explanation in explanations:
                explanation.step(most=1)
            on_sample(_joined([e.result() for e in explanations], explainer, dense))
        results = [done(explanation) for explanation in explanations]
    maps = _joined(results, explainer, dense)
    _refuse_what_is_not_finite(results, maps)
    _tell_of_empty(maps.explained_px, explainer.targets[0].label)
    return maps


def _joined(batches: list[BatchMaps], explainer: Explainer, dense: bool) -> TileMaps:
    decisions = [b.decision for b in batches]
    maps = [b.specs[0] for b in batches]
    return TileMaps(
        maps=torch.cat([m.maps for m in maps]),
        target=torch.cat([m.target for m in maps]),
        logits=torch.cat([m.logits for m in maps]),
        probabilities=torch.cat([m.probabilities for m in maps]),
        original_probabilities=torch.cat([d.probabilities for d in decisions]),
        standard_error=torch.cat([m.standard_error for m in maps]),
        samples=torch.cat([m.samples for m in maps]),
        convergence_delta=torch.cat([m.convergence_delta for m in maps]),
        explained_px=torch.cat([m.explained_px for m in maps]),
        dense_probabilities=_dense(decisions) if dense else None,
        predicted=torch.cat([d.predicted for d in decisions]),
        dense=explainer.model.readout.dense,
        displacement=explainer.displacements[0],
        idle_denoising=explainer.idle_denoising(explainer.plans[0]),
        spec=explainer.specs[0],
    )


def _refuse_what_is_not_finite(batches: list[BatchMaps], maps: TileMaps) -> None:
    finite = torch.cat([b.finite for b in batches])
    for row in torch.nonzero(~finite).flatten().tolist():
        raise ModelError(
            f"tile {row}: the model's logits ({maps.logits[row].tolist()}) or its map are not "
            "finite; check the image and the model's weights, or choose a higher precision"
        )


def _dense(decisions: list[Decision]) -> torch.Tensor:
    return torch.cat(
        [d.dense_probabilities for d in decisions if d.dense_probabilities is not None]
    )


def _tell_of_empty(explained_px: torch.Tensor, target: str) -> None:
    empty = torch.nonzero(explained_px == 0).flatten().tolist()
    if empty:
        named = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
        warn_caller(
            f"tile(s) {named}: no pixel is predicted as {target!r}, so there is nothing to explain "
            "and the map is zero"
        )


def _checked_baselines(
    model: Model,
    given: torch.Tensor | NDArray[np.generic],
    tiles: int | None,
    sides: tuple[int, int],
) -> torch.Tensor:
    """One image, or one for each tile; where ``tiles`` is None, as many as one likes."""
    baselines = checked_images(model, given)
    if baselines.shape[2:] != sides or (tiles and len(baselines) not in (1, tiles)):
        many = (
            "as many images as you like"
            if tiles is None
            else (f"one image, or one for each of the {tiles} tiles")
        )
        raise SettingError(
            f"baselines have shape {tuple(baselines.shape)}; give {many}, of the tiles' size "
            f"{sides}"
        )
    return baselines


def checked_images(model: Model, images: torch.Tensor | NDArray[np.generic]) -> torch.Tensor:
    """(B, C, H, W) images of a model's, as given.

    Raises
    ------
    SettingError
        If they have another shape, format or range than its card says.
    """
    batch = torch.as_tensor(images)
    channels = len(model.card.mean)
    if batch.ndim != 4 or batch.shape[1] != channels or len(batch) == 0:
        raise SettingError(
            f"images have shape {tuple(batch.shape)}; {model.card.name!r} takes (tiles, "
            f"{channels}, height, width) with at least one tile"
        )
    if batch.dtype == torch.uint8:
        return batch
    if not batch.is_floating_point():
        raise SettingError(f"images are {batch.dtype}; give uint8 (0..255) or floats (0..1)")
    low, high = float(batch.min()), float(batch.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # NaN fails this too
        raise SettingError(
            f"floating images span {low:.4g} to {high:.4g}; give values from 0 to 1, before the "
            "card's mean and standard deviation"
        )
    return batch
