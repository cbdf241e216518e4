"""Adversarial tiles: changed so little that nobody sees it, and decided otherwise.

What a map of such a tile calls important cannot be what tissue looks like: put back piece by
piece, such a tile was found to reach its new score only at the end, of masks and networks of
natural images (the iGOS++ paper). Of demo-classifier and activation x gradient it was not: two
adversarial tiles settled at 0.14 and 0.18 of their cells, natural ones at 0.14 to 0.21.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F

from napari_smoothsal.core.checks import Attack
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.evaluation.asked_model import AskedModel
from napari_smoothsal.models import Decision, Model


class Adversarial(NamedTuple):
    """Changed tiles.

    Attributes
    ----------
    images
        (n, C, H, W) uint8, no colour further than ``eps`` from what it was.
    decision, original
        What the model says of them, and of the tiles as they were.
    """

    images: torch.Tensor
    decision: Decision
    original: Decision

    @property
    def fooled(self) -> torch.Tensor:
        """(n,) bool: whether another class is predicted."""
        return self.decision.predicted != self.original.predicted


def attacked(model: Model, images: torch.Tensor, how: Attack, compute: Compute) -> Adversarial:
    """Change tiles away from the class that the model predicts for them.

    Parameters
    ----------
    model
        Attacked; it is not changed.
    images
        (n, C, H, W) uint8. What is changed, and comes back, is behind the card's stain
        normalisation, if it has one.
    how
        How far, in how many steps.
    compute
        Device; the network runs in fp32.
    """
    images, model = model.stain_normalised(images).images, model.behind_stain
    asked = AskedModel(model, compute)
    network, original = asked.network, asked.decision(images)
    start = network.unit_range(images)
    labels = original.labels.to(start.device)
    bound = how.eps / 255
    low, high = (start - bound).clamp(min=0), (start + bound).clamp(max=1)
    changed, direction = start.clone(), torch.zeros_like(start)
    for _ in range(how.steps):
        with torch.enable_grad():
            leaf = changed.detach().requires_grad_()
            loss = _loss(network.output(network.normalised(leaf)), labels)
            (gradient,) = torch.autograd.grad(loss, leaf)
        length = gradient.abs().mean((1, 2, 3), keepdim=True)
        direction = how.momentum * direction + gradient / length.clamp(min=1e-30)
        changed = changed.detach() + bound / how.steps * direction.sign()
        changed = changed.clamp(low, high)
    # Whole colours; towards the tile where rounding would leave the bound.
    most = torch.full_like(start, how.eps).floor()
    steps = (255 * (changed - start)).round().clamp(-most, most)
    whole = (255 * start).round().add(steps).clamp(0, 255).to(torch.uint8).cpu()
    return Adversarial(whole, asked.decision(whole), original)


def _loss(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """How little an output (n, classes, H, W) says for labels (n, H, W)."""
    if output.shape[1] == 1:
        # Of a single logit: outcome 0 is what it speaks for.
        return F.binary_cross_entropy_with_logits(output[:, 0], (labels == 0).to(output))
    return F.cross_entropy(output, labels.long())
