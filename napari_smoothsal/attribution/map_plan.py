"""MapPlan: what the names in a spec stand for; and the maps that are computed for others' sake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_smoothsal.attribution.base import (
    METHODS,
    ImageMethod,
    Method,
    MethodOptions,
    options_of,
)
from napari_smoothsal.attribution.baselines import CUSTOM
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.denoise import DENOISINGS, Denoising
from napari_smoothsal.denoise import options_of as denoising_options_of
from napari_smoothsal.denoise.base import MatchingOptions
from napari_smoothsal.denoise.original import ORIGINAL
from napari_smoothsal.models import LayerInfo, Model
from napari_smoothsal.models.targets import Scope, Target, resolve_target


@dataclass(frozen=True)
class MapPlan:
    """One map that is computed of every tile.

    Attributes
    ----------
    spec
        What was asked for.
    layer, method, method_options, target, denoising, denoising_options
        What it names.
    matched
        Place, among all plans, of the map that this one is to be as smooth as; None: of none.
    """

    spec: SaliencySpec
    layer: LayerInfo
    method: Method
    method_options: MethodOptions
    target: Target
    denoising: Denoising
    denoising_options: Settings
    matched: int | None


def settled(spec: SaliencySpec, scope: Scope) -> SaliencySpec:
    """A spec without what its method has no use for.

    A method that uses no gradients has none to denoise, one that changes the image itself draws
    no noise samples, and some options have no use beside others.

    Raises
    ------
    SmoothsalError
        If a method, denoising or option does not exist, or its value cannot work.
    """
    method, denoising = METHODS[spec.method], DENOISINGS[spec.denoising]
    options = options_of(method, spec.method_options)
    denoising_options_of(denoising, spec.denoising_options)
    if scope == "slide" and getattr(options, "baseline", None) == CUSTOM:
        raise SettingError(
            f"method {method.name!r}: baseline = {CUSTOM!r} compares with images of your own, "
            "which only explain_tiles in Python can be given; for slides choose another baseline, "
            "such as a colour as '#rrggbb'"
        )
    idle = method.idle(options)
    changes: dict[str, object] = {
        "method_options": {n: v for n, v in spec.method_options.items() if n not in idle}
    }
    if not method.uses_gradients and not denoising.changes_network and denoising.smooth is None:
        changes |= {"denoising": ORIGINAL.name, "denoising_options": {}}
    if isinstance(method, ImageMethod):
        plain = SaliencySpec(layer=spec.layer)
        changes |= {"samples": 0, "jitter": False}
        changes |= {name: getattr(plain, name) for name in ("aggregate", "noise_at", "sigma")}
    return spec.model_copy(update=changes)


def left_out(given: SaliencySpec, used: SaliencySpec) -> list[str]:
    """What a settled spec lacks that was chosen, and not only is the default; with values."""
    fields, usual = given.model_dump(exclude={"method_options"}), SaliencySpec(layer=given.layer)
    found = {
        name: value
        for name, value in fields.items()
        if value != getattr(used, name) and value != getattr(usual, name)
    }
    options = METHODS[given.method].options.model_fields
    found |= {
        name: value
        for name, value in given.method_options.items()
        if name not in used.method_options and value != options[name].default
    }
    return [f"{name} = {value!r}" for name, value in found.items()]


def map_plans(model: Model, specs: Sequence[SaliencySpec], scope: Scope) -> list[MapPlan]:
    """Plans of the specs, in their order, and then of the maps that some of them match.

    A matched map that is among the specs is not computed twice.

    Raises
    ------
    SmoothsalError
        If a layer, method, denoising, target or option does not exist.
    """
    wanted = list(specs)
    plans: list[MapPlan] = []
    for spec in wanted:  # grows
        spec = settled(spec, scope)
        method, denoising = METHODS[spec.method], DENOISINGS[spec.denoising]
        layer = model.layer(spec.layer)
        method_options = options_of(method, spec.method_options)
        denoising_options = denoising_options_of(denoising, spec.denoising_options)
        matched = None
        if isinstance(denoising_options, MatchingOptions) and denoising_options.match:
            changes = {"denoising": denoising_options.match, "denoising_options": {}}
            other = spec.model_copy(update=changes)
            if other not in wanted:
                wanted.append(other)
            matched = wanted.index(other)
        target = resolve_target(model.card, spec.target, scope, method_options.target_pixels)
        plans.append(
            MapPlan(
                spec, layer, method, method_options, target, denoising, denoising_options, matched
            )
        )
    return plans
