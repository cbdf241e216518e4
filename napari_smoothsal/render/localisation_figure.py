"""A picture of where maps lie: on the right nuclei or not, on their rims or inside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from napari_smoothsal.render.words import RESEARCH_ONLY, plain

if TYPE_CHECKING:
    import pandas as pd

HUES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""One per method, of Okabe and Ito's palette for every colour vision; tints are denoisings."""

BLOCK_IN, FOOT_IN, WIDTH_IN = 6.6, 1.0, 16.0
BARS = 0.84
"""Share of a layer's place that its bars fill."""


class _Panel(NamedTuple):
    """One question: a column, what its bars start from, and how it is said."""

    column: str
    title: str
    axis: str
    base: float
    logarithmic: bool = False
    of_rims: bool = False


def localisation_figure(frame: pd.DataFrame, path: Path) -> None:
    """Draw what `napari_smoothsal.localisation` measured of a run, bars by layer with intervals.

    Parameters
    ----------
    frame
        One row per map.
    path
        PNG, PDF or SVG file.
    """
    figure = Figure(figsize=(WIDTH_IN, BLOCK_IN + FOOT_IN), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    heights = [BLOCK_IN, FOOT_IN]
    block, foot = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    first = frame.iloc[0]
    block.suptitle(
        f"Model {first['model']}, map of \u201c{first['target']}\u201d, against "
        f"{first['nuclei_of_class']} outlines \u201c{first['class']}\u201d and "
        f"{first['nuclei_other']} others",
        fontsize=13,
    )
    axes = block.subplots(2, 4)
    panels = _panels(first["class"])
    for axis, panel in zip(axes.flat, panels, strict=True):
        _draw_panel(axis, panel, frame)
    ends = np.array([axis.get_ylim() for axis in axes[1]])
    for axis in axes[1]:
        axis.set_ylim(ends[:, 0].min(), ends[:, 1].max())
    for axis, panel in zip(axes.flat, panels, strict=True):
        if panel.logarithmic:
            _mark_multiples(axis)
    _explain(foot, frame)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _panels(name: str) -> list[_Panel]:
    chance = "AUROC (0.5: no better than chance)"
    times = "saliency per area (1: as everywhere)"
    return [
        _Panel("pixel_auroc", f"Pixels: on a {name},\nor anywhere else?", chance, 0.5),
        _Panel("nucleus_auroc", f"Nuclei: a {name},\nor another nucleus?", chance, 0.5),
        _Panel("nucleus_ap", f"Nuclei, highest values first:\nshare that is {name}",
               "average precision", 0.0),
        _Panel("rim_over_interior_magnitude_class", f"A {name}:\noutlined or filled?",
               "rim \u00f7 interior", 1.0, True, True),
        _Panel("enrichment_magnitude_class_rim", f"Rim of a {name}", times, 1.0, True, True),
        _Panel("enrichment_magnitude_class_interior", f"Inside a {name}", times, 1.0, True, True),
        _Panel("enrichment_magnitude_other_rim", "Rim of another nucleus", times, 1.0, True, True),
        _Panel("enrichment_magnitude_other_interior", "Inside another nucleus", times, 1.0, True,
               True),
    ]  # fmt: skip


def _draw_panel(axis: Axes, panel: _Panel, frame: pd.DataFrame) -> None:
    layers = list(dict.fromkeys(frame["layer"]))
    variants = _variants(frame)
    step = BARS / len(variants)
    if panel.logarithmic:
        axis.set_yscale("log")
    for _, row in frame.iterrows():
        variant = list(variants).index(_variant(row))
        x = layers.index(row["layer"]) + (variant - (len(variants) - 1) / 2) * step
        value, low, high = (row[panel.column + ending] for ending in ("", "_low", "_high"))
        coarse = panel.of_rims and not row["rim_resolved"]
        axis.bar(
            x, value - panel.base, step * 0.9, bottom=panel.base,
            color=variants[_variant(row)], alpha=0.45 if coarse else 1,
            hatch="////" if coarse else None, edgecolor="white" if coarse else "none",
        )  # fmt: skip
        if np.isfinite(low):
            axis.plot([x, x], [low, high], color="black", lw=1.1)
        magnitude = f"{panel.column}_magnitude"
        if magnitude in row:
            axis.plot(x, row[magnitude], "D", ms=4, mfc="white", mec="black", mew=0.8)
    _mark_references(axis, panel, frame, layers)
    axis.axhline(panel.base, color="black", lw=1)
    axis.set_title(panel.title, fontsize=10.5)
    axis.set_ylabel(panel.axis, fontsize=9)
    axis.set_xticks(range(len(layers)), [_tick(frame, layer, panel) for layer in layers])
    axis.tick_params(axis="x", length=0, labelsize=9)
    axis.tick_params(axis="y", labelsize=8.5)
    axis.set_xlim(-0.55, len(layers) - 0.45)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="0.9", lw=0.7)
    axis.set_axisbelow(True)
    if panel.logarithmic:
        axis.margins(y=0.12)  # room for the words beside the dotted lines
    elif panel.base == 0.5:
        axis.set_ylim(0, 1)


