"""A sanity check block by block: verdicts and curves as CSV and as a picture."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_smoothsal.evaluation.faithful_maps import DECIDES
from napari_smoothsal.evaluation.map_similarity import Similarity
from napari_smoothsal.evaluation.sanity import CASCADING, INDEPENDENT, NOISE, Found
from napari_smoothsal.evaluation.sanity_verdict import sanity_verdicts
from napari_smoothsal.render.paper_report import COLOURS
from napari_smoothsal.render.words import RESEARCH_ONLY, plain

_KEYS = ["layer", "method", "denoising"]
_MEASURES = list(Similarity._fields)
_LETTERS_PER_IN = 13
_LINES = {CASCADING: "-", INDEPENDENT: ":"}


def write_sanity(
    found: Found, model: str, tiles: str, folder: Path
) -> tuple[pd.DataFrame, list[Path]]:
    """Write verdicts, curves, every comparison, and a picture.

    Returns
    -------
    table
        See `sanity_verdicts`; empty where no order is cascading.
    written
        Files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cascading = CASCADING in set(found.similarities["order"])
    table = sanity_verdicts(found) if cascading else pd.DataFrame()
    grouped = found.similarities.groupby([*_KEYS, "order", "depth", "block"], sort=False)
    courses = grouped[_MEASURES].mean().reset_index()
    tables = {"sanity_curves": courses, "sanity_by_tile": found.similarities}
    tables |= {"sanity_chance": found.chance} | ({"sanity": table} if cascading else {})
    written = []
    for name, frame in tables.items():
        written.append(folder / f"{name}.csv")
        frame.to_csv(written[-1], index=False, float_format="%.6g")
    written.append(folder / "sanity.png")
    sanity_figure(found, model, tiles, written[-1])
    return table, written


def sanity_figure(found: Found, model: str, tiles: str, path: Path) -> None:
    """Draw similarity by block, with a band for each map's own chance level.

    Parameters
    ----------
    found
        From `sanity`.
    model, tiles
        For the title: its name, and what was looked at.
    path
        PNG, PDF or SVG file.
    """
    frame = found.similarities
    layers, methods = (list(dict.fromkeys(frame[name])) for name in ("layer", "method"))
    words = [
        "Solid: randomised from the output down to this block; dotted: this block alone.",
        f"Bands: 95 % of comparisons with noise as smooth. {tiles}.",
        RESEARCH_ONLY,
    ]
    size = (4.6 * max(len(layers), 1.6) + 1.8, 2.7 * len(methods) + 1.9)
    letters = int(size[0] * _LETTERS_PER_IN)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(methods), len(layers), squeeze=False, sharey=True)
    for line, method in zip(axes, methods, strict=True):
        for axis, layer in zip(line, layers, strict=True):
            chosen = frame[(frame["layer"] == layer) & (frame["method"] == method)]
            chance = found.chance[
                (found.chance["layer"] == layer)
                & (found.chance["method"] == method)
                & (found.chance["against"] == NOISE)
            ]
            _draw(axis, chosen, chance)
            axis.set_title(f"{plain(method)}, {layer}", fontsize=9.5)
        line[0].set_ylabel("rank correlation with\nthe trained model's map", fontsize=8.5)
    handles = {
        name: handle
        for axis in axes.flat
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside right upper", frameon=False, fontsize=8
    )
    figure.suptitle(f"{plain(model)}: what is left of maps once blocks are random", fontsize=11)
    figure.supxlabel(
        "\n".join(line for text in words for line in wrap(text, letters)), fontsize=8.5
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _draw(axis: Axes, frame: pd.DataFrame, chance: pd.DataFrame) -> None:
    blocks = frame.sort_values("depth").drop_duplicates("depth")
    names = {int(d): str(b) for d, b in zip(blocks["depth"], blocks["block"], strict=True)}
    for (denoising, order), part in frame.groupby(["denoising", "order"], sort=False):
        by_depth = part.groupby("depth")[DECIDES]
        mean = by_depth.mean()
        colour = COLOURS.get(str(denoising).partition(" ")[0], "#999999")
        axis.plot(mean.index, mean, linestyle=_LINES.get(str(order), "-"), color=colour,
                  marker="o", markersize=3, linewidth=1.3,
                  label=f"{plain(str(denoising))}, {order}")  # fmt: skip
        copies = part.groupby(["depth", "copy"])[DECIDES].mean().groupby("depth")
        if part["copy"].nunique() > 1:
            axis.fill_between(mean.index, copies.min(), copies.max(), color=colour, alpha=0.15)
    for denoising, part in chance.groupby("denoising", sort=False):
        values = part[DECIDES].dropna()
        if len(values):
            low, high = np.percentile(values, [2.5, 97.5])
            colour = COLOURS.get(str(denoising).partition(" ")[0], "#999999")
            axis.axhspan(low, high, color=colour, alpha=0.12, linewidth=0)
    axis.axhline(0, color="#999999", linewidth=0.6)
    axis.set_ylim(min(-0.5, float(frame[DECIDES].min())), 1.05)
    axis.set_xticks(list(names), list(names.values()), rotation=60, ha="right", fontsize=7)
    axis.grid(alpha=0.25)
