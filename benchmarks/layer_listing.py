"""How long does it take to list a model's layers? From its network on: medians.

python benchmarks/layer_listing.py --out benchmarks/results/layer_listing_2_cores.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch
import torchvision
from machine import machine
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models import Model
from napari_smoothsal.models.layers import main_layers

SIZE = 224
REPEATS = 7

NETWORKS: dict[str, tuple[Callable[[], nn.Module], float | None]] = {
    "ResNet50 (torchvision)": (lambda: torchvision.models.resnet50(weights=None), 1.0),
    "EfficientNet-B4 (timm)": (lambda: timm.create_model("efficientnet_b4"), 3.0),
    "DenseNet121 (torchvision)": (lambda: torchvision.models.densenet121(weights=None), None),
    "ConvNeXt-T (timm)": (lambda: timm.create_model("convnext_tiny"), None),
    "Swin-T (timm)": (lambda: timm.create_model("swin_tiny_patch4_window7_224"), None),
    "ViT-S/16 (timm)": (lambda: timm.create_model("vit_small_patch16_224"), None),
}
"""With the seconds to stay below."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON report.")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    modules = {name: build().eval() for name, (build, _) in NETWORKS.items()}
    listed: dict[str, list[tuple[float, float]]] = {name: [] for name in modules}
    passed: dict[str, list[tuple[float, float]]] = {name: [] for name in modules}
    counts = {}
    loads = [os.getloadavg()[0]]
    for _ in range(REPEATS):
        for name, module in modules.items():  # alternating: a busy moment hits all alike
            passed[name].append(_timed(lambda module=module: _pass(module)))
            model = Model(module, _card())  # knows nothing yet
            listed[name].append(_timed(model.layers))
            counts[name] = (len(model.layers()), main_layers(model.layers()))
        loads.append(os.getloadavg()[0])
    report = {
        "machine": machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "size_px": SIZE,
        "load": [round(load, 2) for load in loads],
        "networks": {
            name: {
                "layers": counts[name][0],
                "suggested": counts[name][1],
                "seconds": _summary(listed[name]),
                "plain_pass_seconds": _summary(passed[name]),
                "to_stay_below": NETWORKS[name][1],
            }
            for name in modules
        },
    }
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")


@torch.no_grad()
def _pass(module: nn.Module) -> None:
    module(torch.zeros(1, 3, SIZE, SIZE))


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    start, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - cpu


def _summary(times: list[tuple[float, float]]) -> dict[str, float]:
    seconds, cpu = zip(*times, strict=True)
    return {
        "median": round(statistics.median(seconds), 3),
        "best": round(min(seconds), 3),
        "worst": round(max(seconds), 3),
        "median_cpu": round(statistics.median(cpu), 3),  # for when other programs run as well
    }


def _card() -> ModelCard:
    return ModelCard(
        name="listed",
        kind="classification",
        class_names=tuple(f"class {i}" for i in range(1000)),
        input_size=SIZE,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
    )


if __name__ == "__main__":
    main()
