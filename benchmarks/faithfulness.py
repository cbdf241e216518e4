"""Is iGOS++ more faithful than what came before it, as its paper says? On what, and at what price?

    python benchmarks/faithfulness.py --out benchmarks/results/faithfulness.json

Synthetic tumour tiles that no model was trained on (of normal ones the blur is as normal, so that
nothing could be taken away), demo-classifier and, for VGG19, demo-vgg: the paper's Table 1 or 2 and
3, differences on the same tiles with intervals. The same of normal tiles with a patch of tumour,
where the class is in one place as in the paper's photographs, under other prices than the paper's,
and of the score in place of the probability, each mask by itself. Then what an adversarial tile
looks like: normal tiles that MI-FGSM makes tumour, beside tumour. ``--parts`` chooses among them,
``--quick`` finds errors; with ``--patches`` the real patches of SMOOTHSAL_DATA follow.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from machine import machine

import napari_smoothsal as ss
from napari_smoothsal.core.checks import Attack
from napari_smoothsal.core.freed_memory import keep_freed_memory
from napari_smoothsal.evaluation.adversarial import attacked
from napari_smoothsal.evaluation.igos_measuring import IgosSettings, igos_measured
from napari_smoothsal.evaluation.igos_summary import igos_compared, igos_table, marks_told
from napari_smoothsal.evaluation.igos_tables import TABLES, Entry, IgosTable
from napari_smoothsal.evaluation.paper import Tiles
from napari_smoothsal.sample_data.tiles import render_tiles
from napari_smoothsal.sample_data.training import TEST_SEED, as_tensor
from napari_smoothsal.slides.labelled_folder import LabelledFolder

MPP, TUMOUR = 0.5, 1
PARTS = ("methods", "scores", "focal", "prices", "ablation", "adversarial")
COMPUTE = ss.Compute(device="auto", precision="fp32")
ATTACKED = (Entry("iGOS++", "igos_plus_plus"), Entry("I-GOS", "igos"))
PRICED = (
    Entry("lambda 1 = 0.1", "igos_plus_plus", {"sparsity": 0.1}),
    Entry("lambda 2 = 2", "igos_plus_plus", {"smoothness": 2.0}),
    Entry("lambda 1 = 0.1, lambda 2 = 2", "igos_plus_plus", {"sparsity": 0.1, "smoothness": 2.0}),
    Entry("published", "igos_plus_plus", {"variant": "published"}),
    Entry("white for the blur", "igos_plus_plus", {"fill": "white"}),
    Entry("iGOS++", "igos_plus_plus"),
)
MASKS: tuple[Literal["insertion", "deletion", "product"], ...] = (
    "insertion",
    "deletion",
    "product",
)
OF_SCORES = {"explained": "score", "sparsity": 0.1}
SCORED = (
    Entry("RISE", "rise"),
    Entry("I-GOS of scores", "igos", OF_SCORES),
    *(Entry(f"iGOS++ of scores: {m}", "igos_plus_plus", OF_SCORES, m) for m in MASKS),
    *(
        Entry(f"iGOS++: {m}" if m != "product" else "iGOS++", "igos_plus_plus", part=m)
        for m in MASKS
    ),
)
PATCH_PX, RIM_PX = 128, 6
BACKGROUNDS = ("blurred", "tissue_mean")
QUICK = {
    **{name: {"iterations": 2, "steps": 3} for name in ("igos", "igos_plus", "igos_plus_plus")},
    "meaningful_perturbation": {"iterations": 10},
    "rise": {"masks": 50},
}


class Held:
    """Tiles in memory."""

    def __init__(self, images: torch.Tensor, names: Sequence[str]) -> None:
        self._images, self._names = images, names

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        return self._names[index]

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        return self._images[list(indices)]


def rendered(label: int, count: int) -> Held:
    """Synthetic tiles of one class; classes take turns."""
    images, labels = render_tiles(TEST_SEED, 2 * count, MPP)
    members = [i for i, found in enumerate(labels) if found == label]
    return Held(as_tensor(images)[members], [f"tile {TEST_SEED + i}" for i in members])


def focal(count: int) -> Held:
    """Normal tiles with a square of tumour somewhere, fading into them."""
    normal, tumour = rendered(1 - TUMOUR, count), rendered(TUMOUR, count)
    generator, made = torch.Generator().manual_seed(0), []
    for index in range(count):
        (around,), (patch,) = normal.images([index]).float(), tumour.images([index]).float()
        ramps = []
        for side in around.shape[1:]:
            first = int(torch.randint(side - PATCH_PX, (1,), generator=generator))
            beyond = (torch.arange(side) - first - PATCH_PX / 2).abs() - PATCH_PX / 2
            ramps.append((1 - beyond / RIM_PX).clamp(0, 1))
        weight = ramps[0][:, None] * ramps[1]
        made.append(torch.lerp(around, patch, weight).round().to(torch.uint8))
    return Held(torch.stack(made), [f"focus in {normal.name(i)}" for i in range(count)])


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=4))
    return rows


def table_of(
    model: ss.Model, tiles: Tiles, table: IgosTable, settings: IgosSettings, by_slope: bool
) -> dict[str, Any]:
    """A table with its comparisons to iGOS++."""
    if by_slope:
        masks = (entry for entry in table.entries if entry.optimised)
        more = (e._replace(name=f"{e.name}, by slope", by_slope=True) for e in masks)
        table = replace(table, entries=(*table.entries, *more))
    began = time.perf_counter()
    rows = pd.DataFrame()
    for found in igos_measured(model, tiles, table, COMPUTE, settings):
        rows = found.frame()
        print(f"{table.name}: {time.perf_counter() - began:.0f} s", flush=True)
    summary, compared = igos_table(table, rows), igos_compared(rows)
    print(summary.round(3).to_string(), compared.round(3).to_string(), sep="\n", flush=True)
    return {
        "tiles": len(tiles),
        "seconds": round(time.perf_counter() - began),
        "marks": marks_told(rows),
        "options": {name: dict(told) for name, told in settings.options.items()},
        "table": plain(summary),
        "compared": plain(compared),
    }


def adversarial(
    model: ss.Model, count: int, sizes: tuple[int, ...], options: dict[str, Any]
) -> dict[str, Any]:
    """How much of natural and of adversarial tumour tiles an insertion curve needs."""
    table = replace(TABLES["igos6"], entries=ATTACKED, sizes=sizes)
    normal = rendered(1 - TUMOUR, count)
    changed = attacked(model, normal.images(range(count)), Attack(), COMPUTE)
    fooled = changed.fooled.nonzero().flatten().tolist()
    kinds = {"natural": rendered(TUMOUR, count)}
    if fooled:
        kinds["adversarial"] = Held(changed.images[fooled], [normal.name(i) for i in fooled])
    rows = []
    for kind, tiles in kinds.items():
        for background in BACKGROUNDS:
            settings = IgosSettings(options, background=background)
            *_, found = igos_measured(model, tiles, table, COMPUTE, settings)
            rows.append(found.frame().assign(kind=kind, background=background))
    values = ["probability", "without_the_tile", "insertion", "deletion", "settled_at"]
    keys = ["background", "mask_px", "method", "kind"]
    means = pd.concat(rows).groupby(keys, sort=False)[values].mean().reset_index()
    print(means.round(3).to_string(), flush=True)
    return {"fooled": len(fooled), "of": count, "means": plain(means)}


def patches() -> Tiles:
    """Tumour patches of Camelyon16 (40x); mirrored, as they are smaller than a tile."""
    folder = Path(os.environ["SMOOTHSAL_DATA"]) / "patches"
    names = ("normal", "tumour")
    found = LabelledFolder(folder, names, 224, 2.0, renamed={"tumor": "tumour"})
    members = [i for i, label in enumerate(found.labels) if label == TUMOUR]
    return Held(found.images(members), [found.name(i) for i in members])


def main() -> None:
    """Run everything and write the report as it grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tiles", type=int, default=12)
    parser.add_argument("--models", nargs="*", default=["demo-classifier", "demo-vgg"])
    parser.add_argument("--parts", nargs="*", default=PARTS)
    parser.add_argument("--sizes", nargs="*", type=int, help="of masks, only these")
    parser.add_argument("--masks", type=int, default=2000, help="of RISE")
    parser.add_argument(
        "--by-slope", action="store_true", help="masks once more, equal cells by their slope"
    )
    parser.add_argument("--patches", action="store_true")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    keep_freed_memory()  # as the command does
    options: dict[str, Any] = {"rise": {"masks": arguments.masks}}
    if arguments.quick:
        options = QUICK
    report: dict[str, Any] = {
        "machine": machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }

    def kept(section: str, found: dict[str, Any]) -> None:
        report[section] = found
        if arguments.out:
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(report, indent=1) + "\n")

    def chosen(name: str) -> tuple[IgosTable, IgosSettings]:
        table = TABLES[name]
        sizes = tuple(s for s in table.sizes if s in (arguments.sizes or table.sizes))
        methods = {entry.method for entry in table.entries}
        of_methods = {name: told for name, told in options.items() if name in methods}
        return replace(table, sizes=sizes), IgosSettings(of_methods)

    measured = partial(table_of, by_slope=arguments.by_slope)

    tumour = rendered(TUMOUR, arguments.tiles)
    for name in arguments.models:
        model = ss.load_model(name)
        print(name, flush=True)
        if "methods" in arguments.parts:
            table = "igos2" if name == "demo-vgg" else "igos1"
            kept(f"{name}: methods", measured(model, tumour, *chosen(table)))
            if arguments.patches:
                kept(f"{name}: methods, patches", measured(model, patches(), *chosen(table)))
        if "scores" in arguments.parts:
            table, settings = chosen("igos1")
            scored = replace(table, name="scores", entries=SCORED)
            kept(f"{name}: scores", measured(model, tumour, scored, settings))
        if name != arguments.models[0]:
            continue  # the rest is of one network alone, as the paper's ablation is
        foci = focal(arguments.tiles)
        if "focal" in arguments.parts:
            kept(f"{name}: focal", measured(model, foci, *chosen("igos1")))
        if "prices" in arguments.parts:
            table, settings = chosen("igos6")
            priced = replace(table, entries=PRICED, sizes=(28, 7))
            kept(f"{name}: prices", measured(model, tumour, priced, settings))
            kept(f"{name}: prices, focal", measured(model, foci, priced, settings))
        if "ablation" in arguments.parts:
            kept(f"{name}: ablation", measured(model, tumour, *chosen("igos3")))
        if "adversarial" in arguments.parts:
            sizes = tuple(arguments.sizes or (28, 224))
            kept(f"{name}: adversarial", adversarial(model, arguments.tiles, sizes, options))


if __name__ == "__main__":
    main()
