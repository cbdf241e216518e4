"""Make the tables of docs/denoising.md: what do the denoisings do to maps and predictions?

    python docs/denoising.py [--work FOLDER] [PART ...]

Of the demonstration models, on tiles that no training saw; needs SMOOTHSAL_DATA for the real
patches. What is measured stays in the work folder, so that a second call computes what is new only.
Half a day of one core's time for all of it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage

import napari_smoothsal as ss
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.evaluation import paper, paper_masks
from napari_smoothsal.evaluation.faithfulness import CONTROL, LAID_BACK, comparison
from napari_smoothsal.evaluation.faithfulness import faithfulness as insertion_and_deletion
from napari_smoothsal.evaluation.insertion_deletion import RANDOM
from napari_smoothsal.evaluation.localised_pairs import compared_localisation
from napari_smoothsal.render.words import plain
from napari_smoothsal.sample_data.classification import MPPS
from napari_smoothsal.sample_data.measuring import unseen_tiles
from napari_smoothsal.sample_data.patches import centre_crop, load_patches, split_patches
from napari_smoothsal.sample_data.pseudo_masks import pseudo_masked_patches
from napari_smoothsal.sample_data.segmentation_tiles import render_masked_tiles
from napari_smoothsal.sample_data.tiles import render_tiles
from napari_smoothsal.sample_data.training import TEST_SEED, as_tensor, render_all
from napari_smoothsal.slides.sample import sample_outlines_path, sample_slide_path

FOLLOWED_MODEL = "demo-classifier"
"""Whose maps are followed by insertion and deletion, and over known nuclei: that takes hours."""
CLASSIFIERS = (FOLLOWED_MODEL, "demo-classifier-robust")
MODELS = (*CLASSIFIERS, "demo-segmenter")
STAGES = ("layer1", "layer2", "layer3")
SYNTHETIC, FOLLOWED = 2000, 80
"""Unseen synthetic tiles that are predicted, and of which maps are followed."""
SAMPLES = 20
LOCALISED_SAMPLES = 8
METHODS = ("gradient", "deeplift")
MOVED_BACK = (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 3.5)
"""Layer px."""
COMPUTE = ss.Compute(device="cpu")
EXACT = ss.Compute(device="cpu", precision="fp32")
"""Differences of predictions are small."""
_CHUNK = 20

PAGE = Path(__file__).with_suffix(".md")
SHORT = {
    "bilinear_surrogate": "surrogate",
    "backward_hook": "backward",
    "forward_hook": "forward",
    "centred_hook": "centred",
}
"""Columns and rows of the tables."""


class Tiles:
    """Tiles in memory.

    Parameters
    ----------
    images
        (N, H, W, 3) uint8.
    labels
        Class of each, or the mask of each.
    name
        Of all of them.
    """

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[Any], name: str) -> None:
        self._images, self._labels, self._name = as_tensor(images), labels, name

    def __len__(self) -> int:
        return len(self._images)

    @property
    def labels(self) -> list[int]:
        """Of each tile."""
        return [int(label) for label in self._labels]

    def name(self, index: int) -> str:
        """Unique."""
        return f"{self._name} {index}"

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        """(n, 3, H, W)."""
        return self._images[list(indices)]

    def mask(self, index: int) -> NDArray[np.uint8]:
        """(H, W)."""
        return np.asarray(self._labels[index])


@cache
def real(dense: bool) -> Tiles:
    """The 20 patches that no training saw: at both resolutions, or with guessed masks."""
    _, held_out = split_patches(load_patches())
    if dense:
        return Tiles(*pseudo_masked_patches(held_out), "real")
    found = unseen_tiles(held_out)
    sets = [found[f"real_held_out_{mpp}_mpp"] for mpp in MPPS]
    images = np.concatenate([each.images for each in sets])
    labels = np.concatenate([each.labels for each in sets])
    return Tiles(images, labels, "real")


@cache
def synthetic(dense: bool, count: int) -> Tiles:
    """Tiles of seeds that no training saw; a classifier's at both resolutions."""
    if dense:
        masked = [(TEST_SEED + first, _CHUNK) for first in range(0, count, _CHUNK)]
        return Tiles(*render_all(render_masked_tiles, masked), "synthetic")
    each = count // len(MPPS)
    chunk = min(_CHUNK, each)
    tasks = [(TEST_SEED + first, chunk, mpp) for mpp in MPPS for first in range(0, each, chunk)]
    return Tiles(*render_all(render_tiles, tasks), "synthetic")


