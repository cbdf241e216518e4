"""How fast the other methods are: against Captum, and against the passes that they cannot avoid.

    python benchmarks/methods.py --out benchmarks/results/methods.json [--device cuda]

One tile of the sample slide, without noise samples, fp32, all in one process, alternating, medians:

- *integrated gradients*, 50 steps, and *Grad-CAM*, at layers: Captum's time over ours. "At equal
  memory": as many steps in a pass on both sides, 1, 10 or all 50;
- *occlusion* and *RISE*, at the image: the map's time over that of the bare forward passes that it
  needs, of images that are there already, as many in a pass;
- *relevance propagation* and *guided backpropagation*: a map's time over that of the gradient's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from captum.attr import LayerGradCam, LayerIntegratedGradients
from compared_networks import Scored, image_of, model_of, unshared
from machine import machine

import napari_smoothsal as ss
from napari_smoothsal.attribution import Explainer
from napari_smoothsal.attribution.device import resolve_device
from napari_smoothsal.core.freed_memory import keep_freed_memory

MODELS = ("demo-classifier", "resnet18")
LAYERS = ("layer1", "layer2", "layer3")
TILE_PX, STEPS = 224, 50
ROWS = (1, 10, 50)
PERTURBING: dict[str, dict[str, Any]] = {
    "occlusion": {},
    "rise": {"masks": 500},
}
BACKWARD = ("guided_backprop", "lrp_epsilon", "lrp_alpha_beta", "lrp_z_plus")

Run = Callable[[], Any]


def timed(runs: dict[str, Run], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each, taken in turns; the first turn warms up and does not count."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            began = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                taken[name].append(time.perf_counter() - began)
    return taken


def medians(taken: dict[str, list[float]], digits: int = 4) -> dict[str, float]:
    """Of each."""
    return {name: round(statistics.median(times), digits) for name, times in taken.items()}


def ratio(taken: dict[str, list[float]], of: str, to: str) -> float:
    """The median of the ratios of each turn: what slows both does not count."""
    turns = zip(taken[of], taken[to], strict=True)
    return round(statistics.median(a / b for a, b in turns), 3)


def our_run(
    model: ss.Model, image: torch.Tensor, layer: str, method: str, rows: int,
    device: torch.device, **options: Any,
) -> Run:  # fmt: skip
    """Our map."""
    spec = ss.SaliencySpec(
        layer=layer, method=method, denoising="original", samples=0, target=1,
        method_options=options,
    )  # fmt: skip
    compute = ss.Compute(precision="fp32", device=str(device), batch_size=rows)
    explainer = Explainer(model, [spec], compute, "tiles")
    explainer.batch_size(image.shape[2])
    return lambda: explainer.explain(image, [(0,)])


def captum_run(
    model: ss.Model, image: torch.Tensor, layer: str, method: str, rows: int, device: torch.device
) -> Run:
    """Captum's map of the same."""
    network = Scored(unshared(model.module), model.readout.dense).to(device)
    place = network.network.get_submodule(layer)
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std))
    x = ((image / 255 - mean) / std).to(device)
    if method == "grad_cam":
        cam = LayerGradCam(network, place)
        return lambda: cam.attribute(x)
    integrated = LayerIntegratedGradients(network, place)
    return lambda: integrated.attribute(
        x, torch.zeros_like(x), n_steps=STEPS, internal_batch_size=rows
    )


def bare_run(
    model: ss.Model, image: torch.Tensor, images: int, rows: int, device: torch.device
) -> Run:
    """So many forward passes alone, of our network made ready."""
    spec = ss.SaliencySpec(layer="input", denoising="original", samples=0, target=1)
    compute = ss.Compute(precision="fp32", device=str(device))
    network = Explainer(model, [spec], compute, "tiles").network
    batch = network.normalised(image.expand(rows, -1, -1, -1))

    @torch.no_grad()
    def run() -> None:
        for start in range(0, images, rows):
            network.output(batch[: min(rows, images - start)])

    return run


def against_captum(model: ss.Model, image: torch.Tensor, device: torch.device) -> list[Any]:
    """Integrated gradients and Grad-CAM."""
    cases = []
    for layer in LAYERS:
        settings = [("integrated_gradients", rows, 3) for rows in ROWS] + [("grad_cam", 1, 15)]
        for method, rows, rounds in settings:
            options = {"steps": STEPS} if method == "integrated_gradients" else {}
            runs = {
                "ours": our_run(model, image, layer, method, rows, device, **options),
                "captum": captum_run(model, image, layer, method, rows, device),
            }
            taken = timed(runs, rounds, device)
            cases.append(
                {
                    "layer": layer,
                    "method": method,
                    "rows_per_pass": rows,
                    "seconds": medians(taken),
                    "captum_over_ours": ratio(taken, "captum", "ours"),
                }
            )
            print(model.card.name, cases[-1], flush=True)
    return cases


def against_bare_passes(model: ss.Model, image: torch.Tensor, device: torch.device) -> list[Any]:
    """Occlusion and RISE."""
    cases = []
    for method, options in PERTURBING.items():
        ours = our_run(model, image, "input", method, 32, device, **options)
        images = int(ours().specs[0].samples[0])
        taken = timed(
            {"map": ours, "passes": bare_run(model, image, images, 32, device)}, 9, device
        )
        cases.append(
            {
                "method": method,
                "images": images,
                "seconds": medians(taken),
                "map_over_passes": ratio(taken, "map", "passes"),
            }
        )
        print(model.card.name, cases[-1], flush=True)
    return cases


def against_the_gradient(model: ss.Model, image: torch.Tensor, device: torch.device) -> list[Any]:
    """Methods with backward rules of their own."""
    batch = image.expand(8, -1, -1, -1)
    names = ("gradient", *BACKWARD)
    places = [(n,) for n in range(len(batch))]

    def run_of(name: str) -> Run:
        spec = ss.SaliencySpec(
            layer="layer1", method=name, denoising="original", samples=0, target=1
        )
        compute = ss.Compute(precision="fp32", device=str(device), batch_size=len(batch))
        explainer = Explainer(model, [spec], compute, "tiles")
        return lambda: explainer.explain(batch, places)

    taken = timed({name: run_of(name) for name in names}, 9, device)
    found = [
        {"method": name, "over_the_gradient": ratio(taken, name, "gradient")} for name in BACKWARD
    ]
    print(model.card.name, found, flush=True)
    return found


def main() -> None:
    """Run all cases and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    keep_freed_memory()  # as the command and the dock's engine do
    device = resolve_device(ss.Compute(device=arguments.device)).device
    image = image_of(TILE_PX)
    report: dict[str, Any] = {
        "machine": machine() if device.type == "cpu" else torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "tile_px": TILE_PX,
        "steps": STEPS,
        "models": {},
    }
    for name in MODELS:
        model = model_of(name)
        report["models"][name] = {
            "against_captum": against_captum(model, image, device),
            "against_bare_passes": against_bare_passes(model, image, device),
            "against_the_gradient": against_the_gradient(model, image, device),
        }
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
