"""How long a what-if takes: a part of a view removed, or all but that, and the model asked again.

    python benchmarks/what_if.py --out benchmarks/results/what_if_2_cores.json [--slide SLIDE]

demo-classifier on a view of 1024 x 1024 px, of level 0 and at the model's resolution. The *first*
trial of a view reads its tiles and predicts them as they are; *later* ones ask about the tiles that
change. In the viewer the engine has its libraries loaded and the model's network made ready; so
has this, by one trial elsewhere. Fills, changes and rounds take turns; medians and the slowest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import shapely
import torch
from machine import machine

import napari_smoothsal as ss
from napari_smoothsal.attribution import Networks
from napari_smoothsal.attribution.region_fills import REGION_FILLS
from napari_smoothsal.core.freed_memory import keep_freed_memory
from napari_smoothsal.slides.sample import sample_slide_path

SIDE_PX = 1024
DRAWN = 0.3
"""Radius of the disc that is drawn, of half the view's side."""
LAYER, SAMPLES = "layer2", 20


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slide", type=Path)
    parser.add_argument("--centre", default="0.5,0.5", help="x,y of the view, shares of the slide")
    parser.add_argument("--model", default="demo-classifier")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, help="of torch; as the engine takes them if unset")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    if options.threads:
        torch.set_num_threads(options.threads)
    with ExitStack() as stack:
        path = options.slide or stack.enter_context(sample_slide_path())
        slide = stack.enter_context(ss.open_slide(path))
        model = ss.load_model(options.model)
        wanted = model.card.input_mpp / slide.require_mpp()[0]
        centre = tuple(float(v) for v in options.centre.split(","))
        found = {
            name: measured(slide, model, region(slide, centre, side), options.rounds)
            for name, side in {
                "1024 px of level 0": SIDE_PX,
                "1024 px of the model": round(SIDE_PX * wanted),
            }.items()
        }
        # And the maps of both views, once.
        print(json.dumps(found, indent=1), flush=True)
        spec = ss.SaliencySpec(layer=LAYER, samples=SAMPLES)
        began = time.perf_counter()
        box = region(slide, centre, SIDE_PX)
        ss.what_if(slide, model, region=box, shape=[disc(box)], spec=spec)
        both = round(time.perf_counter() - began, 2)
    report: dict[str, Any] = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "model": options.model,
        "level0_mpp": slide.mpp,
        "rounds": options.rounds,
        "views": found,
        f"with maps of both, {LAYER}, {SAMPLES} samples, from nothing_s": both,
    }
    text = json.dumps(report, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def region(slide: Any, centre: tuple[float, ...], side: int) -> tuple[int, int, int, int]:
    """A square around a place, within the slide."""
    w, h = min(side, slide.width), min(side, slide.height)
    x = min(max(round(centre[0] * slide.width - w / 2), 0), slide.width - w)
    y = min(max(round(centre[1] * slide.height - h / 2), 0), slide.height - h)
    return x, y, w, h


def disc(box: tuple[int, int, int, int]) -> Any:
    """What is drawn in a view, as corners."""
    x, y, w, h = box
    round_shape = shapely.Point(x + w / 2, y + h / 2).buffer(DRAWN * min(w, h) / 2)
    return shapely.get_coordinates(round_shape)


def measured(
    slide: Any, model: ss.Model, box: tuple[int, int, int, int], rounds: int
) -> dict[str, Any]:
    """Seconds of first and later trials."""
    networks, shape = Networks(model), [disc(box)]
    taken: dict[str, list[float]] = {}
    tiles = touched = 0
    for turn in range(rounds + 1):
        for change in ("remove", "reveal"):
            for fill in REGION_FILLS:
                began = time.perf_counter()
                view = ss.WhatIfView(slide, model, box, networks=networks)
                found = view.predict(view.change(shape, change, fill))
                first = time.perf_counter() - began
                began = time.perf_counter()
                view.predict(view.change(shape, change, fill))
                later = time.perf_counter() - began
                if turn:  # the first makes the network ready
                    taken.setdefault(f"first, {change}, {fill}", []).append(first)
                    taken.setdefault(f"later, {change}, {fill}", []).append(later)
                if change == "remove":
                    tiles, touched = len(found.boxes), int((found.hidden > 0).sum())
    return {
        "region": box,
        "tiles": tiles,
        "tiles_changed_by_remove": touched,
        "seconds": {
            name: {
                "median": round(statistics.median(times), 3),
                "slowest": round(max(times), 3),
            }
            for name, times in taken.items()
        },
    }


if __name__ == "__main__":
    main()
