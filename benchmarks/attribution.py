"""How fast maps are computed, against Captum, and how near to what the machine can do.

    python benchmarks/attribution.py --out benchmarks/results/attribution.json [--device cuda]

Per network, tile size, layer and method, all in one process, alternating, medians:

- *speed*: SmoothGrad (n = 20, sigma 0.2) of one tile against Captum's layer method under its
  NoiseTunnel in fp32, with the fastest of several `nt_samples_batch_size`; DeepLift on a copy whose
  ReLUs are not shared, without which Captum refuses or errs;
- *layers at once*: three layers from shared passes against three single runs;
- *share of the peak*: operations that the maps need (a forward pass and a backward pass above the
  layer, per sample) per second, over those of a 2048 x 2048 matrix product in the same format;
- *share of the bare network*: the time of those two passes alone, without noise, decision and sums,
  over the time that the map takes: what is left for the engine to win;
- *error of reduced precision*: distance to the fp32 map of the same noise, over the map, beside the
  relative standard error of the 20 samples;
- *memory*: peak of a DeepLift map, one sample at a time, beyond what the process holds before (the
  kernel's count, reset before), each measured in a process of its own; Linux only.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import json
import math
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from captum.attr import LayerDeepLift, LayerGradientXActivation, NoiseTunnel
from compared_networks import Scored, image_of, model_of, unshared
from machine import machine
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import napari_smoothsal as ss
from napari_smoothsal.attribution import Explainer
from napari_smoothsal.attribution.capture import captured
from napari_smoothsal.attribution.device import resolve_device
from napari_smoothsal.attribution.precision import has_fast_bf16

SAMPLES, SIGMA = 20, 0.2
LAYERS = ("layer1", "layer2", "layer3")
CAPTUM_BATCHES = (1, 4, 20)
MATRIX, MATMULS = 2048, 10


def captum_run(
    model: ss.Model, image: torch.Tensor, layer: str, method: str, batch: int, device: torch.device
) -> Callable[[], torch.Tensor]:
    """Captum's layer method under its NoiseTunnel, all samples of one tile."""
    network = Scored(unshared(model.module), model.readout.dense).to(device)
    place = network.network.get_submodule(layer)
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std))
    x = ((image / 255 - mean) / std).to(device)
    more: dict[str, Any] = {}
    if method == "deeplift":
        attribution = LayerDeepLift(network, place)
        more["baselines"] = torch.zeros_like(x)
    else:
        attribution = LayerGradientXActivation(network, place, multiply_by_inputs=False)
    tunnel = NoiseTunnel(attribution)

    def run() -> torch.Tensor:
        return tunnel.attribute(
            x, nt_type="smoothgrad", nt_samples=SAMPLES, nt_samples_batch_size=batch, stdevs=SIGMA,
            **more,
        )  # fmt: skip

    return run


def our_run(
    model: ss.Model, image: torch.Tensor, layers: tuple[str, ...], method: str, compute: ss.Compute
) -> Callable[[], Any]:
    """Our maps of the same: no denoising, the same class."""
    options = {"target_pixels": "all"} if model.readout.dense else {}
    specs = [
        ss.SaliencySpec(
            layer=layer, method=method, denoising="original", samples=SAMPLES, sigma=SIGMA,
            target=1, method_options=options,
        )
        for layer in layers
    ]  # fmt: skip
    explainer = Explainer(model, specs, compute, "tiles")
    explainer.batch_size(image.shape[2])
    return lambda: explainer.explain(image, [(0,)])


