"""One pass of a method, forth and back, by hand and in fp64: what its rules make of a score."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch

from napari_smoothsal.attribution.base import METHODS, AtLayer, Box, LayerMethod, options_of
from napari_smoothsal.attribution.capture import captured
from napari_smoothsal.attribution.device import resolve_device
from napari_smoothsal.attribution.network import Network
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.models import Model

FP64 = resolve_device(Compute(precision="fp64", device="cpu"))


@dataclass
class Pass:
    """Maps (B, C, h, w) by layer, what begins as relevance (B, H, W), and the normalised images."""

    maps: dict[str, torch.Tensor]
    logits: torch.Tensor
    images: torch.Tensor

    @property
    def scores(self) -> torch.Tensor:
        return self.logits.sum((1, 2))

    def sums(self, layer: str) -> torch.Tensor:
        return self.maps[layer].sum((1, 2, 3))


def one_pass(
    model: Model, images: torch.Tensor, layers: tuple[str, ...], method: str, target=0, **options
) -> Pass:
    """The score is that of a class, summed over all pixels."""
    network = Network(model, FP64, layers)
    kind = METHODS[method]
    assert isinstance(kind, LayerMethod)
    settings = options_of(kind, options)
    box = None
    if "input" in layers:
        box = Box(*(network.normalised(torch.full((1, 3, 1, 1), v)) for v in (0.0, 1.0)))
    rules = contextlib.nullcontext() if kind.backward is None else kind.backward(settings, box)
    x = network.normalised(images)
    with captured(network.module, layers) as activations, rules:
        logits = network.output(x)[:, target]
    scored = logits if kind.begins is None else kind.begins(logits)
    gradients = torch.autograd.grad(scored.sum(), [activations[name] for name in layers])
    maps = {
        name: kind.attribute(AtLayer(activations[name].detach(), g, name), settings)
        for name, g in zip(layers, gradients, strict=True)
    }
    return Pass(maps, scored.detach(), x)
