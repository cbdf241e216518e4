"""A table of iGOS++, of what was measured: CSV, Markdown and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from napari_smoothsal.evaluation.igos_measuring import IgosFound, Ordered
from napari_smoothsal.evaluation.igos_summary import (
    counted,
    igos_compared,
    igos_table,
    marks_told,
)
from napari_smoothsal.evaluation.igos_tables import OURS, IgosTable
from napari_smoothsal.evaluation.insertion_deletion import RANDOM
from napari_smoothsal.render.igos_figures import bars_figure, curves_figure, masks_figure
from napari_smoothsal.render.tables import markdown_table
from napari_smoothsal.render.words import RESEARCH_ONLY

_ABOUT_AREAS = (
    "Cells of the mask are taken away from the tile (deletion: less is better), or put back into "
    "what shows in its place (insertion: more is better), the most hidden first, in about 50 steps;"
    " figures are areas under the probability of the explained class, as it is. Maps are pooled to "
    "the mask's cells. *Deletion published* and *insertion published* are added up as the authors' "
    "code does: with the score at the end of each step, and 1 in place of the last score. "
    f"*{RANDOM}*: three such orders of each tile, the floor."
)
_ABOUT = {
    "areas": _ABOUT_AREAS,
    "loss": "The objective of equation 4 after all iterations, its probabilities averaged over the "
    "integration steps, with noise: of two masks that of their product. Less is better. The paper "
    "does not say of which mask size its figures are.",
    "seconds": "Seconds for one tile alone, median over tiles, once the model is ready. Methods "
    "without masks take the same at every size.",
}


@dataclass(frozen=True)
class IgosReport:
    """What was measured of one model.

    Attributes
    ----------
    model
        Its name.
    table
        Which.
    how
        Sentences on what was measured, and on what.
    found
        The measurements.
    caption
        Below each picture: on how many tiles, by how much work.
    """

    model: str
    table: IgosTable
    how: Sequence[str]
    found: IgosFound
    caption: str

    def write_rows(self, folder: Path) -> None:
        """Write the table by tile alone, as far as it is."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = self.found.frame()
        rows.to_csv(folder / f"{self.table.name}_by_tile.csv", index=False, float_format="%.6g")

    def write(self, folder: Path) -> Path:
        """Write everything into a folder; returns the Markdown file."""
        self.write_rows(folder)
        table, rows, name = self.table, self.found.frame(), self.table.name
        summary = igos_table(table, rows)
        summary.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        parts = [
            f"# {self.model}: {table.title} of iGOS++",
            *self.how,
            *marks_told(rows),
            _ABOUT[table.measures],
            "The paper's figures are of other networks and other images, and stand beside where it "
            f"has some; {RESEARCH_ONLY}.",
            markdown_table(summary, 4),
        ]
        picture = folder / f"{name}.png"
        title, caption = f"{self.model}: {table.title} of iGOS++", self.caption
        if table.measures != "areas":
            bars_figure(summary, table.measures, title, picture, caption)
        else:
            kept = set(counted(rows)["tile"])
            ordered = [one for one in self.found.ordered if one.tile in kept]
            if hidden := rows["tile"].nunique() - len(kept):
                caption = f"{hidden} left out, whose class is seen without the tile; {caption}"
            curves_figure(ordered, title, picture, caption)
            self._courses(ordered).to_csv(
                folder / f"{name}_curves.csv", index=False, float_format="%.6g"
            )
        parts += [f"![{table.title}]({picture.name})", f"*{caption}*"]
        if table.drawn:
            masks = folder / f"{name}_masks.png"
            masks_figure(self.found, title, masks, self.caption)
            parts += [f"![Masks]({masks.name})", f"*{self.caption}*"]
        compared = igos_compared(rows) if table.measures == "areas" else pd.DataFrame()
        if len(compared):
            compared.to_csv(folder / f"{name}_compared.csv", index=False, float_format="%.6g")
            parts += [
                f"## {OURS} less each other, on the same tiles",
                "Mean difference, its 95 % bootstrap interval over tiles (of ten or more), p of "
                "Wilcoxon's signed-rank test (not corrected for the number of comparisons).",
                markdown_table(compared, 4),
            ]
        report = folder / f"{name}.md"
        report.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        return report

    @staticmethod
    def _courses(ordered: Sequence[Ordered]) -> pd.DataFrame:
        """Every curve, point by point."""
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "tile": one.tile,
                        "method": one.method,
                        "mask_px": one.mask_px,
                        "share": one.curves.shares,
                        "deletion": one.curves.deletion,
                        "insertion": one.curves.insertion,
                    }
                )
                for one in ordered
            ],
            ignore_index=True,
        )
