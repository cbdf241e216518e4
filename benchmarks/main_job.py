"""What a slide run costs beyond computing its maps, on the sample slide with the demo model.

    python benchmarks/main_job.py --out benchmarks/results/main_job.json

Three things are timed in turn, several rounds: reading the tiles of a region (threads), computing
their maps from memory (the same batches), and the whole run (read, compute, stitch, write).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from machine import machine

import napari_smoothsal as ss
from napari_smoothsal.attribution import Explainer
from napari_smoothsal.slides.reader import TileReader
from napari_smoothsal.slides.sample import sample_slide_path

REGION = (1800, 800, 1600, 1400)
SPECS = [
    ss.SaliencySpec(layer=layer, method="gradient", denoising="backward_hook", samples=20)
    for layer in ("layer1", "layer2", "layer3")
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    model = ss.load_model("demo-classifier")
    times: dict[str, list[float]] = {"read": [], "compute": [], "run": []}
    with sample_slide_path() as path, tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds):
            with ss.open_slide(path) as slide:
                layers = [spec.layer for spec in SPECS]
                grid = ss.plan_tiles(slide, model, layers=layers, region=REGION).grid
                explainer = Explainer(model, SPECS, ss.Compute(), scope="slide")
                size = explainer.batch_size(grid.tile_px)
                batches = [range(i, min(i + size, len(grid))) for i in range(0, len(grid), size)]
                start = time.perf_counter()
                with TileReader(slide, grid.tile_px) as reader:
                    boxes = [[grid.box(i) for i in batch] for batch in batches]
                    images = [tiles.images for tiles in reader.batches(boxes)]
                times["read"].append(time.perf_counter() - start)

            start = time.perf_counter()
            for batch, pixels in zip(batches, images, strict=True):
                places = [tuple(int(v) for v in grid.origins[i]) for i in batch]
                explainer.explain(torch.from_numpy(pixels).permute(0, 3, 1, 2), places)
            times["compute"].append(time.perf_counter() - start)

            start = time.perf_counter()
            out = Path(folder) / f"{number}.smoothsal.zarr"
            ss.explain_slide(path, model, SPECS, out, region=REGION, progress=False)
            times["run"].append(time.perf_counter() - start)

    medians = {name: statistics.median(values) for name, values in times.items()}
    report = {
        "machine": machine(),
        "torch": torch.__version__,
        "maps": [spec.layer for spec in SPECS],
        "samples": SPECS[0].samples,
        "tiles": len(grid),
        "batch_size": size,
        "rounds": arguments.rounds,
        "seconds": {name: [round(v, 3) for v in values] for name, values in times.items()},
        "tiles_per_s": {name: round(len(grid) / value, 2) for name, value in medians.items()},
        "run_over_compute": round(medians["run"] / medians["compute"], 3),
    }
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