def wanted(model: ss.Model, layers: Sequence[str]) -> paper.Wanted:
    """All denoisings at those stages."""
    found = [layer.name for layer in model.layers()]
    prefix = "" if STAGES[0] in found else "encoder."
    denoisings = paper.evaluated_denoisings(model)
    return paper.Wanted(
        tuple(prefix + name for name in layers), METHODS, denoisings, samples=SAMPLES
    )


def roughness(work: Path) -> str:
    """Total variation at each stage, and by how much it is less."""
    tables = []
    for name in MODELS:
        model = ss.load_model(name)
        tiles: paper.Labelled = real(model.readout.dense)
        if model.readout.dense:
            tiles = paper_masks.ByMainClass(model, tiles)
        frame = kept(
            work / f"roughness {name}.csv",
            lambda m=model, t=tiles: paper.roughness(m, t, wanted(m, STAGES), COMPUTE),
        )
        tables.append(paper.roughness_table(frame).assign(model=name))
    table = pd.concat(tables)
    table["layer"] = table["layer"].str.removeprefix("encoder.")
    keys = ["model", "method", "layer"]
    cells = table.set_index([*keys, "denoising"])["tv_mean"].unstack(sort=False)
    rows = [[*index, *(f"{cells.loc[index, d]:.2f}" for d in cells)] for index in cells.index]
    absolute = markdown([*keys, *(SHORT.get(d, d) for d in cells)], rows)
    changed = table[table["denoising"] != "original"]
    means = changed.groupby(["model", "method", "denoising"], sort=False)["reduction_pct"].mean()
    relative = means.unstack(sort=False)
    rows = [
        ["the paper, three networks", "gradient", "31.5", "46.6", "47.8", ""],
        ["the paper, three networks", "deeplift", "21.6", "29.0", "31.5", ""],
    ]
    rows += [[*i, *(f"{relative.loc[i, d]:.0f}" for d in relative)] for i in relative.index]
    head = ["mean reduction, layers 1 to 3, %", "method", *(SHORT[d] for d in relative)]
    counts = ", ".join(f"{t['tiles'].max()} of {n}" for n, t in zip(MODELS, tables, strict=True))
    return f"{markdown(head, rows)}\n\nTotal variation (tiles: {counts}):\n\n{absolute}"


def displacement(work: Path) -> str:
    """How alike a moved map is to the one that does not move."""
    rows = []
    for name in CLASSIFIERS:
        frame = kept(
            work / f"displacement {name}.csv", lambda n=name: _likenesses(ss.load_model(n))
        )
        for (layer, denoising), part in frame.groupby(["layer", "denoising"], sort=False):
            best = part["likeness"].max()
            cells = (f"{v:.2f}" for v in part["likeness"])
            marked = [f"**{c}**" if c == f"{best:.2f}" else c for c in cells]
            rows.append([name, layer, SHORT[denoising], *marked])
    return markdown(["model", "layer", "", *(f"{px:g}" for px in MOVED_BACK)], rows)


