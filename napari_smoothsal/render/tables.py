"""Tables for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from napari_smoothsal.render.words import plain
from napari_smoothsal.runs import Run

if TYPE_CHECKING:
    import pandas as pd

    from napari_smoothsal.evaluation.overlap import Overlap


_BOUNDLESS = 10_000


def total_variation_table(run: Run, width: int | None = None) -> Table:
    """Total variation of a run's maps, one row per layer, one column per denoising and method.

    Where they are too many for a terminal of so many letters (None: this one), one row per map.

    Mean and standard deviation over tiles, of the raw maps before channels are combined (of the
    channel, where one was chosen); below,
    the mean relative standard error of a map over its noise samples, where there are some.
    """
    drawn = False
    columns: dict[tuple[str, str, str], None] = {}
    rows: dict[str, dict[tuple[str, str, str], str]] = {}
    tiles = run.tiles
    for key, run_map in run.maps.items():
        spec = run_map.spec
        column = (plain(spec.denoising_label), plain(spec.method_label), run_map.target)
        columns[column] = None
        values = tiles[f"tv_{key}"].dropna()
        text = f"{values.mean():.2f} +- {values.std(ddof=0):.2f}" if len(values) else "-"
        errors = tiles[f"se_{key}"].dropna()
        if len(errors):
            drawn = True
            known = "" if len(errors) == len(values) else f" ({len(errors)} of {len(values)} tiles)"
            text += f"\nse {100 * errors.mean():.0f} %{known}"
        cells = rows.setdefault(spec.layer_label, {})
        # Maps that differ in something else, the amount of noise say, stand below each other.
        cells[column] = f"{cells[column]}\n{text}" if column in cells else text
    table = _total_variation(drawn)
    table.add_column("layer", min_width=max(map(len, rows), default=1))
    for column in columns:
        denoising, method, target = column
        texts = [line for cells in rows.values() for line in cells.get(column, "").split("\n")]
        least = max(map(len, [*texts, *f"{denoising} {method}, {target}".split()]))
        table.add_column(f"{denoising}\n{method}, {target}", justify="right", min_width=least)
    for layer, cells in rows.items():
        table.add_row(layer, *(cells.get(column, "") for column in columns))
    if fits(width or Console().width, table):
        return table
    long = _total_variation(drawn)
    for heading in ("layer", "denoising, method, target"):
        long.add_column(heading, overflow="fold")
    long.add_column("", justify="right", no_wrap=True)
    for layer, cells in rows.items():
        for (denoising, method, target), text in cells.items():
            long.add_row(layer, f"{denoising}, {method}, {target}", text)
    return long


def fits(width: int, table: Table) -> bool:
    """Whether it has room without cutting what its columns want whole."""
    boundless = Console(width=_BOUNDLESS)
    return Measurement.get(boundless, boundless.options, table).minimum <= width


def _total_variation(drawn: bool) -> Table:
    se = "se: relative standard error of a map over what it draws: noise samples, masks"
    return Table(
        title="total variation, mean +- std over tiles; less is smoother, white noise has 2.8",
        caption=se if drawn else None,
        box=SIMPLE_HEAD,
        pad_edge=False,
    )


def overlap_table(measured: Overlap) -> Table:
    """Dice of each class, pooled over all pixels and as the mean over tiles that have it."""
    table = Table(title=f"Dice against {len(measured.tables)} masks", box=SIMPLE_HEAD)
    for heading in ("class", "Dice", "mean of tiles", "tiles with it", "pixels"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for row in measured.frame().itertuples():
        dice = "-" if np.isnan(row.dice) else f"{row.dice:.3f}"
        mean = "-" if np.isnan(row.mean_dice_of_tiles) else f"{row.mean_dice_of_tiles:.3f}"
        table.add_row(row[1], dice, mean, str(row.tiles_with_class), str(row.true_px))
    return table


def localisation_tables(frame: pd.DataFrame) -> tuple[Table, Table]:
    """Two tables of what `napari_smoothsal.localisation` measured, one row per map.

    The first says whether the map is on the right nuclei, the second whether nuclei are outlined
    or filled. Intervals are beside the pixels' and the nuclei's figures; all are in the frame.
    """
    first = frame.iloc[0]
    right = _narrow(
        f"on the right nuclei? {first['class']!r} against the rest, 95 % intervals",
        "AUROC: 0.5 says nothing, below it the class has the lower values; AP against "
        f"{first['nucleus_floor']:.2f} by chance; |v|: of magnitudes",
        ("pixels\nAUROC", "\n|v|", "nuclei\nAUROC", "\n|v|", "nuclei\nAP"),
    )
    where = _narrow(
        "outlined or filled? |saliency| per area (1: as everywhere), rims of "
        f"{first['rim_um']:g} um to both sides",
        "rim / interior: of the class, (below it what maps that only outline / fill the nuclei "
        "would give at this layer's pixels); *: pixels are wider than a whole rim and always mix "
        "it with its surroundings",
        ("class\nrims", "\ninside", "other\nrims", "\ninside", "\nrim / interior"),
    )
    for _, row in frame.iterrows():
        layer = f"{row['layer']}, {row['um_per_px']:.3g} um/px"
        coarse = "" if row["rim_resolved"] else " *"
        about = f"\n{plain(row['denoising'])}\n{plain(row['method'])}\n"
        rankings = ("pixel_auroc", "nucleus_auroc")
        both = [name + ending for name in rankings for ending in ("", "_magnitude")]
        cells = [_with_interval(row, name) for name in (*both, "nucleus_ap")]
        right.add_row(layer + about, *cells)
        places = ("class_rim", "class_interior", "other_rim", "other_interior")
        cells = [f"{row[f'enrichment_magnitude_{place}']:.2f}" for place in places]
        ratio = _with_interval(row, "rim_over_interior_magnitude_class")
        ideal = f"\n({row['outlined_class']:.2f} / {row['filled_class']:.2f})"
        where.add_row(layer + coarse + about, *cells, ratio + ideal)
    return right, where


def frame_table(
    title: str, frame: pd.DataFrame, caption: str = "", width: int | None = None
) -> Table:
    """Any small frame, in a terminal of any width, with no number cut.

    Where there is no room, what is the same in all rows stands below; and if that is not enough,
    so do the names of the last columns, which the CSV has.

    Parameters
    ----------
    title, caption
        Above and below.
    frame
        Of numbers and words.
    width
        Letters of a line; None: those of this terminal.
    """
    fitting = partial(fits, width or Console().width)
    shown, below = list(frame), [caption] if caption else []
    if not fitting(_table(title, frame, 1)):
        alike = [c for c in shown if len(frame) > 1 and frame[c].astype(str).nunique() == 1]
        if alike:
            said = ", ".join(f"{plain(str(c))} {_cell(frame[c].iloc[0])}" for c in alike)
            below.append(f"in all rows: {said}")
        shown = [c for c in shown if c not in alike] or shown
    count = len(shown)
    while count > 1 and not fitting(_table(title, frame[shown[:count]], 0)):
        count -= 1
    if count < len(shown):
        below.append("only in the CSV: " + ", ".join(plain(str(c)) for c in shown[count:]))
    table = _table(title, frame[shown[:count]], 1)
    if not fitting(table):
        table = _table(title, frame[shown[:count]], 0)
    table.caption = "; ".join(below) or None
    return table


def _table(title: str, frame: pd.DataFrame, gap: int) -> Table:
    """Numbers and the words of headings whole, a gap to both sides of a column."""
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, gap), pad_edge=False)
    for name in frame.columns:
        cells = [_cell(value) for value in frame[name]]
        heading = plain(str(name)).split()
        numbers = frame[name].dtype.kind in "fiu"
        least = heading + (cells if numbers else " ".join(cells).split())
        table.add_column(
            "\n".join(heading),
            justify="right" if numbers else "left",
            min_width=max(map(len, least), default=1),
        )
    for row in frame.itertuples(index=False):
        table.add_row(*map(_cell, row))
    return table


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return plain(str(value))
    return "" if np.isnan(value) else f"{value:.2f}"


def markdown_table(table: pd.DataFrame, digits: int) -> str:
    """A frame as Markdown, numbers to so many digits; what is not known is left empty."""

    def text(value: object) -> str:
        if isinstance(value, float):
            return "" if np.isnan(value) else f"{value:.{digits}f}"
        return plain(str(value))

    head = "| " + " | ".join(plain(str(c)) for c in table.columns) + " |"
    rule = "|" + " --- |" * len(table.columns)
    rows = ["| " + " | ".join(text(v) for v in row) + " |" for row in table.itertuples(index=False)]
    return "\n".join([head, rule, *rows])


def _narrow(title: str, caption: str, headings: Sequence[str]) -> Table:
    """A table whose numbers fit into 80 columns uncut."""
    table = Table(title=title, caption=caption, box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("\nmap")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _with_interval(row: pd.Series[Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    interval = "" if low != low else f"\n{low:.2f}-{high:.2f}"
    return f"{row[name]:.2f}{interval}"
