"""Tables for the terminal."""

from __future__ import annotations

from rich.table import Table

from napari_smoothsal.render.words import plain
from napari_smoothsal.runs import Run


def total_variation_table(run: Run) -> Table:
    """Total variation of a run's maps, one row per layer, one column per denoising and method.

    Mean and standard deviation over tiles, of the raw maps before channels are combined; below,
    the mean relative standard error of a map over its noise samples, where there are some.
    """
    columns: dict[tuple[str, str, str], None] = {}
    rows: dict[str, dict[tuple[str, str, str], str]] = {}
    tiles = run.tiles
    for key, run_map in run.maps.items():
        spec = run_map.spec
        column = (plain(spec.denoising), plain(spec.method), run_map.target)
        columns[column] = None
        values = tiles[f"tv_{key}"].dropna()
        text = f"{values.mean():.2f} +- {values.std(ddof=0):.2f}" if len(values) else "-"
        errors = tiles[f"se_{key}"].dropna()
        if len(errors):
            text += f"\nse {100 * errors.mean():.0f} %"
        rows.setdefault(spec.layer, {})[column] = text
    table = Table(
        title="total variation, mean +- std over tiles; less is smoother, white noise has 2.8",
        caption="se: relative standard error of a map over its noise samples",
    )
    table.add_column("layer")
    for denoising, method, target in columns:
        table.add_column(f"{denoising}\n{method}, {target}", justify="right")
    for layer, cells in rows.items():
        table.add_row(layer, *(cells.get(column, "") for column in columns))
    return table
