"""AskedModel: a model as it is, in fp32, that is asked what it says of images, without any map."""

from __future__ import annotations

import torch

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.attribution.network import Network
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.evaluation.insertion_deletion import Predict
from napari_smoothsal.models import Decision, Model


class AskedModel:
    """What changed images are scored on, whatever changed network their maps are of.

    Parameters
    ----------
    model
        It is not changed.
    compute
        On what; it runs in fp32, as whatever follows a probability needs.
    """

    def __init__(self, model: Model, compute: Compute) -> None:
        self.model = model
        exact = Compute(device=compute.device, precision="fp32")
        self._explainer = Explainer(model, [], exact, scope="tiles")

    @property
    def network(self) -> Network:
        """For gradients: the frozen copy that answers."""
        return self._explainer.network

    def decision(self, images: torch.Tensor) -> Decision:
        """Of images (n, C, H, W), uint8 or 0..1."""
        return self._explainer.explain(images, [(i,) for i in range(len(images))]).decision

    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        """(n, outcomes) of images as above; what lies beyond 0..1 is cut off."""
        images = images.clamp(0, 1) if images.is_floating_point() else images
        found = self.decision(images).probabilities
        return torch.cat([found, 1 - found], 1) if found.shape[1] == 1 else found

    def following(self, outcome: int) -> Predict:
        """Its probability of one outcome; of a model that decides once per tile."""
        return lambda images: self.probabilities(images)[:, outcome]