def _likenesses(model: ss.Model) -> pd.DataFrame:
    _, held_out = split_patches(load_patches())
    images = as_tensor(np.stack([centre_crop(patch.image) for patch in held_out]))
    rows = []
    for layer in STAGES:
        maps = {
            denoising: ss.explain_tiles(
                model,
                images,
                ss.SaliencySpec(
                    layer=layer,
                    method="gradient",
                    denoising=denoising,
                    samples=10,
                    target="tumour",
                ),
                EXACT,
            ).reduced.numpy()
            for denoising in ("backward_hook", "forward_hook", "centred_hook")
        }
        wanted = maps.pop("centred_hook")
        for denoising, found in maps.items():
            # The forward hook's response comes down on the other side.
            side = -1 if denoising == "backward_hook" else 1
            for px in MOVED_BACK:
                moved = [ndimage.shift(m, (side * px, side * px), order=1) for m in found]
                inner = np.s_[4:-4, 4:-4]
                alike = [
                    np.corrcoef(a[inner].ravel(), b[inner].ravel())[0, 1]
                    for a, b in zip(moved, wanted, strict=True)
                ]
                rows.append([layer, denoising, px, float(np.mean(alike))])
    return pd.DataFrame(rows, columns=["layer", "denoising", "px", "likeness"])


def predictions(work: Path) -> str:
    """What is lost of accuracy, and how far probabilities move."""
    rows = []
    for name in MODELS:
        model = ss.load_model(name)
        dense = model.readout.dense
        for what in ("synthetic", "real"):

            def measured(m: ss.Model = model, d: bool = dense, w: str = what) -> pd.DataFrame:
                tiles = real(d) if w == "real" else synthetic(d, SYNTHETIC)
                if not d:
                    return paper.predictions(m, tiles, EXACT)
                return paper_masks.predictions(m, tiles, EXACT).frame

            frame = kept(work / f"predictions {name} {what}.csv", measured)
            accuracy = paper.accuracy_table(frame).set_index("denoising")["accuracy_pct"]
            difference = paper.difference_table(frame).set_index("denoising")
            for denoising in ("bilinear_surrogate", "forward_hook"):
                if denoising not in difference.index:
                    continue
                target = difference.loc[denoising, "target_class_x100_mean"]
                everything = difference.loc[denoising, "all_classes_x100_mean"]
                rows.append(
                    [
                        f"{name}, {frame['tile'].nunique()} {what}",
                        SHORT[denoising],
                        f"{target:.2f}",
                        f"{everything:.2f}",
                        f"{accuracy['original']:.2f}",
                        f"{accuracy[denoising]:.2f}",
                    ]
                )
    head = ["tiles", "", "label, x100", "all classes, x100", "right, %", "right so changed, %"]
    return markdown(head, rows)


def faithfulness(work: Path) -> str:
    """Insertion and deletion at layer1."""
    frames = {}
    for what in ("real", "synthetic"):

        def measured(what: str = what) -> pd.DataFrame:
            model = ss.load_model(FOLLOWED_MODEL)
            tiles = real(False) if what == "real" else synthetic(False, FOLLOWED)
            asked = wanted(model, STAGES[:1])
            return insertion_and_deletion(model, tiles, asked, Perturbation(), COMPUTE)[0]

        frame = kept(work / f"faithfulness {FOLLOWED_MODEL} {what}.csv", measured)
        frames[what] = frame.fillna({"layer": "", "method": ""})
    return f"{_areas(frames)}\n\n{_comparisons(frames)}"


def _areas(frames: dict[str, pd.DataFrame]) -> str:
    head = ["layer1"]
    for what, frame in frames.items():
        head += [f"insertion, {frame['tile'].nunique()} {what}", "deletion"]
    means = {}
    for what, frame in frames.items():
        frame = frame[~frame["denoising"].str.startswith(CONTROL)]
        laid = frame["denoising"].where(~frame["placed"], frame["denoising"] + LAID_BACK)
        grouped = frame.assign(denoising=laid).groupby(["method", "denoising"], sort=False)
        means[what] = grouped[["insertion", "deletion"]].mean()
    rows = []
    for index in sorted(means["real"].index, key=lambda i: i[0]):  # the random order has no method
        cells = [f"{means[w].loc[index, s]:.3f}" for w in frames for s in ("insertion", "deletion")]
        rows.append([", ".join(filter(None, map(plain, index))), *cells])
    return markdown(head, rows)


