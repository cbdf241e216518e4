"""The paper's tables and its Figure 4, of what was measured: CSV, Markdown and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.evaluation import paper
from napari_smoothsal.evaluation.faithfulness import CONTROL, LAID_BACK, comparison
from napari_smoothsal.evaluation.insertion_deletion import RANDOM
from napari_smoothsal.evaluation.panels import TilePanels
from napari_smoothsal.render.panels_figure import write_panels
from napari_smoothsal.render.tables import markdown_table
from napari_smoothsal.render.words import RESEARCH_ONLY, plain

COLOURS = {
    "original": "#000000",
    "bilinear_surrogate": "#E69F00",
    "backward_hook": "#0072B2",
    "forward_hook": "#56B4E9",
    "centred_hook": "#009E73",
    "gaussian_blur": "#CC79A7",
}
REPORT = "report.md"

_MARKS = {"gradient": ("o", "-"), "deeplift": ("s", "--"), "activation_x_gradient": ("^", ":")}


@dataclass(frozen=True)
class Faithfulness:
    """Insertion and deletion; see `napari_smoothsal.evaluation.faithfulness`."""

    how: Perturbation
    tiles: int
    areas: pd.DataFrame
    courses: pd.DataFrame

    def write(self, folder: Path) -> list[str]:
        """Write tables and picture; returns paragraphs for the report."""
        denoisings = [
            name
            for name in dict.fromkeys(self.areas["denoising"])
            if name not in ("original", RANDOM) and not name.startswith(CONTROL)
        ]
        laid = set(self.areas.loc[self.areas["placed"], "denoising"])
        pairs = [("original", RANDOM)]
        for name in denoisings:
            for called in (name, name + LAID_BACK) if name in laid else (name,):
                pairs += [(called, "original"), (called, CONTROL + name), (called, RANDOM)]
        if {"centred_hook", "backward_hook"} <= set(denoisings):
            pairs.append(("centred_hook", "backward_hook"))
            if "backward_hook" in laid:
                pairs.append(("centred_hook", "backward_hook" + LAID_BACK))
        means = self.areas.groupby(["method", "layer", "denoising", "placed"], sort=False)
        table = means[["insertion", "deletion", "tv"]].mean().reset_index()
        compared = comparison(self.areas, pairs)
        for name, frame in {
            "insertion_deletion": table,
            "insertion_deletion_compared": compared,
            "insertion_deletion_by_tile": self.areas,
            "insertion_deletion_curves": self.courses,
        }.items():
            frame.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        curves_figure(self.courses, folder / "insertion_deletion.png")
        floor = self.areas[self.areas["denoising"] == RANDOM]
        return [
            "## Insertion and deletion",
            f"{self.tiles} tiles, {self.how.cells} x {self.how.cells} cells in {self.how.steps} "
            f"steps; deleted cells show the baseline {self.how.deletion!r}, insertion starts from "
            f"{self.how.insertion!r}. Insertion is better when larger, deletion when smaller. All "
            "maps are scored on the original model. A random order has insertion "
            f"{floor['insertion'].mean():.3f} and deletion {floor['deletion'].mean():.3f}: a map "
            "beyond that on the wrong side orders cells worse than chance. *placed*: laid back by "
            "the displacement of its fine structure.",
            markdown_table(table[table["denoising"] != RANDOM], 3),
            "Each against the original, against the original's map blurred until it is as smooth, "
            "and against the random order: mean difference over tiles, 95 % bootstrap interval (of "
            "ten tiles or more), p of Wilcoxon's signed-rank test (not corrected for the number of "
            "comparisons).",
            markdown_table(compared, 3),
            "![Insertion and deletion](insertion_deletion.png)",
        ]


@dataclass(frozen=True)
class PaperReport:
    """What was measured of one model.

    Attributes
    ----------
    model
        Its name.
    how
        Sentences on what was measured, and on what.
    predictions, roughness, blocks
        See `napari_smoothsal.evaluation.paper`; the last is the second one of more layers.
    faithfulness
        Insertion and deletion, where they were measured.
    panels
        Tiles whose maps are drawn.
    accuracy
        Table 2, where it is not just of the predictions' ``correct``.
    """

    model: str
    how: Sequence[str]
    predictions: pd.DataFrame
    roughness: pd.DataFrame
    blocks: pd.DataFrame | None
    faithfulness: Faithfulness | None = None
    panels: Sequence[TilePanels] = ()
    accuracy: pd.DataFrame | None = None

    def write(self, folder: Path) -> Path:
        """Write everything into a folder; returns the Markdown file."""
        folder.mkdir(parents=True, exist_ok=True)
        accuracy = self.accuracy
        if accuracy is None:
            accuracy = paper.accuracy_table(self.predictions)
        difference = paper.difference_table(self.predictions)
        rough = paper.roughness_table(self.roughness)
        reduction = paper.reduction_table(rough)
        for name, table in {
            "table2_accuracy": accuracy,
            "table3_prediction_difference": difference,
            "table4_total_variation": rough,
            "mean_reduction": reduction,
            "predictions_by_tile": self.predictions,
            "total_variation_by_tile": self.roughness,
        }.items():
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        parts = [
            f"# {self.model}: the evaluation of Smooth Deep Saliency",
            *self.how,
            f"The paper's figures are of other networks and other images; {RESEARCH_ONLY}.",
            "## Table 2: accuracy, %",
            markdown_table(accuracy, 2),
            "The paper:",
            markdown_table(paper.published("table2_accuracy"), 2),
            "## Table 3: prediction difference, times 100",
            "Absolute difference of probabilities from the original model's, mean and standard "
            "deviation over tiles.",
            markdown_table(difference, 2),
            "The paper:",
            markdown_table(paper.published("table3_prediction_difference"), 2),
            "## Table 4: total variation",
            "Mean and standard deviation over tiles; white noise has 2.8.",
            markdown_table(_wide(rough), 2),
            "Mean reduction over these layers, %:",
            markdown_table(reduction, 1),
            "The paper:",
            markdown_table(_published_wide(), 2),
        ]
        if self.blocks is not None:
            self.blocks.to_csv(folder / "figure4_by_tile.csv", index=False, float_format="%.6g")
            blocks_figure(paper.roughness_table(self.blocks), self.model, folder / "figure4.png")
            parts += ["## Figure 4: total variation at every block", "![Figure 4](figure4.png)"]
        if self.panels:
            parts += write_panels(self.panels, folder)
        if self.faithfulness is not None:
            parts += self.faithfulness.write(folder)
        report = folder / REPORT
        report.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        return report


def blocks_figure(table: pd.DataFrame, model: str, path: Path) -> None:
    """Draw total variation by block, one line per method and denoising.

    Parameters
    ----------
    table
        A `roughness_table`.
    model
        Name for the title.
    path
        PNG, PDF or SVG file.
    """
    layers = list(dict.fromkeys(table["layer"]))
    figure = Figure(figsize=(max(7, 0.55 * len(layers) + 4), 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for (method, denoising), rows in table.groupby(["method", "denoising"], sort=False):
        mark, line = _MARKS.get(str(method), ("x", "-."))
        places = [layers.index(layer) for layer in rows["layer"]]
        axis.errorbar(
            places,
            rows["tv_mean"],
            yerr=rows["tv_std"],
            color=COLOURS.get(str(denoising), "#999999"),
            marker=mark,
            linestyle=line,
            markersize=4,
            capsize=2,
            linewidth=1.3,
            label=f"{plain(str(method))}, {plain(str(denoising))}",
        )
    axis.axhline(2 * np.sqrt(2), color="#999999", linewidth=0.8)
    axis.annotate("white noise", (0, 2.85), fontsize=8, color="#666666")
    axis.set_xticks(range(len(layers)), layers, rotation=45, ha="right", fontsize=8)
    axis.set(ylabel="total variation", ylim=(0, None))
    axis.set_title(f"{model}: total variation at every block, mean +- std over tiles", fontsize=11)
    axis.grid(alpha=0.3)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def curves_figure(courses: pd.DataFrame, path: Path) -> None:
    """Draw mean curves of insertion and deletion, one row per method, one column per layer.

    Parameters
    ----------
    courses
        From `napari_smoothsal.evaluation.faithfulness`.
    path
        PNG, PDF or SVG file.
    """
    floor = courses[courses["denoising"] == RANDOM]
    maps = courses[(courses["denoising"] != RANDOM) & ~courses["placed"]]
    maps = maps[~maps["denoising"].str.startswith(CONTROL)]
    layers, methods = (list(dict.fromkeys(maps[name])) for name in ("layer", "method"))
    rows = [(method, score) for method in methods for score in ("insertion", "deletion")]
    size = (3.4 * len(layers) + 2.2, 2.6 * len(rows))
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(layers), squeeze=False, sharex=True, sharey=True)
    for line, (method, score) in zip(axes, rows, strict=True):
        for axis, layer in zip(line, layers, strict=True):
            chosen = maps[(maps["layer"] == layer) & (maps["method"] == method)]
            for name, curve in chosen.groupby("denoising", sort=False):
                share = curve["step"] / curve["step"].max()
                colour = COLOURS.get(str(name), "#999999")
                axis.plot(share, curve[score], color=colour, linewidth=1.3, label=plain(str(name)))
            share = floor["step"] / floor["step"].max()
            axis.plot(share, floor[score], color="#999999", linestyle=":", label=RANDOM)
            axis.set_title(f"{plain(method)}, {layer}: {score}", fontsize=9)
            axis.grid(alpha=0.3)
        line[0].set_ylabel("probability of the label", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("share of cells, most important first", fontsize=8)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _wide(table: pd.DataFrame) -> pd.DataFrame:
    """One row per method and denoising, one column per layer."""
    text = [
        f"{mean:.2f} ± {std:.2f}"
        for mean, std in zip(table["tv_mean"], table["tv_std"], strict=True)
    ]
    layers = list(dict.fromkeys(table["layer"]))
    rows = table.assign(text=text).pivot_table(
        index=["method", "denoising"], columns="layer", values="text", aggfunc="first", sort=False
    )
    return rows[layers].reset_index()


def _published_wide() -> pd.DataFrame:
    table = paper.published("table4_total_variation")
    rows = table.pivot_table(
        index=["network", "method", "denoising"], columns="layer", values="tv_mean", sort=False
    )
    return rows.reset_index()
