"""What is told of the methods, so that a form shows which of its controls matter to each."""

from __future__ import annotations

from typing import Any

from napari_smoothsal.attribution import METHODS
from napari_smoothsal.attribution.base import ImageMethod, Method
from napari_smoothsal.attribution.map_plan import settled
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.denoise import DENOISINGS
from napari_smoothsal.viewer.offered import MethodChoice
from napari_smoothsal.viewer.option_settings import schema_of

_OTHER_THAN_USUAL = {
    "samples": 50,
    "sigma": 1.0,
    "jitter": True,
    "aggregate": "square",
    "noise_at": "layer",
}
"""Settings of noise: what is put back is what a method has no use for."""


def method_choices() -> tuple[MethodChoice, ...]:
    """All of them, in the order in which they are offered."""
    return tuple(
        MethodChoice(
            name=method.name,
            title=method.title,
            options=schema_of(method.options),
            input_only=isinstance(method, ImageMethod),
            left_out=_left_out(method),
            nothing_to=tuple(
                name for name in DENOISINGS if _settled(method, denoising=name).denoising != name
            ),
            one_map_with=_one_map_with(method),
        )
        for method in METHODS.values()
    )


def _settled(method: Method, **values: Any) -> SaliencySpec:
    return settled(SaliencySpec(layer="input", method=method.name, **values), "slide")


def _left_out(method: Method) -> dict[str, Any]:
    kept = _settled(method, **_OTHER_THAN_USUAL).model_dump()
    found = {name: kept[name] for name, value in _OTHER_THAN_USUAL.items() if kept[name] != value}
    if "samples" in found:
        # Says when there are enough of them.
        found["max_standard_error"] = kept["max_standard_error"]
    return found


def _one_map_with(method: Method) -> dict[str, Any] | None:
    switches = [n for n, field in method.options.model_fields.items() if field.annotation is bool]
    tried: list[dict[str, Any]] = [{}, *({name: True} for name in switches)]
    return next((options for options in tried if method.one_map(method.options(**options))), None)