def bare_run(
    model: ss.Model, image: torch.Tensor, layer: str, precision: str, device: torch.device
) -> Callable[[], None]:
    """The network's passes alone, on as many rows at a time as ours."""
    spec = ss.SaliencySpec(layer=layer, denoising="original", samples=SAMPLES, target=1)
    explainer = Explainer(model, [spec], compute(precision, device), "tiles")
    passes = math.ceil(SAMPLES / explainer.batch_size(image.shape[2]))
    network = explainer.network
    images = network.normalised(image).repeat(math.ceil(SAMPLES / passes), 1, 1, 1)
    images = images.contiguous(memory_format=torch.channels_last)

    def run() -> None:
        for _ in range(passes):
            with explainer.device.numerics(), captured(network.module, [layer]) as activations:
                score = network.output(images)[:, 1].sum()
                torch.autograd.grad(score, [activations[layer]])

    return run


def seconds(run: Callable[[], Any], device: torch.device) -> float:
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def medians(
    runs: dict[str, Callable[[], Any]], rounds: int, device: torch.device
) -> dict[str, float]:
    """Median seconds of each, one after the other in every round, after one to warm up."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            taken = seconds(run, device)
            if number > 0 or rounds == 0:
                found[name].append(taken)
    return {name: statistics.median(values) for name, values in found.items()}


def flops_needed(model: ss.Model, image: torch.Tensor, layer: str) -> float:
    """Of one forward pass and one backward pass from the score down to the layer's output."""
    network = copy.deepcopy(model.module).requires_grad_(False)
    kept: list[torch.Tensor] = []

    def cut(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0].clone()

    network.get_submodule(layer).register_forward_hook(cut)
    with FlopCounterMode(display=False) as counter:
        network(image.float())[:, 1].sum().backward()
    return float(counter.get_total_flops())


def matmuls(precision: str, device: torch.device) -> Callable[[], None]:
    """The machine's peak, to be measured beside the rest: clocks rise and fall within a run."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(MATRIX, MATRIX, device=device).to(dtype) for _ in range(2))
    numerics = resolve_device(compute(precision, device)).numerics

    def run() -> None:
        with numerics():
            for _ in range(MATMULS):
                a @ b

    return run


def precisions(device: torch.device) -> list[str]:
    """Formats that are fast here; the first is fp32."""
    narrow = ["bf16"] if has_fast_bf16(device) else []
    return ["fp32", *(["tf32"] if device.type == "cuda" else []), *narrow]


def one_case(
    name: str, size: int, layers: tuple[str, ...], method: str, rounds: int, device: torch.device
) -> dict[str, Any]:
    """Ours in every format and Captum, side by side, at each layer; then all layers at once."""
    model = model_of(name)
    image = image_of(size)
    batches = CAPTUM_BATCHES if size == 224 else CAPTUM_BATCHES[:1]
    report: dict[str, Any] = {"network": name, "tile_px": size, "method": method, "layers": {}}
    formats = precisions(device)
    for layer in layers:
        runs: dict[str, Callable[[], Any]] = {
            precision: our_run(model, image, (layer,), method, compute(precision, device))
            for precision in formats
        }
        for batch in batches:
            runs[f"captum_{batch}"] = captum_run(model, image, layer, method, batch, device)
        for precision in formats:
            runs[f"matmul_{precision}"] = matmuls(precision, device)
            if method == "gradient":
                runs[f"bare_{precision}"] = bare_run(model, image, layer, precision, device)
        taken = medians(runs, rounds, device)
        peaks = {p: MATMULS * 2 * MATRIX**3 / taken.pop(f"matmul_{p}") for p in formats}
        captum = min(v for k, v in taken.items() if k.startswith("captum"))
        needed = flops_needed(model, image, layer) * SAMPLES
        reference = runs["fp32"]().specs[0]
        entry: dict[str, Any] = {
            "seconds": {k: round(v, 4) for k, v in taken.items()},
            "ratio_to_fastest_captum": {p: round(captum / taken[p], 2) for p in formats},
            "share_of_matmul_peak": {p: round(needed / taken[p] / peaks[p], 3) for p in formats},
            "matmul_peak_gflops": {p: round(v / 1e9) for p, v in peaks.items()},
            "relative_standard_error_of_20": round(float(reference.standard_error[0]), 4),
        }
        if method == "gradient":
            shares = {p: round(taken[f"bare_{p}"] / taken[p], 3) for p in formats}
            entry["share_of_bare_network"] = shares
        for precision in formats[1:]:
            maps = runs[precision]().specs[0].maps
            error = (maps - reference.maps).norm() / reference.maps.norm()
            entry[f"relative_error_{precision}"] = round(float(error), 4)
        report["layers"][layer] = entry
    if len(layers) > 1:
        report["layers_at_once_ratio"] = at_once(model, image, layers, method, rounds, device)
    print(json.dumps(report), flush=True)
    return report


def at_once(
    model: ss.Model,
    image: torch.Tensor,
    layers: tuple[str, ...],
    method: str,
    rounds: int,
    device: torch.device,
) -> dict[str, float]:
    """Single runs of every layer over one run of them all, by format."""
    ratios = {}
    for precision in precisions(device):
        settings = compute(precision, device)
        runs = {x: our_run(model, image, (x,), method, settings) for x in layers}
        runs["all"] = our_run(model, image, layers, method, settings)
        taken = medians(runs, rounds, device)
        ratios[precision] = round(sum(taken[x] for x in layers) / taken["all"], 2)
    return ratios


def compute(precision: str, device: torch.device) -> ss.Compute:
    return ss.Compute(precision=precision, device=str(device))


def peak_bytes(kind: str, name: str, size: int) -> int:
    """Memory of one DeepLift map, in a process of its own, beyond what it held before."""
    command = [sys.executable, __file__, "--memory", kind, name, str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


def print_peak(kind: str, name: str, size: int) -> None:
    """One sample at a time, so that the methods are compared and not the batches."""
    model, layer = model_of(name), LAYERS[0]
    image = image_of(size)
    cpu = torch.device("cpu")
    if kind == "captum":
        run = captum_run(model, image, layer, "deeplift", 1, cpu)
    else:
        one = ss.Compute(precision="fp32", device="cpu", batch_size=1)
        run = our_run(model, image, (layer,), "deeplift", one)
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    run()
    print(memory("VmHWM") - before)


def memory(name: str) -> int:
    """Bytes that the kernel counts for this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


