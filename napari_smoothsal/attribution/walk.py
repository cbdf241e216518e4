"""Walk: what maps have in common that are made of the same forward passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_smoothsal.attribution.base import (
    ImageMethod,
    LayerMethod,
    MethodOptions,
    PathMethod,
)
from napari_smoothsal.attribution.jitter import Jitter, jitter_of
from napari_smoothsal.attribution.map_plan import MapPlan
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.denoise import Denoising
from napari_smoothsal.denoise.base import MovingOptions
from napari_smoothsal.denoise.original import ORIGINAL
from napari_smoothsal.models import Model


@dataclass(frozen=True)
class Way:
    """A method whose passes are its own, and cannot be shared with another's.

    Attributes
    ----------
    method, options
        Which, and as it was told.
    layer
        Where its passes depend on the layer; None: they do not.
    """

    method: LayerMethod | PathMethod | ImageMethod
    options: MethodOptions
    layer: str | None


@dataclass(frozen=True)
class Walk:
    """What specs have in common that share every forward pass."""

    denoising: Denoising
    options: Settings
    changed: tuple[str, ...]
    """Convolutions whose forward pass is another one; () where it stays the model's."""
    samples: int | Literal["auto"]
    sigma: float
    seed: int
    disturbed_layer: str | None
    """Layer that the noise is added at; None: the input."""
    baseline: str | None
    """What the tile is compared with; None: with nothing."""
    jitter: Jitter | None
    """How the samples are shifted; None: they are not."""
    way: Way | None
    """None: the gradient, as autograd or the rescale rule has it."""


def walk_of(model: Model, plan: MapPlan, convolutions: tuple[str, ...]) -> Walk:
    """The walk of a map.

    Parameters
    ----------
    model, plan
        The map's.
    convolutions
        Those that its denoising changes.
    """
    spec, denoising, options = plan.spec, plan.denoising, plan.denoising_options
    if not (denoising.attach or denoising.replaces):
        # What is done to the finished map changes no pass.
        denoising, options = ORIGINAL, ORIGINAL.options()
    if isinstance(options, MovingOptions):
        options = options.model_copy(update={"compensate": False})
    jitter = jitter_of(model, plan.layer) if spec.jitter else None
    draws = isinstance(plan.method, PathMethod) and plan.method.draws
    differ = spec.sigma > 0 or jitter is not None or draws
    noisy = spec.samples != 0 and differ  # else all samples would be one
    return Walk(
        denoising,
        options,
        convolutions if denoising.changes_network else (),
        spec.samples if noisy else 0,
        spec.sigma if noisy else 0.0,
        spec.seed,
        spec.layer if noisy and spec.noise_at == "layer" else None,
        getattr(plan.method_options, "baseline", None),
        jitter,
        _way_of(plan),
    )


def _way_of(plan: MapPlan) -> Way | None:
    method, options = plan.method, plan.method_options
    if isinstance(method, PathMethod):
        return Way(method, options, plan.spec.layer)
    if isinstance(method, ImageMethod):
        return Way(method, options, None)
    assert isinstance(method, LayerMethod)
    return None if method.backward is None else Way(method, options, None)
