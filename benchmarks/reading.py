"""How fast are a run's tiles read, against plain calls of OpenSlide?

    python benchmarks/reading.py --out benchmarks/results/reading_2_cores.json [--slide SLIDE ...]

All tiles with tissue of 224 px at 0.5 um/px, as a run lays them, through `TileReader`; and the
same places as unaligned `read_region` calls of 224 px without a cache, turned to RGB, by as many
threads. Both in turn, each on a slide that is opened anew; the files are in the system's cache.
Besides seconds the processor's time is told: it does not depend on what else runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openslide
from large_slide import large_slide
from machine import machine

import napari_smoothsal as ss
from napari_smoothsal.slides import Box
from napari_smoothsal.slides.grid import LayerShape, model_scale, plan_grid, tiles_in_tissue
from napari_smoothsal.slides.reader import TileReader
from napari_smoothsal.slides.sample import sample_slide_path
from napari_smoothsal.slides.tissue import find_tissue

TILE_PX = 224
MODEL_MPP = 0.5
HALO = 16
LAYER = LayerShape((4, 4), (0, 0), (TILE_PX // 4, TILE_PX // 4))
BATCH = 16
LARGE_PX = 20480
LARGE_ROWS_PX = 5000
"""Of the large slide, whole rows across: all of it would only repeat them."""


def run_tiles(slide: ss.slides.Slide, overlap: float, halo: int) -> list[Box]:
    """Boxes of a run's tiles that have tissue."""
    region = (*slide.bounds[:3], min(slide.bounds[3], LARGE_ROWS_PX))
    scale = model_scale(slide, MODEL_MPP)
    grid = plan_grid(region, scale, TILE_PX, {"layer1": LAYER}, halo, overlap)
    tissue, boxes = find_tissue(slide), grid.boxes()
    shares = tissue.fractions(boxes[:, 0], boxes[:, 1], *boxes[0, 2:])
    grid = grid.selected(tiles_in_tissue(shares, 0.1))
    return [grid.box(i) for i in range(len(grid))]


def plain(path: Path, boxes: list[Box], threads: int) -> None:
    slide = openslide.OpenSlide(path)
    slide.set_cache(openslide.OpenSlideCache(0))

    def read(box: Box) -> None:
        region = slide.read_region((int(box.x), int(box.y)), 0, (TILE_PX, TILE_PX))
        np.asarray(region.convert("RGB"))

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(read, boxes):
            pass


def ours(path: Path, boxes: list[Box], threads: int) -> None:
    batches = [boxes[i : i + BATCH] for i in range(0, len(boxes), BATCH)]
    with ss.open_slide(path) as slide, TileReader(slide, TILE_PX, threads=threads) as reader:
        for _ in reader.batches(batches):
            pass


def compared(path: Path, boxes: list[Box], threads: int, rounds: int) -> dict[str, object]:
    """Medians of both, and of the ratios of each round."""
    ways: dict[str, Callable[[Path, list[Box], int], None]] = {"plain": plain, "ours": ours}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            way(path, boxes, threads)
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - start_cpu)

    def ratio(times: dict[str, list[float]]) -> float:
        pairs = zip(times["plain"], times["ours"], strict=True)
        return round(statistics.median(a / b for a, b in pairs), 2)

    return {
        "threads": threads,
        "seconds": {k: round(statistics.median(v), 3) for k, v in wall.items()},
        "cpu_seconds": {k: round(statistics.median(v), 3) for k, v in cpu.items()},
        "times_faster": ratio(wall),
        "times_less_cpu": ratio(cpu),
        "tiles_per_s": round(len(boxes) / statistics.median(wall["ours"])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slide", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    report = {"machine": machine(), "rounds": arguments.rounds, "slides": {}}
    with sample_slide_path() as sample, tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / f"repeated_tiles_{LARGE_PX}_px.tif"
        large_slide(large, LARGE_PX)
        for path in (*arguments.slide, sample, large):
            for title, overlap, halo in (
                ("a quarter overlaps", 0.25, HALO),
                ("halo alone", 0.0, HALO),
                ("side by side", 0.0, 0),
            ):
                with ss.open_slide(path) as slide:
                    boxes = run_tiles(slide, overlap, halo)
                found = [compared(path, boxes, n, arguments.rounds) for n in (1, 2)]
                told = {"tiles": len(boxes), "by_threads": found}
                report["slides"].setdefault(path.stem, {})[title] = told
                print(path.stem, title, json.dumps(told), flush=True)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
