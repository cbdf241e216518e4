"""What a large tile of a segmentation model costs, and whether stitching leaves seams.

    python benchmarks/dense.py --out benchmarks/results/dense.json

*Tile*: gradient with 20 noise samples at three layers of demo-segmenter, encoder and decoder, on
one tile of 1536 px of the sample slide; each round in a process of its own, so that its peak memory
is that of this job alone (Python, torch and the model included).

*Seams*: the class probabilities of a region, stitched from tiles. A step is the absolute difference
between neighbouring pixels; steps across the lines where a tile's kept part begins or ends are
compared with all others, once by their largest and once by their mean over a line.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import machine
from numpy.typing import NDArray

import napari_smoothsal as ss
from napari_smoothsal.attribution import Explainer
from napari_smoothsal.models.model import OUTPUT
from napari_smoothsal.slides.base import Box
from napari_smoothsal.slides.sample import sample_slide_path

LAYERS = ("encoder.layer1", "encoder.layer2", "decoder.blocks.1")
SAMPLES = 20
TILE_PX = 1536
CORNER = (2000, 800)
REGION = (1500, 700, 2600, 2000)


def one_tile() -> None:
    """Explain one tile and print seconds and peak memory as JSON."""
    model = ss.load_model("demo-segmenter")
    specs = [ss.SaliencySpec(layer=layer, method="gradient", samples=SAMPLES) for layer in LAYERS]
    explainer = Explainer(model, specs, ss.Compute(), scope="slide")
    with sample_slide_path() as path, ss.open_slide(path) as slide:
        pixels = slide.read_box(Box(*CORNER, TILE_PX, TILE_PX), (TILE_PX, TILE_PX))
    image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]
    start = time.perf_counter()
    result = explainer.explain(image, [(0, 0)])
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    explained = int(result.specs[0].explained_px[0])
    print(json.dumps({"seconds": seconds, "peak_bytes": peak, "explained_px": explained}))


def seams(tile_px: int) -> dict[str, float]:
    """Ratios of steps across tile borders to the others."""
    model = ss.load_model("demo-segmenter")
    tiling = ss.Tiling(tile_px=tile_px, tissue="all")
    with tempfile.TemporaryDirectory() as folder, sample_slide_path() as path:
        with ss.open_slide(path) as slide:
            grid = ss.plan_tiles(slide, model, tiling, region=REGION).grid
        out = Path(folder) / "s.smoothsal.zarr"
        run = ss.explain_slide(path, model, [], out, region=REGION, tiling=tiling, progress=False)
        assert run.class_map is not None
        h, w = run.class_map.shape
        values = run.class_map.probabilities[0][:, :h, :w].astype(np.float32) / 255
    window = grid.windows[OUTPUT]
    across: list[NDArray[np.float32]] = []
    inside: list[NDArray[np.float32]] = []
    for axis, (start, size) in enumerate(((REGION[1], h), (REGION[0], w))):
        steps = np.abs(np.diff(values, axis=axis + 1)).max(0)
        lines = steps if axis == 0 else steps.T
        first = np.unique(grid.origins[:, axis]) + window.first[axis] - start
        borders = np.concatenate([first, first + window.count[axis]])
        at = np.isin(np.arange(1, size), borders)
        across.extend(lines[at])
        inside.extend(lines[~at])
    means = np.array([line.mean() for line in across]), np.array([line.mean() for line in inside])
    largest = [max(float(line.max()) for line in lines) for lines in (across, inside)]
    return {
        "tiles": len(grid),
        "halo_px": grid.halo,
        "step_px": grid.step,
        "border_lines": len(across),
        "largest_step_ratio": round(largest[0] / largest[1], 4),
        "mean_step_ratio": round(float(means[0].mean() / means[1].mean()), 4),
        "roughest_line_ratio": round(float(means[0].max() / means[1].max()), 4),
    }


def main() -> None:
    """Run both parts and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one-tile", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_tile:
        one_tile()
        return
    command = [sys.executable, __file__, "--one-tile"]
    rounds = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for _ in range(arguments.rounds)
    ]
    report = {
        "machine": machine(),
        "torch": torch.__version__,
        "model": "demo-segmenter",
        "tile_px": TILE_PX,
        "layers": list(LAYERS),
        "samples": SAMPLES,
        "explained_px": rounds[0]["explained_px"],
        "seconds": [round(r["seconds"], 2) for r in rounds],
        "median_s": round(statistics.median(r["seconds"] for r in rounds), 2),
        "peak_gb": round(max(r["peak_bytes"] for r in rounds) / 1e9, 3),
        "seams": {f"{side}_px_tiles": seams(side) for side in (TILE_PX, 512)},
    }
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
