"""Pictures of one tile's maps: rows of layers, columns of denoisings, each map at its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from napari_smoothsal.evaluation.panels import Panel, TilePanels
from napari_smoothsal.render.colour_bar import draw_colour_bar
from napari_smoothsal.render.colours import coloured
from napari_smoothsal.render.limits import PERCENTILE
from napari_smoothsal.render.words import RESEARCH_ONLY, captions, plain

PANEL_IN, GAP_IN, SIDE_IN, UNDER_IN, HEAD_IN, LEGEND_IN = 2.2, 0.1, 0.5, 0.3, 0.3, 0.6
"""Inches."""

_LINE_IN, _SIGNS_PER_IN = 0.17, 14.5
"""Of text of 8.5 points."""
_TITLE_LINE_IN, _TITLE_SIGNS_PER_IN = 0.22, 11.5
"""Of text of 11 points."""


def panels_figure(tile: TilePanels, path: Path, *, overlaid: bool = False) -> None:
    """Draw a tile and its maps.

    Parameters
    ----------
    tile
        The tile, and one map for each layer and denoising.
    path
        PNG, PDF or SVG file.
    overlaid
        Lay the maps over the tile in grey, rather than over white.
    """
    layers = list(dict.fromkeys(panel.layer for panel in tile.panels))
    denoisings = list(dict.fromkeys(panel.denoising for panel in tile.panels))
    width = SIDE_IN + (1 + len(denoisings)) * (PANEL_IN + GAP_IN)
    title = _wrapped(_title(tile), (width - 2 * GAP_IN) * _TITLE_SIGNS_PER_IN)
    caption = _wrapped(_caption(tile, overlaid), (width - 2 * GAP_IN) * _SIGNS_PER_IN)
    top = GAP_IN + _TITLE_LINE_IN * (1 + title.count("\n")) + HEAD_IN
    foot = GAP_IN + _LINE_IN * (1 + caption.count("\n")) + LEGEND_IN
    height = top + len(layers) * (PANEL_IN + UNDER_IN) + foot
    figure = Figure(figsize=(width, height), dpi=150)
    FigureCanvasAgg(figure)

    def axes_at(row: int, column: int) -> Axes:
        left = SIDE_IN + column * (PANEL_IN + GAP_IN)
        bottom = height - top - row * (PANEL_IN + UNDER_IN) - PANEL_IN
        return figure.add_axes(
            (left / width, bottom / height, PANEL_IN / width, PANEL_IN / height),
            label=f"{row} {column}",
        )

    for row, layer in enumerate(layers):
        axis = axes_at(row, 0)
        axis.imshow(tile.picture)
        _frame(axis, tile.picture)
        step = next(panel.stride for panel in tile.panels if panel.layer == layer)
        axis.set_ylabel(_row_name(layer, step), fontsize=9, parse_math=False)
        if row == 0:
            axis.set_title("tile", fontsize=9.5)
    for panel in tile.panels:
        row, column = layers.index(panel.layer), 1 + denoisings.index(panel.denoising)
        axis = axes_at(row, column)
        _draw(axis, panel, tile.picture, overlaid)
        if row == 0:
            axis.set_title(plain(panel.denoising), fontsize=9.5)
    figure.text(
        0.5, 1 - GAP_IN / height, title,
        ha="center", va="top", fontsize=11, parse_math=False,
    )  # fmt: skip
    figure.text(
        0.5, GAP_IN / height, caption,
        ha="center", va="bottom", fontsize=8.5, parse_math=False,
    )  # fmt: skip
    _add_legend(figure, tile, (foot - LEGEND_IN + 0.36) / height)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def write_panels(tiles: Sequence[TilePanels], folder: Path) -> list[str]:
    """Write all pictures into ``folder / "panels"``; returns paragraphs for the report."""
    parts = [
        "## Figures 5 to 8: maps",
        "Rows are layers, columns denoisings. Full colour is another value in each panel, as "
        "magnitudes differ between denoisings; TV is total variation. The first picture of each "
        "shows the maps alone, the second the same over the tile.",
    ]
    for tile in tiles:
        stem = f"{tile.number}_{_safe(tile.label)}_{tile.method}"
        parts.append(
            f"Tile {tile.number}, `{_shown(tile.tile).replace('`', '_')}`, labelled {tile.label}; "
            f"{plain(tile.method)}; {tile.said}:"
        )
        for ending, overlaid in (("", False), ("_over_tile", True)):
            panels_figure(tile, folder / "panels" / f"{stem}{ending}.png", overlaid=overlaid)
            parts.append(f"![Maps of tile {tile.number}](panels/{stem}{ending}.png)")
    return parts


def panel_limit(values: NDArray[np.floating]) -> float:
    """Magnitude of full colour: the 99th percentile of a panel's own; 1 where it is all zero."""
    magnitudes = np.abs(values[np.isfinite(values)])
    if not magnitudes.any():
        return 1.0
    # Of a map that is zero but for a few pixels the percentile is zero, too.
    return float(np.percentile(magnitudes, PERCENTILE)) or float(magnitudes.max())