CASES = [
    ("resnet18", 224, LAYERS, 5),
    ("demo-classifier", 224, LAYERS, 5),
    ("resnet34", 224, LAYERS, 2),
    ("resnet50", 224, LAYERS, 2),
    ("resnet18", 512, LAYERS, 2),
    ("unet_resnet34", 512, tuple(f"encoder.{x}" for x in LAYERS), 1),
    ("resnet18", 1536, LAYERS[:1], 0),
    ("demo-segmenter", 1536, tuple(f"encoder.{x}" for x in LAYERS), 0),
]
"""Network, tile size, layers, rounds (0: once, without warming up); each for both methods."""


def main() -> None:
    """Run all cases and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="*", default=[], help="networks")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    if arguments.memory:
        print_peak(arguments.memory[0], arguments.memory[1], int(arguments.memory[2]))
        return
    device = resolve_device(ss.Compute(device=arguments.device)).device
    cases = [case for case in CASES if not arguments.only or case[0] in arguments.only]
    report: dict[str, Any] = {
        "machine": machine() if device.type == "cpu" else torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "samples": SAMPLES,
        "cases": [],
    }
    if device.type == "cpu":
        report["deeplift_peak_bytes"] = {
            f"resnet18, {size} px": {
                kind: peak_bytes(kind, "resnet18", size) for kind in ("ours", "captum")
            }
            for size in (224, 512)
        }
    for name, size, layers, rounds in cases:
        for method in ("gradient", "deeplift"):
            report["cases"].append(one_case(name, size, layers, method, rounds, device))
            if arguments.out:  # written as it grows: it takes half an hour on two cores
                arguments.out.parent.mkdir(parents=True, exist_ok=True)
                arguments.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
