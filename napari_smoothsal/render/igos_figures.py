"""Pictures of the tables of iGOS++: curves, bars, and masks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
import pandas as pd
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_smoothsal.attribution.mask_terms import Upsampling
from napari_smoothsal.evaluation.igos_measuring import IgosFound, Ordered
from napari_smoothsal.evaluation.igos_tables import OURS
from napari_smoothsal.evaluation.insertion_deletion import RANDOM
from napari_smoothsal.render.words import plain

_CYCLE = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#8C6BB1", "#7F7F00")
_LETTERS_PER_IN = 14
_MOST_TILES = 6
"""So many are drawn at most, the first."""


def curves_figure(ordered: Sequence[Ordered], title: str, path: Path, caption: str) -> None:
    """Draw mean curves of insertion and deletion, a column for each mask size.

    Parameters
    ----------
    ordered
        Of the tiles that count.
    title, path, caption
        Of the picture; a PNG, PDF or SVG file.
    """
    sizes = list(dict.fromkeys(one.mask_px for one in ordered))
    names = list(dict.fromkeys(one.method for one in ordered))
    others = [name for name in names if name not in (OURS, RANDOM)]
    colours = dict(zip(others, _CYCLE, strict=False)) | {OURS: "#000000", RANDOM: "#999999"}
    figure = Figure(figsize=(3.6 * len(sizes) + 2.6, 6.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(sizes), squeeze=False, sharex=True, sharey=True)
    for score, line in zip(("insertion", "deletion"), axes, strict=True):
        for size, axis in zip(sizes, line, strict=True):
            for name in names:
                some = [o.curves for o in ordered if (o.method, o.mask_px) == (name, size)]
                mean = torch.stack([getattr(curves, score) for curves in some]).mean(0)
                axis.plot(
                    some[0].shares,
                    mean,
                    color=colours[name],
                    linewidth=2 if name == OURS else 1.3,
                    linestyle=":" if name == RANDOM else "-",
                    label=name,
                )
            axis.set_title(f"{score}, {size} x {size} cells", fontsize=9)
            axis.grid(alpha=0.3)
        line[0].set_ylabel("probability of the explained class", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("share of cells, most hidden first", fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=11)
    _add_caption(figure, caption)
    figure.savefig(path)


def bars_figure(summary: pd.DataFrame, value: str, title: str, path: Path, caption: str) -> None:
    """Draw one figure of each row, the paper's beside.

    Parameters
    ----------
    summary
        An `igos_table`.
    value
        Its column.
    title, path, caption
        Of the picture; a PNG, PDF or SVG file.
    """
    priced = "sparsity" in summary
    names = [
        f"{row['method']}\n"
        + (f"{row['sparsity']:g}, {row['smoothness']:g}" if priced else f"{row['mask_px']} cells")
        for _, row in summary.iterrows()
    ]
    figure = Figure(figsize=(1.25 * len(summary) + 2, 4.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    places = np.arange(len(summary))
    axis.bar(places, summary[value], 0.5, color="#56B4E9", label="here")
    axis.plot(places, summary[f"paper_{value}"], "D", color="#D55E00", label="the paper")
    axis.set_xticks(places, names, fontsize=7)
    axis.set_ylabel(value + (" (lambda 1, lambda 2 below)" if priced else ""), fontsize=9)
    if value == "seconds":
        axis.set_yscale("log")
    axis.axhline(0, color="#666666", linewidth=0.8)
    axis.legend(frameon=False, fontsize=8)
    axis.set_title(title, fontsize=11)
    _add_caption(figure, caption)
    figure.savefig(path)


def masks_figure(found: IgosFound, title: str, path: Path, caption: str) -> None:
    """Draw what each row's mask hides of the first tiles: bright over the darkened tile.

    Parameters
    ----------
    found
        Of a table that is drawn.
    title, path, caption
        Of the picture; a PNG, PDF or SVG file.
    """
    tiles = list(found.pictures)[:_MOST_TILES]
    of_tile = {
        tile: [o for o in found.ordered if o.tile == tile and o.method != RANDOM] for tile in tiles
    }
    columns = 1 + len(of_tile[tiles[0]])
    figure = Figure(figsize=(1.9 * columns, 2.3 * len(tiles) + 0.5), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(tiles), columns, squeeze=False)
    for tile, line in zip(tiles, axes, strict=True):
        picture = found.pictures[tile].movedim(0, -1).numpy()
        line[0].imshow(picture)
        line[0].set_title(_wrapped(tile, 24), fontsize=7)
        for one, axis in zip(of_tile[tile], line[1:], strict=True):
            hidden = 1 - Upsampling(len(one.mask), found.pictures[tile][0].float())(one.mask)
            axis.imshow(picture.mean(-1), cmap="gray", vmin=0, vmax=255)
            axis.imshow(hidden, cmap="magma", alpha=hidden.numpy(), vmin=0, vmax=1)
            areas = one.curves.areas
            axis.set_title(
                f"{plain(one.method)}\ndeletion {areas.deletion:.2f}, "
                f"insertion {areas.insertion:.2f}",
                fontsize=7,
            )
    for axis in axes.flat:
        axis.set_axis_off()
    figure.suptitle(title, fontsize=11)
    _add_caption(figure, caption)
    figure.savefig(path)


def _add_caption(figure: Figure, caption: str) -> None:
    letters = int(_LETTERS_PER_IN * figure.get_figwidth())
    figure.supxlabel(_wrapped(caption, letters), fontsize=8)


def _wrapped(text: str, letters: int) -> str:
    """In lines of so many letters at most."""
    return "\n".join(wrap(text, letters))
