"""What to tell of a denoising before it is run: that it lacks something, or has nothing to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_smoothsal.viewer.offered import DenoisingChoice, LayerChoice, ModelDescribed


def surrogate_missing(model: ModelDescribed, used: Sequence[DenoisingChoice]) -> str:
    """Why a model cannot be denoised as chosen; empty where it can.

    Parameters
    ----------
    model, used
        The model, and the denoisings that are applied to it.
    """
    needing = [choice for choice in used if choice.surrogate]
    if model.surrogate or not needing:
        return ""
    name = needing[0].name.replace("_", " ")
    if model.strided == 0:
        return (
            f"denoising: {name} replaces strided convolutions, of which model {model.name!r} has "
            "none; choose original"
        )
    return (
        f"denoising: {name} needs a surrogate, which model {model.name!r} does not have. Train one "
        "with 'smoothsal train-surrogate' and choose the model again, or choose another denoising"
    )


def nothing_to_denoise(
    model: ModelDescribed,
    layer: LayerChoice,
    used: Sequence[DenoisingChoice],
    options: Mapping[str, Any],
) -> str:
    """That a denoising leaves the layer's map as it is; empty where it does something."""
    if not any(choice.strided for choice in used):
        return ""
    if model.strided == 0:
        return (
            f"Model {model.name!r} has no strided convolution: there is nothing to denoise, and "
            "the map is the original's."
        )
    changed = model.strided - 1 if options.get("scope") == "paper" else layer.to_denoise
    if changed:
        return ""
    return (
        f"No strided convolution lies above layer {layer.name!r}: there is nothing to denoise, and "
        "the map is the original's. Earlier layers have more above them."
    )
