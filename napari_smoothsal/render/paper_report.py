"""The paper's tables and its Figure 4, of what was measured: CSV, Markdown and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_smoothsal.evaluation import paper
from napari_smoothsal.render.words import RESEARCH_ONLY, plain

COLOURS = {
    "original": "#000000",
    "bilinear_surrogate": "#E69F00",
    "backward_hook": "#0072B2",
    "forward_hook": "#56B4E9",
    "centred_hook": "#009E73",
    "gaussian_blur": "#CC79A7",
}
_MARKS = {"gradient": ("o", "-"), "deeplift": ("s", "--"), "activation_x_gradient": ("^", ":")}


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
    """

    model: str
    how: Sequence[str]
    predictions: pd.DataFrame
    roughness: pd.DataFrame
    blocks: pd.DataFrame | None

    def write(self, folder: Path) -> Path:
        """Write everything into a folder; returns the Markdown file."""
        folder.mkdir(parents=True, exist_ok=True)
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
            _markdown(accuracy, 2),
            "The paper:",
            _markdown(paper.published("table2_accuracy"), 2),
            "## Table 3: prediction difference, times 100",
            "Absolute difference of probabilities from the original model's, mean and standard "
            "deviation over tiles.",
            _markdown(difference, 2),
            "The paper:",
            _markdown(paper.published("table3_prediction_difference"), 2),
            "## Table 4: total variation",
            "Mean and standard deviation over tiles; white noise has 2.8.",
            _markdown(_wide(rough), 2),
            "Mean reduction over these layers, %:",
            _markdown(reduction, 1),
            "The paper:",
            _markdown(_published_wide(), 2),
        ]
        if self.blocks is not None:
            self.blocks.to_csv(folder / "figure4_by_tile.csv", index=False, float_format="%.6g")
            blocks_figure(paper.roughness_table(self.blocks), self.model, folder / "figure4.png")
            parts += ["## Figure 4: total variation at every block", "![Figure 4](figure4.png)"]
        report = folder / "report.md"
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


def _markdown(table: pd.DataFrame, digits: int) -> str:
    def text(value: object) -> str:
        if isinstance(value, float):
            return f"{value:.{digits}f}"
        return plain(str(value))

    head = "| " + " | ".join(plain(str(c)) for c in table.columns) + " |"
    rule = "|" + " --- |" * len(table.columns)
    rows = ["| " + " | ".join(text(v) for v in row) + " |" for row in table.itertuples(index=False)]
    return "\n".join([head, rule, *rows])