def _mark_multiples(axis: Axes) -> None:
    low, high = axis.get_ylim()
    steps = (1, 3) if high > 30 * low else (1, 1.5, 2, 3, 5, 7)
    axis.yaxis.set_major_locator(LogLocator(subs=steps))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}\u00d7"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _mark_references(axis: Axes, panel: _Panel, frame: pd.DataFrame, layers: Sequence[str]) -> None:
    """What chance gives, and what a perfect outline and a perfect filling would."""
    for place, layer in enumerate(layers):
        row = frame[frame["layer"] == layer].iloc[0]
        across = [place - BARS / 2, place + BARS / 2]
        if panel.column == "nucleus_ap":
            axis.plot(across, [row["nucleus_floor"]] * 2, color="black", ls="--", lw=1.2)
        if panel.column.startswith("rim_over_interior"):
            for column, word, up in (
                ("outlined_class", "outline", 1),
                ("filled_class", "filling", -1),
            ):
                axis.plot(across, [row[column]] * 2, color="0.35", ls=":", lw=1.6)
                axis.annotate(
                    word, (place, row[column]), (0, 3 * up), textcoords="offset points",
                    ha="center", va="bottom" if up > 0 else "top", fontsize=8, color="0.25",
                )  # fmt: skip


def _tick(frame: pd.DataFrame, layer: str, panel: _Panel) -> str:
    row = frame[frame["layer"] == layer].iloc[0]
    # Dotted names of several modules are as wide as the place of two layers.
    name = layer.replace(".", ".\n", 1) if len(layer) > 10 else layer
    text = f"{name}\n{row['um_per_px']:.3g} \u00b5m/px"
    return text if not panel.of_rims or row["rim_resolved"] else text + "\ncoarse"


def _variant(row: Any) -> tuple[str, str, str]:
    return (row["method"], row["denoising"], row["target"])


def _variants(frame: pd.DataFrame) -> dict[tuple[str, str, str], tuple[float, float, float]]:
    """Colours by method (hue) and denoising (tint), in the order of the bars."""
    found = list(dict.fromkeys(_variant(row) for _, row in frame.iterrows()))
    methods, denoisings, targets = (
        list(dict.fromkeys(names)) for names in zip(*found, strict=True)
    )
    found.sort(key=lambda v: (targets.index(v[2]), methods.index(v[0]), denoisings.index(v[1])))
    colours = {}
    for variant in found:
        hue = np.array(to_rgb(HUES[methods.index(variant[0]) % len(HUES)]))
        rank = denoisings.index(variant[1]) / max(1, len(denoisings) - 1)
        paled = 0.0 if len(denoisings) == 1 else 0.55 * (1 - rank)
        red, green, blue = (float(c) for c in hue + (1 - hue) * paled)
        colours[variant] = (red, green, blue)
    return colours


def _explain(foot: SubFigure, frame: pd.DataFrame) -> None:
    handles: dict[str, Any] = {}
    several = frame["target"].nunique() > 1
    for (method, denoising, target), colour in _variants(frame).items():
        label = f"{plain(method)}, {plain(denoising)}" + (f", {target}" if several else "")
        handles[label] = Patch(color=colour)
    handles["its magnitude |v|"] = Line2D([], [], marker="D", ls="", mfc="white", mec="black", ms=5)
    handles["95 % interval"] = Line2D([], [], color="black", lw=1.1)
    handles["by chance"] = Line2D([], [], color="black", ls="--", lw=1.2)
    foot.legend(handles.values(), handles.keys(), loc="upper center", ncols=7, fontsize=9,
                frameon=False)  # fmt: skip
    rim = frame.iloc[0]["rim_um"]
    foot.text(
        0.5, 0.05,
        "Upper row: signed values; a bar below 0.5 means that the class has the lower values. "
        f"Outlined or filled, and lower row: magnitude |v|, rims of {rim:g} \u00b5m to both sides "
        "of an outline;\ndotted: what maps that only outline or only fill nuclei would give at "
        "these pixels; hatched, coarse: a pixel is wider than a whole rim and always mixes it with "
        f"its surroundings.  |  {RESEARCH_ONLY}",
        ha="center", va="bottom", fontsize=8.5,
    )  # fmt: skip
