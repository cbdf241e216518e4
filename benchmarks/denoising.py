"""Denoisings: where they put a response, and what the forward hook's one convolution is worth.

``python benchmarks/denoising.py [--part displacement] [--out FILE]``

*Displacement*: the gradient of one unit in the middle of the last feature map, for a layer; the
centre of its magnitude against the place that unit looks at, by the geometry of the network. 448
px, so that the receptive field is not cut off; random weights, 16 seeds, both axes.

*Forward hook*: the strided convolutions of a network with the input averaged first, against the
mean of four convolutions of the rolled input, alternating in one process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from torch import nn
from torchvision.models import resnet18, resnet34, resnet50

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.denoise import DENOISINGS, convolutions_of, denoised, options_of
from napari_smoothsal.denoise.filters import mean_of_four_rolls
from napari_smoothsal.models import Model

SEEDS = 16
SIDE = 448
NETWORKS = {"resnet18": resnet18, "resnet34": resnet34, "resnet50": resnet50}
LAYERS = ("layer1", "layer2", "layer3")
HOOKS = ("original", "backward_hook", "forward_hook", "centred_hook")
ROUNDS = 7


def model_of(make: Callable[..., nn.Module], seed: int) -> Model:
    torch.manual_seed(seed)
    card = ModelCard(
        name=make.__name__,
        kind="classification",
        class_names=tuple(map(str, range(1000))),
        input_size=SIDE,
        input_mpp=0.5,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )
    return Model(make(weights=None).eval().requires_grad_(False), card)


def responses(model: Model, seed: int) -> dict[tuple[str, str], tuple[float, float]]:
    """(y, x) displacement in layer px by denoising and layer."""
    top = model.layer("layer4")
    image = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    found = {}
    for name in HOOKS:
        entry = DENOISINGS[name]
        options = options_of(entry, {})
        names = convolutions_of(model, model.layer(LAYERS[0]), entry, options)
        kept: dict[str, torch.Tensor] = {}

        def keep(layer: str, kept: dict[str, torch.Tensor] = kept) -> Callable[..., torch.Tensor]:
            def hook(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
                output = output.detach().requires_grad_() if layer == LAYERS[0] else output
                kept[layer] = output
                return output.clone()

            return hook

        handles = [
            model.module.get_submodule(layer).register_forward_hook(keep(layer))
            for layer in (*LAYERS, "layer4")
        ]
        with denoised(model.module, entry, names, options):
            model.module(image)
            output = kept["layer4"]
            middle = output.shape[2] // 2
            direction = torch.randn(
                output.shape[1], generator=torch.Generator().manual_seed(seed + 1)
            )
            score = (output[0, :, middle, middle] * direction).sum()
            gradients = torch.autograd.grad(score, [kept[layer] for layer in LAYERS])
        for handle in handles:
            handle.remove()
        for layer, gradient in zip(LAYERS, gradients, strict=True):
            info = model.layer(layer)
            size = gradient[0].abs().sum(0)
            places = []
            for axis in (0, 1):
                weight = size.sum(1 - axis).double()
                centroid = float((weight * torch.arange(len(weight))).sum() / weight.sum())
                at = middle * top.stride[axis] + top.centre[axis] - info.centre[axis]
                places.append(centroid - at / info.stride[axis])
            found[name, layer] = (places[0], places[1])
    return found


def displacements() -> list[dict[str, Any]]:
    rows = []
    for name, make in NETWORKS.items():
        seen: dict[tuple[str, str], list[float]] = {}
        for seed in range(SEEDS):
            for key, places in responses(model_of(make, seed), seed).items():
                seen.setdefault(key, []).extend(places)
        for (denoising, layer), values in seen.items():
            error = np.std(values, ddof=1) / np.sqrt(len(values))
            rows.append(
                {
                    "network": name,
                    "layer": layer,
                    "denoising": denoising,
                    "displacement_layer_px": round(float(np.mean(values)), 3),
                    "standard_error": round(float(error), 3),
                    "n": len(values),
                }
            )
            print(rows[-1], flush=True)
    return rows


def four_convolutions(convolution: nn.Conv2d, image: torch.Tensor) -> torch.Tensor:
    """As the published code has it."""
    rolls = [image.roll(shift, dims=(2, 3)) for shift in product((0, 1), repeat=2)]
    return torch.stack([convolution(rolled) for rolled in rolls]).mean(0)


def forward_hook_speed() -> list[dict[str, Any]]:
    rows = []
    for name, make in NETWORKS.items():
        model = model_of(make, 0)
        seen: list[tuple[nn.Conv2d, torch.Tensor]] = []
        handles = [
            model.module.get_submodule(c).register_forward_pre_hook(
                lambda module, inputs, seen=seen: seen.append((module, inputs[0].clone()))
            )
            for c in model.strided_convolutions[1:]
        ]
        with torch.no_grad():
            model.module.to(memory_format=torch.channels_last)
            image = torch.randn(8, 3, 224, 224).to(memory_format=torch.channels_last)
            model.module(image)
        for handle in handles:
            handle.remove()
        for dtype in (torch.float32, torch.bfloat16):
            pairs = [(c.to(dtype), x.to(dtype)) for c, x in seen]
            times: dict[str, list[float]] = {"four": [], "one": []}
            worst = 0.0
            with torch.no_grad():
                for _ in range(ROUNDS + 1):
                    start = time.perf_counter()
                    four = [four_convolutions(c, x) for c, x in pairs]
                    times["four"].append(time.perf_counter() - start)
                    start = time.perf_counter()
                    one = [c(mean_of_four_rolls(x)) for c, x in pairs]
                    times["one"].append(time.perf_counter() - start)
                for a, b in zip(four, one, strict=True):
                    worst = max(worst, float((a - b).abs().max() / a.abs().max()))
            four_s, one_s = (statistics.median(times[k][1:]) for k in ("four", "one"))
            rows.append(
                {
                    "network": name,
                    "format": str(dtype).removeprefix("torch."),
                    "four_ms": round(1000 * four_s, 1),
                    "one_ms": round(1000 * one_s, 1),
                    "ratio": round(four_s / one_s, 2),
                    "largest_difference": worst,
                }
            )
            print(rows[-1], flush=True)
    return rows


PARTS = {"forward_hook": forward_hook_speed, "displacement": displacements}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="What is there of another part stays.")
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    given = parser.parse_args()
    result: dict[str, Any] = {"machine": machine()}
    if given.out and given.out.exists():
        result |= json.loads(given.out.read_text(encoding="utf-8"))
    for name, measure in PARTS.items():
        if given.part in (name, "all"):
            result[name] = measure()
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
