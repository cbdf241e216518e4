"""``precision="auto"``: bf16 where it is fast and its error drowns in that of the samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch.nn import functional as F

from napari_smoothsal.attribution.device import Device
from napari_smoothsal.attribution.network import Networks
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.models import Model
from napari_smoothsal.models.targets import Scope

if TYPE_CHECKING:
    from napari_smoothsal.attribution.explainer import Explainer

_PROBE_SAMPLES = 8

_KNOWN: WeakKeyDictionary[Model, dict[str, bool]] = WeakKeyDictionary()


def has_fast_bf16(device: torch.device) -> bool:
    """Whether a device multiplies matrices of bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # AMX; a processor with AVX512-BF16 alone gains nothing that was measured.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return capabilities.get("amx_bf16", False)


def narrow_suffices(
    networks: Networks, model: Model, specs: Sequence[SaliencySpec], device: Device, scope: Scope
) -> bool:
    """Whether bf16 maps of a probe differ from fp32 ones by less than their standard error.

    The probe is a tile of coloured noise: what is decided depends on model, specs and device
    alone, and a run that is resumed decides the same. It is remembered for as long as the model
    is.
    """
    if not specs or not has_fast_bf16(device.device) or any(_exact(spec) for spec in specs):
        return False
    known = _KNOWN.setdefault(model, {})
    key = json.dumps([spec.model_dump(mode="json") for spec in specs]) + str(device.device) + scope
    if key not in known:
        known[key] = _measured(networks, model, specs, device, scope)
    return known[key]


def _exact(spec: SaliencySpec) -> bool:
    """Whether nothing tells how exact a map has to be."""
    return spec.samples == 0 or spec.sigma == 0 or spec.aggregate == "variance"


def _measured(
    networks: Networks, model: Model, specs: Sequence[SaliencySpec], device: Device, scope: Scope
) -> bool:
    from napari_smoothsal.attribution.explainer import Explainer

    probes = [_probe_spec(model, spec) for spec in specs]
    image = _probe(model.probe_px, len(model.card.mean))
    maps = {}
    for precision in ("fp32", "bf16"):
        compute = Compute(
            device=str(device.device), precision=precision, deterministic=device.deterministic
        )
        try:
            explainer: Explainer = Explainer(
                model, probes, compute, scope, warn=False, networks=networks
            )
        except SettingError:  # the network does not run in bf16
            return False
        grey = image.mean((2, 3), keepdim=True).expand_as(image)  # where baselines are custom
        maps[precision] = explainer.explain(image, [(0,)], baselines=grey)
    for wide, narrow, spec in zip(maps["fp32"].specs, maps["bf16"].specs, specs, strict=True):
        size = wide.maps.norm()
        error = float((narrow.maps - wide.maps).norm() / size)
        # The error of the mean of all samples, from that of the few.
        samples = float(wide.samples[0])
        wanted = spec.max_standard_error
        if spec.samples != "auto":
            wanted = float(wide.standard_error[0]) * (samples / spec.samples) ** 0.5
        if not error <= wanted:
            return False
    return True


def _probe_spec(model: Model, spec: SaliencySpec) -> SaliencySpec:
    few = _PROBE_SAMPLES if spec.samples == "auto" else min(spec.samples, _PROBE_SAMPLES)
    options = dict(spec.method_options)
    if model.readout.dense:
        options["target_pixels"] = "all"  # noise may hold no pixel of the class
    return spec.model_copy(update={"samples": max(few, 2), "method_options": options})


def _probe(side: int, channels: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, channels, side // 8 + 1, side // 8 + 1, generator=generator)
    fine = torch.rand(1, channels, side, side, generator=generator)
    smooth = F.interpolate(coarse, (side, side), mode="bilinear")
    return (0.8 * smooth + 0.2 * fine).clamp(0, 1)
