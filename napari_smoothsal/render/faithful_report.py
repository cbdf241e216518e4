"""What `FaithfulMaps` measured, as CSV, Markdown and one picture of all maps and measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.table import Table

from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.evaluation.faithful_maps import FaithfulMaps
from napari_smoothsal.evaluation.insertion_deletion import RANDOM
from napari_smoothsal.evaluation.sanity_verdict import DEPENDS, DOES_NOT, IN_PART
from napari_smoothsal.render.tables import frame_table, markdown_table
from napari_smoothsal.render.words import RESEARCH_ONLY, plain


class Column(NamedTuple):
    """One measure in the picture.

    Attributes
    ----------
    name
        In the table.
    title
        Above its column.
    better
        1 where more is better, -1 where less is, 0 where neither.
    digits
        Behind the point.
    """

    name: str
    title: str
    better: int
    digits: int


COLUMNS = (
    Column("tiles", "tiles\nit is of", 0, 0),
    Column("deletion", "deletion\nless is better", -1, 2),
    Column("insertion", "insertion\nmore is better", 1, 2),
    Column("road", "ROAD\nmore is better", 1, 2),
    Column("sanity", "randomised\nchance or less", 0, 2),
    Column("chance_high", "(chance\nreaches)", 0, 2),
    Column("stain", "other stain\nmore is better", 1, 2),
    Column("shift", "shifted\nmore is better", 1, 2),
    Column("auroc", "right nuclei\nmore is better", 1, 2),
    Column("infidelity", "infidelity\nless is better", -1, 2),
    Column("sensitivity", "sensitivity\nless is better", -1, 2),
    Column("tv", "total variation\nless is smoother", -1, 2),
    Column("seconds", "seconds\nper tile", 0, 2),
)
WORSE, BETTER = "#E8835A", "#62A8D8"
_SHADES = LinearSegmentedColormap.from_list("better", [WORSE, "#FFFFFF", BETTER])
_VERDICTS = {DEPENDS: _SHADES(0.8), IN_PART: _SHADES(0.3), DOES_NOT: _SHADES(0.1)}
_CELL_IN, _ROW_IN, _NAMES_IN, _HEAD_IN, _FOOT_IN = 0.86, 0.21, 3.3, 0.95, 1.0


@dataclass(frozen=True)
class FaithfulReport:
    """Words around the table.

    Attributes
    ----------
    model
        Its name.
    tiles
        What was looked at.
    how
        Of insertion and deletion.
    left_out
        Maps that cannot be computed, and why.
    """

    model: str
    tiles: str
    how: Perturbation
    left_out: Sequence[str]

    def printed(self, table: pd.DataFrame) -> Table:
        """For the terminal."""
        maps = table[["layer", "method", "denoising"]].agg(
            lambda row: ", ".join(plain(part) for part in row if part), axis=1
        )
        names = ["tiles", "deletion", "insertion", "road", "sanity", "stain", "auroc"]
        shown = table.reindex(columns=names).rename(columns={"sanity": "randomised"})
        shown.insert(0, "map", maps)
        return frame_table(f"{self.model}: are its maps faithful?", shown)

    def write(self, folder: Path, maps: FaithfulMaps, *, drawn: bool = True) -> Path:
        """Write what there is so far, with or without the picture; returns the Markdown file."""
        folder.mkdir(parents=True, exist_ok=True)
        table = maps.table
        table.to_csv(folder / "faithfulness.csv", index=False, float_format="%.6g")
        by_tile = pd.DataFrame(maps.by_tile)
        by_tile.to_csv(folder / "faithfulness_by_tile.csv", index=False, float_format="%.6g")
        if drawn:
            faithfulness_figure(table, self.model, folder / "faithfulness.png")
        shown = ["layer", "method", "denoising", *(c.name for c in COLUMNS)]
        parts = [
            f"# {self.model}: are its maps faithful?",
            f"{self.tiles}. The class that the model predicts for a tile is explained and "
            f"followed. {self.how.cells} x {self.how.cells} cells in {self.how.steps} steps; "
            f"deleted cells show {self.how.deletion!r}, insertion starts from "
            f"{self.how.insertion!r}. *{RANDOM}* is the floor of the "
            "maps of as many tiles: what is not beyond it says nothing. "
            "Intervals, of ten tiles or more, are in faithfulness.csv. What the columns mean, and "
            f"what they do not: docs/trust.md; {RESEARCH_ONLY}.",
            markdown_table(table.reindex(columns=[*shown, "sanity_verdict"]), 3),
            "![All maps and measures](faithfulness.png)",
        ]
        if self.left_out:
            parts += ["Left out:", "\n".join(f"- {reason}" for reason in self.left_out)]
        report = folder / "faithfulness.md"
        report.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        return report


def faithfulness_figure(table: pd.DataFrame, model: str, path: Path) -> None:
    """Draw the table with a shade for each number: blue is better, orange worse, in its column.

    Parameters
    ----------
    table
        Of `FaithfulMaps`.
    model
        Name for the title.
    path
        PNG, PDF or SVG file.
    """
    columns = [c for c in COLUMNS if c.name in table and table[c.name].notna().any()]
    layers = list(dict.fromkeys(table["layer"]))
    lines = len(table) + len(layers)
    width = _NAMES_IN + _CELL_IN * len(columns) + 0.2
    height = _HEAD_IN + _ROW_IN * lines + _FOOT_IN
    figure = Figure(figsize=(width, height), dpi=130)
    FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.set_axis_off()
    figure.text(0.5, 1 - 0.12 / height, f"{plain(model)}: are its maps faithful?", ha="center",
                va="top", fontsize=12)  # fmt: skip
    shades = {c.name: _shades(table, c) for c in columns}
    shades["sanity"] = [_VERDICTS.get(verdict, "white") for verdict in table["sanity_verdict"]]
    for place, column in enumerate(columns):
        x = _NAMES_IN + _CELL_IN * (place + 0.5)
        axis.text(x, _HEAD_IN - 0.12, column.title, ha="center", va="bottom", fontsize=7.5)
    y = _HEAD_IN
    for layer, rows in table.groupby("layer", sort=False):
        if layer:
            axis.text(0.12, y + _ROW_IN / 2, f"at {layer}", va="center", fontsize=9, weight="bold")
            y += _ROW_IN
        for number, row in rows.iterrows():
            name = ", ".join(plain(str(row[n])) for n in ("method", "denoising") if row[n])
            axis.text(0.25, y + _ROW_IN / 2, _short(name), va="center", fontsize=8.5)
            for place, column in enumerate(columns):
                value = row[column.name]
                if np.isfinite(value):
                    left = _NAMES_IN + _CELL_IN * place
                    colour = shades[column.name][number]
                    axis.add_patch(_cell(left, y, colour))
                    text = f"{value:.{column.digits}f}"
                    axis.text(left + _CELL_IN / 2, y + _ROW_IN / 2, text, ha="center",
                              va="center", fontsize=8.5)  # fmt: skip
            y += _ROW_IN
        y += _ROW_IN / 4
    note = (
        "Blue: better, orange: worse than the other maps of the same tiles in a column, by rank; "
        "white: in between, or neither. Empty: not known, or only defined at the image.\n"
        "randomised: rank correlation with the maps of copies that have learned nothing above the "
        "layer; blue: no more than chance reaches; orange: some, or (darker) most of it is left."
        "\nother stain, shifted: rank correlation with the map of the changed tile. "
        f"{RESEARCH_ONLY}"
    )
    figure.text(0.5, 0.1 / height, note, ha="center", va="bottom", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _cell(left: float, top: float, colour: Any) -> Rectangle:
    return Rectangle((left, top), _CELL_IN, _ROW_IN, facecolor=colour, edgecolor="white", lw=0.8)


def _shades(table: pd.DataFrame, column: Column) -> list[Any]:
    """By rank within a column, so that one far value does not make all others alike.

    Maps are ranked among those of as many tiles, which are the same ones.
    """
    ranked = table.groupby("tiles")[column.name]
    share = (ranked.rank() - 0.5) / ranked.transform("count")
    return [_SHADES(0.5 + column.better * (s - 0.5) * 0.8) for s in share]


def _short(name: str, longest: int = 44) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}\u2026"
