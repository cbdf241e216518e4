"""What a map cannot be, whatever the model: settings of a plan that contradict each other."""

from __future__ import annotations

from napari_smoothsal.attribution.base import ImageMethod, PathMethod
from napari_smoothsal.attribution.baselines import CUSTOM, baseline_of
from napari_smoothsal.attribution.map_plan import MapPlan
from napari_smoothsal.core.errors import SettingError


def check_plan(plan: MapPlan) -> None:
    """Refuse a map that its method, layer and options cannot give together.

    Raises
    ------
    SettingError
        With what to choose instead.
    """
    _check_layer(plan)
    _check_channel(plan)
    _check_baseline(plan)
    _check_noise(plan)


def _check_noise(plan: MapPlan) -> None:
    method, spec = plan.method, plan.spec
    if (
        isinstance(method, PathMethod)
        and method.in_the_image(plan.method_options)
        and spec.noise_at == "layer"
        and spec.samples != 0
    ):
        raise SettingError(
            f"noise_at = 'layer': with path = 'input' method {method.name!r} goes through images, "
            "so the layer has no one output to add noise to; choose noise_at = 'input', or "
            "path = 'layer'"
        )


def _check_channel(plan: MapPlan) -> None:
    channel, layer = plan.spec.channel, plan.layer
    if channel is not None and plan.method.one_map(plan.method_options):
        raise SettingError(
            f"channel = {channel}: method {plan.method.name!r} makes one map of all channels; "
            "choose another reduction"
        )
    if channel is not None and channel >= layer.channels:
        raise SettingError(
            f"channel = {channel}: layer {layer.name!r} has {layer.channels} channels, "
            f"0 to {layer.channels - 1}; choose one of them"
        )


def _check_layer(plan: MapPlan) -> None:
    if isinstance(plan.method, ImageMethod) and plan.spec.layer != "input":
        raise SettingError(
            f"method {plan.method.name!r} changes the image and looks at the scores, so its maps "
            f"are of the image: layer = {plan.spec.layer!r} is none; choose layer = 'input', or "
            "a method that looks into hidden layers"
        )


def _check_baseline(plan: MapPlan) -> None:
    """Of images that jitter shifts."""
    baseline = getattr(plan.method_options, "baseline", None)
    if baseline is None or not plan.spec.jitter:
        return
    if isinstance(plan.method, PathMethod) and plan.method.pool(plan.method_options):
        return  # any of them will do
    if baseline == CUSTOM or not baseline_of(baseline).uniform:
        raise SettingError(
            f"jitter = True: method {plan.method.name!r} compares shifted tiles with baseline "
            f"{baseline!r}, which is not shifted with them; choose a baseline of one colour, or "
            "jitter = False"
        )
