"""Captum's two measures of a map at the image: infidelity and maximal sensitivity.

Yeh et al., On the (In)fidelity and Sensitivity of Explanations (NeurIPS 2019). Captum computes
both; what lives here hands it our maps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from captum.metrics import infidelity, infidelity_perturb_func_decorator, sensitivity_max

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.attribution.base import LayerMethod
from napari_smoothsal.core.checks import Disturbance
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.models import Model


class Measured(NamedTuple):
    """Of one map.

    Attributes
    ----------
    infidelity
        Share of the score's changes under noise that the map, on its best scale, does not
        foretell: 0 is all foretold, 1 none. NaN where the score does not change. Gradients foretell
        by their product with the noise; maps of contributions by the share of each pixel that the
        noise takes away.
    sensitivity
        Largest change of the map, of its own length, among images that look the same.
    """

    infidelity: float
    sensitivity: float


def infidelity_and_sensitivity(
    model: Model, image: torch.Tensor, spec: SaliencySpec, how: Disturbance, compute: Compute
) -> Measured:
    """Measure one map at the image.

    Parameters
    ----------
    model
        Explained.
    image
        (C, H, W) uint8, or floats 0..1.
    spec
        Of the layer ``input``; its channels are taken one by one, whatever its reduction. Unset
        targets are the class that the model predicts for the image as it is.
    how, compute
        Noise; on what.

    Raises
    ------
    SettingError
        If the spec is of another layer, or chooses a channel, or explains a hidden unit.
    """
    if spec.layer != "input" or spec.channel is not None:
        raise SettingError(
            f"layer = {spec.layer_label!r}: infidelity and sensitivity disturb all of the image; "
            "choose layer = 'input', without a channel"
        )
    # The noise is added behind the card's stain normalisation.
    (image,), model = model.stain_normalised(image[None]).images, model.behind_stain
    explainer = Explainer(model, [spec], compute, "tiles", warn=False)
    network, target = explainer.network, explainer.targets[0]
    if target.unit is not None:
        raise SettingError(
            f"target = {target.label!r}: infidelity follows the score of a class; choose one"
        )
    colours = network.unit_range(image[None])
    question = model.readout.ask(explainer.explain(colours, [(0,)]).decision, target)
    if spec.target in (None, "auto"):
        kept = spec.model_copy(update={"target": int(question.classes[0, 0])})
        explainer = Explainer(
            model, [kept], compute, "tiles", warn=False, networks=explainer.networks
        )

    def maps(images: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        (images,) = images if isinstance(images, tuple) else (images,)
        with torch.enable_grad():
            # All with the same noise samples: what differs is the image.
            found = explainer.explain(images.clamp(0, 1), [(0,)] * len(images))
        return (found.specs[0].maps.contiguous(),)

    def score(images: torch.Tensor) -> torch.Tensor:
        asked = question.rows(torch.zeros(len(images), dtype=torch.long))
        return asked.scores(network.output(images))

    method = explainer.methods[0]
    contributes = not (isinstance(method, LayerMethod) and method.moves)

    def less_noise(images: torch.Tensor) -> torch.Tensor:
        return images - how.sigma * torch.randn_like(images)

    noisy = infidelity_perturb_func_decorator(multiply_by_inputs=contributes)(less_noise)
    normalised = network.normalised(colours)
    own = maps(colours)[0].to(normalised).expand_as(normalised)
    rows = max(1, min(how.samples, explainer.batch_size(max(image.shape[1:]))))
    found = []
    for attributions, scaled in ((own, True), (torch.zeros_like(own), False)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(how.seed)
            found.append(
                float(
                    infidelity(
                        score,
                        noisy,
                        normalised,
                        attributions,
                        n_perturb_samples=how.samples,
                        max_examples_per_batch=rows,
                        normalize=scaled,
                    )[0]
                )
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        sensitivity = sensitivity_max(
            maps,
            colours,
            perturb_radius=how.radius,
            n_perturb_samples=how.samples,
            max_examples_per_batch=rows,
        )
    left, changes = found
    return Measured(max(0.0, left / changes) if changes > 0 else np.nan, float(sensitivity[0]))