def _draw(axis: Axes, panel: Panel, picture: NDArray[np.uint8], overlaid: bool) -> None:
    height, width = panel.values.shape
    left, right = (panel.centre[1] + (n - 0.5) * panel.stride[1] for n in (0, width))
    upper, lower = (panel.centre[0] + (n - 0.5) * panel.stride[0] for n in (0, height))
    extent = (left, right, lower, upper)
    if overlaid:
        grey = 255 - (255 - picture.mean(-1)) * 0.6  # paled, so that colours are seen
        axis.imshow(grey, cmap="gray", vmin=0, vmax=255)
    else:
        axis.set_facecolor("0.86")
        white = np.ones((1, 1, 3))
        axis.imshow(white, extent=extent)
    overlay = coloured(panel.values, panel_limit(panel.values))
    if overlaid:
        overlay[..., 3] *= 0.75
    axis.imshow(overlay, extent=extent)
    _frame(axis, picture)
    note = f"TV {panel.tv:.2f}" if panel.values.any() else "zero everywhere"
    axis.set_xlabel(f"{note} *" if any(panel.moved) else note, fontsize=9, labelpad=3)


def _frame(axis: Axes, picture: NDArray[np.uint8]) -> None:
    height, width = picture.shape[:2]
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(color="0.6", linewidth=0.6)


def _add_legend(figure: Figure, tile: TilePanels, bottom: float) -> None:
    label = _shown(tile.label, int(0.2 * figure.get_figwidth() * _SIGNS_PER_IN))
    place = figure.add_axes((0.1, bottom, 0.8, 0.12 / figure.get_figheight()), label="legend")
    draw_colour_bar(place, captions(tile.verbs, label), "no influence", fontsize=8.5)


def _title(tile: TilePanels) -> str:
    label = _shown(tile.label)
    return (
        f"{tile.model}: maps of \u201c{label}\u201d, {plain(tile.method)}\n"
        f"{_shown(tile.tile)}, labelled {label}; {tile.said}"
    )


def _caption(tile: TilePanels, overlaid: bool) -> str:
    notes = ["Values are summed over channels. TV: total variation of the raw map."]
    if not overlaid:
        notes.append("Grey rims: the map has no px there.")
    if any(any(panel.moved) for panel in tile.panels):
        notes.append("*: laid back by as much as the denoising moves the map.")
    return (
        f"Full colour: {PERCENTILE:.0f}th percentile of the magnitudes of each panel alone. They "
        "differ between denoisings, so colours of two panels do not compare.\n"
        f"{' '.join(notes)}\n{RESEARCH_ONLY}"
    )


def _row_name(layer: str, stride: tuple[float, float]) -> str:
    steps = " x ".join(f"{s:g}" for s in dict.fromkeys(stride))
    # Dotted names of several modules are longer than a panel is high.
    name = layer if len(layer) <= 24 else "\u2026" + layer[-23:]
    return f"{_shown(name)}\n1 px is {steps} px of the tile"


def _shown(name: str, longest: int = 80) -> str:
    """A name that any font and file takes, of bearable length."""
    printable = "".join(c if c.isprintable() else "?" for c in name)
    half = longest // 2
    if len(printable) <= longest:
        return printable
    return f"{printable[: half - 1]}\u2026{printable[-half:]}"


def _safe(name: str) -> str:
    """A name as part of a file's, and of a link."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", name)


def _wrapped(text: str, signs: float) -> str:
    return "\n".join(fill(line, max(20, int(signs))) for line in text.splitlines())
