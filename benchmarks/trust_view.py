"""How long the trust card of a view takes, and when there is something of it to see.

    python benchmarks/trust_view.py --out benchmarks/results/trust_view_2_cores.json

A view of the sample slide (1024 x 1024 level-0 px, tumour beside normal tissue), demo-classifier,
the dock's settings: once with the threads that the docks' engine takes (one core stays with the
window), once with all. Told are the seconds to the first part that has a curve or a test, to the
first tile that is done, and to the end, the model loaded and the slide open before.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from machine import machine

import napari_smoothsal as ss
from napari_smoothsal.core.available_cores import available_cores
from napari_smoothsal.runs import RegionTrust
from napari_smoothsal.slides.sample import sample_slide_path

MODEL, LAYERS = "demo-classifier", ("layer1", "layer2", "layer3")
CENTRE_PX, VIEW_PX = (2540, 2580), 1024
COMPUTE = ss.Compute(device="cpu")


def measure(layer: str, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    model = ss.load_model(MODEL)
    region = (CENTRE_PX[1] - VIEW_PX // 2, CENTRE_PX[0] - VIEW_PX // 2, VIEW_PX, VIEW_PX)
    seconds: dict[str, float] = {}

    def on_part(found: RegionTrust) -> None:
        passed = round(time.perf_counter() - begun, 2)
        if any(part.tests or part.curves for part in found.parts):
            seconds.setdefault("first part", passed)
        if found.whole:
            seconds.setdefault("first tile", passed)

    with sample_slide_path() as path, ss.open_slide(path) as slide:
        begun = time.perf_counter()
        spec = ss.SaliencySpec(layer=layer)
        found = ss.trust_of_region(slide, model, spec, region, compute=COMPUTE, on_part=on_part)
        seconds["whole"] = round(time.perf_counter() - begun, 2)
    return {
        "layer": layer,
        "threads": threads,
        "seconds": seconds,
        "tested": found.in_words,
        "verdict": found.verdict,
        "values": {test.name: [one.value for _, one in test.tests] for test in found.tests},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    cores = available_cores()
    rows = [
        measure(layer, threads)
        for layer in LAYERS
        for threads in dict.fromkeys((max(1, cores - 1), cores))
    ]
    for row in rows:
        print(
            row["layer"], row["threads"], row["seconds"], row["tested"], row["verdict"], sep=" | "
        )
    given.out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