def _comparisons(frames: dict[str, pd.DataFrame]) -> str:
    hooks = [d for d in SHORT if d in set(frames["real"]["denoising"])]
    pairs = [("centred_hook", "backward_hook"), *((d, "original") for d in hooks)]
    pairs += [(d, CONTROL + d) for d in hooks]
    pairs += [("original", RANDOM)]
    found = {what: comparison(frame, pairs) for what, frame in frames.items()}
    keys = ["method", "denoising", "against"]
    tables = {
        (what, score): table[table["score"] == score].set_index(keys)
        for what, table in found.items()
        for score in ("insertion", "deletion")
    }
    head = ["difference", *(f"{score}, {what}" for what, score in tables)]
    rows = []
    for index in next(iter(tables.values())).index:
        method, one, other = index
        other = "a blur as smooth" if other.startswith(CONTROL) else other
        label = f"{plain(method)}: {plain(one)} less {plain(other)}"
        rows.append([label, *(_cell(table.loc[index]) for table in tables.values())])
    return markdown(head, rows)


def localisation(work: Path) -> str:
    """On the right nuclei of the sample slide, by DeepLift?"""
    model = ss.load_model(FOLLOWED_MODEL)
    frame = kept(work / f"localisation {FOLLOWED_MODEL}.csv", lambda: _localised(model, work))
    keys = ["layer", "denoising", "against"]
    by = {figure: part.set_index(keys) for figure, part in frame.groupby("figure")}
    rows = []
    for index in by["pixel_auroc"].index:
        layer, one, other = index
        other = "a blur as smooth" if other.startswith("blur") else other
        cells = [_cell(by[figure].loc[index]) for figure in ("pixel_auroc", "nucleus_auroc")]
        rows.append([layer, f"{plain(one)} less {plain(other)}", *cells])
    return markdown(["layer", "difference", "pixels: AUROC", "nuclei: AUROC"], rows)


def _localised(model: ss.Model, work: Path) -> pd.DataFrame:
    names = paper.evaluated_denoisings(model)
    blurs = [("gaussian_blur", {"match": name}) for name in names if name != "original"]
    specs = [
        ss.SaliencySpec(
            layer=layer,
            method="deeplift",
            denoising=denoising,
            denoising_options=options,
            samples=LOCALISED_SAMPLES,
        )
        for layer in STAGES[:2]
        for denoising, options in (*((name, {}) for name in names), *blurs)
    ]
    with sample_slide_path() as slide, sample_outlines_path() as truth:
        store = work / f"{model.card.name}.smoothsal.zarr"
        run = ss.explain_slide(slide, model, specs, store, compute=COMPUTE)
        return compared_localisation(run, truth)


def kept(path: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """What was measured before, or is now."""
    if not path.exists():
        print(f"measuring: {path.stem}", flush=True)
        make().to_csv(path, index=False)
    return pd.read_csv(path)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _cell(row: pd.Series[Any]) -> str:
    text = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
    return f"**{text}**" if row["low"] * row["high"] > 0 else text


PARTS = {f.__name__: f for f in (roughness, displacement, predictions, faithfulness, localisation)}


def arguments(what: str, parts: Collection[str] = ()) -> argparse.Namespace:
    """Of the command line: where measurements stay, and which parts are made."""
    parser = argparse.ArgumentParser(description=what.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[[], *parts])
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "smoothsal-denoising"
    )
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    return given


def write(part: str, made: str) -> None:
    """Put it into its place on the page."""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {part}: made by a script -->", f"<!-- end of {part} -->"
    before, after = text.split(begin)[0], text.split(end)[1]
    PAGE.write_text(f"{before}{begin}\n\n{made}\n\n{end}{after}", encoding="utf-8")


def main() -> None:
    """Measure and write."""
    given = arguments(__doc__, PARTS)
    for name in given.parts or PARTS:
        write(name, PARTS[name](given.work))


if __name__ == "__main__":
    main()
