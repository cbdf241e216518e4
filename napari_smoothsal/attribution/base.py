"""What a method is: how it turns passes of the network into an attribution.

There are four kinds. A `LayerMethod` needs one pass, forth and back, of each noise sample, and
looks at what it left at the layer. A `PathMethod` adds up gradients between a baseline and the
tile. A `PerturbationMethod` changes the image many times and looks at the scores alone. A
`MaskMethod` looks for the mask that, laid over the image, changes the score most.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field

from napari_smoothsal.attribution.mask_optimisation import MaskOptimisation
from napari_smoothsal.attribution.perturbation import Perturbation, PerturbedTile
from napari_smoothsal.core.registry import Registry
from napari_smoothsal.core.settings import Settings, checked_options
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.models.targets import TargetPixels


class MethodOptions(Settings):
    """What every method can be told."""

    target_pixels: TargetPixels = Field(
        "predicted",
        description="Of models that decide per pixel: explain the score summed over the pixels "
        "`predicted` as the class, or over `all` pixels.",
    )


@dataclass(frozen=True)
class AtLayer:
    """What one pass leaves at a layer.

    Attributes
    ----------
    activation
        (B, C, h, w) the layer's output.
    gradient
        (B, C, h, w) of the explained scalar with respect to it; for a method with backward rules
        of its own, what these make of it.
    layer
        Its name.
    reference
        (B or 1, C, h, w) the layer's output for the baseline images; None for a method without.
    """

    activation: torch.Tensor
    gradient: torch.Tensor
    layer: str
    reference: torch.Tensor | None = None


@dataclass(frozen=True)
class Box:
    """What the values of an image lie between, as the network sees it.

    Attributes
    ----------
    low, high
        (1, C, 1, 1) black and white, normalised.
    """

    low: torch.Tensor
    high: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to compute an attribution.

    Attributes
    ----------
    name
        As in ``SaliencySpec.method``.
    title
        One line in plain words, for lists and tooltips.
    positive, negative
        What a value above and below zero says of the target, as a verb: "supports"; the latter is
        empty where no value ever is, and is not asked for where none is by the options.
    options
        Settings model of ``SaliencySpec.method_options``.
    one_map
        Whether, by the options, there is one map in place of one for each of the layer's channels.
    uses_gradients
        Whether what is done to gradients changes it.
    signed
        Whether, by the options, it has values below zero.
    of_the_target
        Whether it says anything of the target; else the verbs stand alone.
    opposed
        Whether, by the options, a value below zero says the opposite of one above: turned round,
        the map of a class is one of what stands against it.
    idle
        By the options, which of them have no use beside the others.
    """

    name: str
    title: str
    positive: str
    negative: str
    options: type[MethodOptions] = MethodOptions
    one_map: Callable[[Any], bool] = lambda _options: False
    uses_gradients: bool = True
    signed: Callable[[Any], bool] = lambda _options: True
    of_the_target: bool = True
    opposed: Callable[[Any], bool] = lambda _options: True
    idle: Callable[[Any], Container[str]] = lambda _options: ()


@dataclass(frozen=True, kw_only=True)
class LayerMethod(Method):
    """A method that looks at a layer's output and the gradient there.

    Attributes
    ----------
    attribute
        From what a pass leaves at the layer, and the options, to the attribution (B, C, h, w);
        or (B, 1, h, w), where it has no channels.
    backward
        By the options, rules by which functions pass gradients on in a pass, forth and back, that
        the context holds; None: as autograd does. The box is that of the image, where the image
        is among the layers that are looked at, else None.
    begins
        From the values that a score sums up to those that are summed in their place; None: they
        are.
    rescales
        Whether nonlinear functions pass gradients on by the rescale rule, against a baseline
        that the options name. A map's values then add up to the score less the baseline's.
    weighs
        Whether a gradient is relevance as a multiple of the activation, without a bound where that
        is small: denoisings then average it weighted with the activation.
    moves
        Whether a gradient that a denoising moves moves the map: it is the gradient alone.
    """

    attribute: Callable[[AtLayer, Any], torch.Tensor]
    backward: Callable[[Any, Box | None], AbstractContextManager[object]] | None = None
    begins: Callable[[torch.Tensor], torch.Tensor] | None = None
    rescales: bool = False
    weighs: bool = False
    moves: bool = False


@dataclass(frozen=True)
class Steps:
    """Where gradients are taken on the ways from baselines to one noise sample of a tile.

    Attributes
    ----------
    shares
        (n,) of the way, 0 at the baseline and 1 at the tile; ascending, where the way is one.
    weights
        (n,) of the gradients; they sum to 1.
    baselines
        (n,) which baseline each way begins at, of those there are to choose from.
    """

    shares: torch.Tensor
    weights: torch.Tensor
    baselines: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class PathMethod(Method):
    """A method that adds up gradients on ways from baselines to the tile.

    Its options have a field ``baseline``.

    Attributes
    ----------
    count
        How many gradients it takes of each noise sample.
    steps
        From the options, a seed and the number of baselines to choose from to where those are.
    pool
        Whether, by the options, there are many baselines to choose from; else each tile has one.
    draws
        Whether the steps are drawn anew for each noise sample.
    in_the_image
        Whether, by the options, it goes through images and looks at what the layer makes of
        them; else it goes through outputs of the layer. The steps are then its corners.
    """

    count: Callable[[Any], int]
    steps: Callable[[Any, int, int], Steps]
    pool: Callable[[Any], bool] = lambda _options: False
    draws: bool = False
    in_the_image: Callable[[Any], bool] = lambda _options: False


@dataclass(frozen=True, kw_only=True)
class ImageMethod(Method):
    """A method that changes the image: at layer ``"input"`` alone, and without noise samples."""

    one_map: Callable[[Any], bool] = lambda _options: True
    uses_gradients: bool = False


@dataclass(frozen=True, kw_only=True)
class PerturbationMethod(ImageMethod):
    """A method that changes the image and looks at the scores.

    Attributes
    ----------
    perturb
        From a tile and the options to what is done to it.
    """

    perturb: Callable[[PerturbedTile, Any], Perturbation]


@dataclass(frozen=True, kw_only=True)
class MaskMethod(ImageMethod):
    """A method that optimises a mask over the image, to change the target's probability.

    The gradients that it follows are those of its objective: no denoising touches them.

    Attributes
    ----------
    optimise
        From a tile and the options to its optimisation.
    """

    signed: Callable[[Any], bool] = lambda _options: False
    opposed: Callable[[Any], bool] = lambda _options: False
    optimise: Callable[[PerturbedTile, Any], MaskOptimisation]


METHODS: Registry[Method] = Registry("method")


def options_of(method: Method, given: dict[str, object]) -> MethodOptions:
    """Validate a spec's ``method_options`` by the method's own model."""
    return checked_options(f"method {method.name!r}", method.options, given)


def verbs_of(spec: SaliencySpec) -> tuple[str, str]:
    """What values above and below zero say of a spec's target; the second is empty where no value
    is below zero."""
    method = METHODS[spec.method]
    positive, negative = method.positive, method.negative
    if not method.signed(options_of(method, spec.method_options)):
        return positive, ""
    if spec.aggregate != "mean" or spec.reduction == "absolute":
        return f"{positive} or {negative}", ""
    return positive, "" if spec.reduction == "positive" else negative
