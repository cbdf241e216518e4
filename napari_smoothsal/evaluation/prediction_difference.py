"""How much a denoising that changes the network changes what it says (Table 3 of the paper)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

IN_SIGHT = 0.1
"""A pixel of a segmentation counts for a class that the original model gives more than this."""


@dataclass(frozen=True)
class PredictionDifference:
    """Absolute differences of probabilities, of each tile.

    Attributes
    ----------
    all_classes
        (N,) summed over classes.
    target_class
        (N,) of the target alone; NaN where a tile of a segmentation shows only background.
    """

    all_classes: torch.Tensor
    target_class: torch.Tensor


def prediction_difference(
    original: torch.Tensor, changed: torch.Tensor, target: torch.Tensor
) -> PredictionDifference:
    """Of one decision per tile.

    Parameters
    ----------
    original, changed
        (N, classes) probabilities; one column for a single logit.
    target
        (N,) class of interest.

    Notes
    -----
    Herdt et al., Smooth Deep Saliency, section 3.2.
    """
    distance = (original - changed).abs()
    chosen = distance.gather(1, target.clamp(0, distance.shape[1] - 1)[:, None])[:, 0]
    return PredictionDifference(distance.sum(1), chosen)


def masked_prediction_difference(
    original: torch.Tensor, changed: torch.Tensor, labels: torch.Tensor, background: int | None
) -> PredictionDifference:
    """Of one decision per pixel, over the pixels where the tile's main class is in sight.

    Parameters
    ----------
    original, changed
        (N, classes, H, W) probabilities.
    labels
        (N, h, w) true class of each pixel, of any size; without truth, what the original model
        says.
    background
        Class that is never of interest.

    Notes
    -----
    Section 3.2 of the paper: a tile's target is its most frequent label other than the background,
    and the mask the pixels to which the original model gives it more than 0.1. The formula sums
    over classes, its text speaks of the target; both are given, inside the mask.
    """
    targets = main_class(labels, original.shape[1], background)
    everything, target_only = [], []
    for before, after, target in zip(original, changed, targets.tolist(), strict=True):
        mask = before[target] > IN_SIGHT
        if target < 0 or not mask.any():
            everything.append(torch.nan)
            target_only.append(torch.nan)
            continue
        distance = (before - after).abs()[:, mask].mean(1)
        everything.append(float(distance.sum()))
        target_only.append(float(distance[target]))
    return PredictionDifference(torch.tensor(everything), torch.tensor(target_only))


def main_class(labels: torch.Tensor, classes: int, background: int | None) -> torch.Tensor:
    """(N,) most frequent class of labels (N, H, W) other than the background; -1 without any.

    Parameters
    ----------
    labels
        Of each pixel; those that are no class, 255 for example, do not count.
    classes
        How many there are.
    background
        Class that is never of interest.
    """
    found = []
    for truth in labels:
        counts = torch.bincount(truth.flatten().clamp(0, classes).long(), minlength=classes + 1)
        counts = counts[:classes]
        if background is not None and background < classes:
            counts[background] = 0
        found.append(int(counts.argmax()) if counts.any() else -1)
    return torch.tensor(found, dtype=torch.long)
