"""How fast iGOS++ is, against its equations one image and one step at a time.

    python benchmarks/mask_optimisation.py --out benchmarks/results/mask_optimisation.json

Tiles of the sample slide at 224 px, 28 cells, fp32, in one process, alternating. The plain
implementation is what the equations say and no more: one pass of one image for each step of each
term, autograd through the mixture, the objective before a step from the gradient's own passes. Both
see the same noise and take the same steps, which is checked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from compared_networks import image_of, model_of
from machine import machine
from torch import nn

import napari_smoothsal as ss
from napari_smoothsal.attribution.baselines import BASELINES
from napari_smoothsal.attribution.noise import place_seed
from napari_smoothsal.core.freed_memory import keep_freed_memory

MODELS = ("demo-classifier", "resnet18")
TILE_PX, CELLS, STEPS = 224, 28, 15
METHOD = "igos_plus_plus"


class Plain:
    """iGOS++ of one image."""

    def __init__(self, model: ss.Model, image: torch.Tensor, place: int) -> None:
        mean, self.std = (
            torch.tensor(v).reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std)
        )
        self.module, self.place = model.module.eval().requires_grad_(False), place
        self.colours = image / 255
        self.image = (self.colours - mean) / self.std
        self.blurred = (BASELINES["blurred"].make(self.colours, mean) - mean) / self.std
        with torch.no_grad():
            logits = self.module(self.image).flatten(1)
        self.target = int(logits.argmax())
        self.up = nn.UpsamplingBilinear2d(size=(TILE_PX, TILE_PX))
        seen = self.colours[0] / 0.226
        self.edges = [torch.exp(-seen.diff(dim=axis).square() / 0.01).mean(0) for axis in (1, 2)]
        self.passes = 0

    def score(
        self, front: torch.Tensor, back: torch.Tensor, shown: torch.Tensor, iteration: int
    ) -> torch.Tensor:
        """Mean over the steps; the gradient of each is taken at once, where there is one."""
        total = torch.zeros(())
        for k in range(1, STEPS + 1):
            self.passes += 1
            number = iteration * STEPS + k - 1
            generator = torch.Generator().manual_seed(place_seed(0, number, (self.place,)))
            noise = torch.randn(self.image.shape[1:], generator=generator)
            mask = k / STEPS * shown
            mixed = front * mask + back * (1 - mask) + 0.2 * 0.226 * noise / self.std
            total = total + self.module(mixed).flatten(1).softmax(1)[0, self.target]
        return total / STEPS

    def held(self, mask: torch.Tensor) -> torch.Tensor:
        """What the mask's size and roughness cost."""
        rough = mask.diff(dim=0).square().mean() + mask.diff(dim=1).square().mean()
        up = self.up(mask[None, None])[0, 0]
        for axis, edges in enumerate(self.edges):
            rough = rough + (edges * up.diff(dim=axis).square()).mean()
        return (1 - mask).abs().mean() + 20 * rough / 2

    def run(self, iterations: int) -> torch.Tensor:
        """(2, cells, cells) the masks."""
        x, b = self.image, self.blurred
        masks = torch.ones(2, CELLS, CELLS)
        for iteration in range(iterations):
            leaf = masks.clone().requires_grad_()
            gradient, before = torch.zeros_like(masks), 0.0
            for term in range(5):
                value = self.term(term, leaf, iteration, x, b)
                gradient += torch.autograd.grad(value, leaf)[0]
                before += float(value)
            step, squared = 1000.0, float(gradient.square().sum())
            while step >= 1e-5:
                tried = (masks - step * gradient).clamp(0, 1)
                with torch.no_grad():
                    after = sum(float(self.term(n, tried, iteration, x, b)) for n in range(5))
                if after <= before - 1e-4 * step * squared:
                    masks = tried
                    break
                step *= 0.2
        return masks

    def term(
        self, number: int, masks: torch.Tensor, iteration: int, x: torch.Tensor, b: torch.Tensor
    ) -> torch.Tensor:
        """One of the objective's."""
        if number == 4:
            return self.held(masks.prod(0))
        up = self.up(masks[None])[0]
        if number == 0:
            return self.score(x, b, up.prod(0), iteration) / 2
        if number == 1:
            return -self.score(b, x, up.prod(0), iteration) / 2
        if number == 2:
            return self.score(x, b, up[0], iteration) / 2
        return -self.score(b, x, up[1], iteration) / 2


def tiles(count: int) -> torch.Tensor:
    """Of the sample slide; the same one, shifted."""
    image = image_of(TILE_PX)
    return torch.cat([image.roll(37 * n, dims=3) for n in range(count)])


def case(name: str, count: int, iterations: int, rounds: int) -> dict[str, Any]:
    """Seconds per image of both, in turns."""
    model, images = model_of(name), tiles(count)
    spec = ss.SaliencySpec(
        layer="input", method=METHOD, target="auto", method_options={"iterations": iterations}
    )
    ss.optimise_masks(model, images[:1], spec, ss.Compute(device="cpu"))  # warms up
    taken: dict[str, list[float]] = {"ours": [], "plain": []}
    passes = 0
    for turn in range(rounds):
        began = time.perf_counter()
        ours = ss.optimise_masks(model, images, spec, ss.Compute(device="cpu"))
        taken["ours"].append((time.perf_counter() - began) / count)
        place = turn % count
        plain = Plain(model, images[place : place + 1], place)
        began = time.perf_counter()
        masks = plain.run(iterations)
        taken["plain"].append(time.perf_counter() - began)
        passes = plain.passes
        torch.testing.assert_close(ours.masks[place], masks, atol=0.02, rtol=0)
    ratios = [p / o for p, o in zip(taken["plain"], taken["ours"], strict=True)]
    found = {
        "model": name,
        "images": count,
        "iterations": iterations,
        "seconds_per_image": {k: round(statistics.median(v), 2) for k, v in taken.items()},
        "plain_over_ours": round(statistics.median(ratios), 2),
        "passes_of_plain": passes,
    }
    print(found, flush=True)
    return found


def main() -> None:
    """Run all cases and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="*", default=MODELS)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    keep_freed_memory()  # as the command and the dock's engine do
    report: dict[str, Any] = {
        "machine": machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "tile_px": TILE_PX,
        "mask_px": CELLS,
        "steps": STEPS,
        "cases": [],
    }
    for name in arguments.models:
        report["cases"].append(case(name, 1, arguments.iterations, arguments.rounds))
        if arguments.out:
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
