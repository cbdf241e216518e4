"""Figures for people: maps over the slide, side by side, with legend and scale bar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from numpy.typing import NDArray

from napari_smoothsal.core.checks import MOST_ERROR
from napari_smoothsal.render.colour_bar import draw_colour_bar
from napari_smoothsal.render.colours import Palette, coloured, over
from napari_smoothsal.render.limits import ColourLimit, colour_limit, is_calibrated, said_of
from napari_smoothsal.render.marks import marks_on
from napari_smoothsal.render.standing_out import standing_out
from napari_smoothsal.render.words import (
    BELOW,
    GREY,
    GREY_OF_A_PART,
    LIMITS_UNUSED,
    RESEARCH_ONLY,
    UNREADABLE,
    at_zero,
    drawn_in_words,
    legend,
    plain,
    target_in_words,
)
from napari_smoothsal.runs import Run, RunMap
from napari_smoothsal.runs.above_null import above_null
from napari_smoothsal.runs.tile_states import tile_states
from napari_smoothsal.slides import Box, Slide
from napari_smoothsal.slides.damage import read_around_damage

Region = tuple[int, int, int, int]

PANEL_PX = 640
DARK_GREY = (96, 96, 96)
"""Of what cannot be read: darker than the veil over what is not computed, and without structure."""
PANEL_IN, GAP_IN, TOP_IN, LEGEND_IN, LINE_IN = 3.0, 0.1, 0.4, 0.7, 0.15
"""Inches; a title and the legend have so many lines as they need."""
LETTERS_PER_IN, TITLE_LETTERS_PER_IN, HEADING_LETTERS_PER_IN = 16, 14, 10
SEE_TITLES = "(see above each map)"


def comparison_figure(
    slide: Slide,
    run: Run,
    rows: Sequence[Sequence[str]],
    region: Region,
    path: Path,
    limit: ColourLimit | None = None,
    calibrated: bool = True,
) -> None:
    """Write a picture of one region: the slide, then maps over it, one row per denoising.

    Parameters
    ----------
    slide, run
        The run and the slide it was made of.
    rows
        Map keys, one sequence per row.
    region
        (x, y, w, h), level-0 px.
    path
        PNG, PDF or SVG file. What cannot be read of the slide is dark grey there.
    limit
        Of full colour in all maps; None: see `colour_limit`.
    calibrated
        Show only what exceeds the maps' limits, if all of them have useful ones: a map that is cut
        off beside one that is not would look the cleaner for it.
    """
    picture, damaged = region_picture(slide, region)
    paled = np.where(damaged[..., None], picture, paled_picture(picture))
    palette = standing_out(run.overview[0])
    maps = {key: run.maps[key] for keys in rows for key in keys}
    first = next(iter(maps.values()))
    alike = all(legend(run_map) == legend(first) for run_map in maps.values())
    every = all(map(is_calibrated, maps.values()))
    used = {n: limit or colour_limit(m, calibrated and every) for n, m in maps.items()}
    titles = {key: _title(run_map, alike) for key, run_map in maps.items()}
    words = {
        n: [
            used[n].in_words,
            *([] if calibrated and not every and is_calibrated(m) else said_of(m, calibrated)),
            *drawn_in_words(run, m),
            *_uncertain(run, n),
        ]
        for n, m in maps.items()
    }
    columns = 1 + max(len(row) for row in rows)
    cut = calibrated and any(map(is_calibrated, maps.values())) and not every
    calibrated &= every
    centres = pixel_centres(region, picture.shape[:2])
    failed = (run.tiles["status"] == "failed").to_numpy()
    marks = {key: marks_on(tile_states(run, m), *centres, failed) for key, m in maps.items()}
    more = [LIMITS_UNUSED] if cut else []
    more += [UNREADABLE] if damaged.any() else []
    more += dict.fromkeys(line for one in marks.values() for line in one.in_words)
    said = _said(words, run, columns, *more, *_where(run, region))
    title_lines = max(title.count("\n") + 1 for title in titles.values())
    figure, axes = panels(len(rows), columns, title_lines, len(said) + 1)
    for row, keys in zip(axes, rows, strict=True):
        row[0].imshow(picture)
        row[0].set_title("slide", fontsize=10)
        width_px = picture.shape[1]
        add_scale_bar(row[0], slide.require_mpp()[1] * region[2] / width_px, width_px)
        for axis, key in zip(row[1:], keys, strict=False):
            run_map = maps[key]
            values = sampled(run_map, run.mpp, region, picture.shape[:2])
            if calibrated and (null := above_null(run, run_map)):
                values = null.blanked(values, *centres)
            # Paled, so that the tissue is seen and does not compete with the colours.
            axis.imshow(over(paled, coloured(values, used[key].value, palette)))
            marks[key].draw(axis)
            axis.set_title(titles[key], fontsize=9)
    for axis in axes.flat:
        axis.set_axis_off()
    zero = BELOW if calibrated else at_zero(first) if alike else "zero"
    ends = legend(first) if alike else (f"+ {SEE_TITLES}", f"\u2212 {SEE_TITLES}")
    said.append(RESEARCH_ONLY)
    add_legend(figure, ends, palette, said, zero)
    targets = list(dict.fromkeys(target_in_words(run, m) for m in maps.values()))
    title = f"Model {run.provenance['model']['name']}, maps of {' and '.join(targets)}"
    lines = wrap(title, int(HEADING_LETTERS_PER_IN * columns * PANEL_IN))
    figure.suptitle("\n".join(lines), fontsize=12 if len(lines) == 1 else 9)
    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def run_figure(slide: Slide, run: Run, path: Path) -> None:
    """Write a picture of all maps of a run: one row per denoising, over all that was explained.

    Parameters
    ----------
    slide, run
        The run and the slide it was made of.
    path
        PNG, PDF or SVG file.
    """
    rows: dict[str, list[str]] = {}
    for key, run_map in run.maps.items():
        rows.setdefault(run_map.spec.denoising_label, []).append(key)
    comparison_figure(slide, run, list(rows.values()), run.region, path)


def sampled(
    run_map: RunMap, mpp: tuple[float, float], region: Region, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """A map's values at the pixels of a picture of a region: nearest layer pixel, by placement.

    Parameters
    ----------
    run_map, mpp
        The map, and the slide's micrometres per level-0 px, (y, x).
    region
        (x, y, w, h), level-0 px, that the picture shows.
    shape
        (h, w) of the picture.
    """
    level = run_map.levels[0]
    indices = []
    for axis, pixels in enumerate(pixel_centres(region, shape)):
        place = (pixels * mpp[axis] - run_map.translate_um[axis]) / run_map.scale_um[axis]
        indices.append(np.rint(place).astype(int))
    inside = [(i >= 0) & (i < n) for i, n in zip(indices, level.shape, strict=True)]
    low = [max(0, int(i.min())) for i in indices]
    high = [min(n, int(i.max()) + 1) for i, n in zip(indices, level.shape, strict=True)]
    values = np.full(shape, np.nan)
    if low[0] < high[0] and low[1] < high[1]:
        crop = np.asarray(level[low[0] : high[0], low[1] : high[1]])
        rows, columns = indices[0][inside[0]] - low[0], indices[1][inside[1]] - low[1]
        values[np.ix_(inside[0], inside[1])] = crop[np.ix_(rows, columns)]
    return values


def pixel_centres(
    region: Region, shape: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(h,) and (w,) level-0 px at which the pixels of a picture of a region are centred."""
    y, x = (
        start + (np.arange(count) + 0.5) * size / count - 0.5
        for start, size, count in zip(region[1::-1], region[:1:-1], shape, strict=True)
    )
    return y, x


def region_picture(slide: Slide, region: Region) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pixels (h, w, 3) of a region of `PANEL_PX` at most, and (h, w) which cannot be read."""
    x, y, w, h = region
    scale = min(1.0, PANEL_PX / max(w, h))
    width, height = max(1, round(w * scale)), max(1, round(h * scale))
    across, down = w / width, h / height

    def read(left: int, top: int, columns: int, rows: int) -> NDArray[np.uint8]:
        part = Box(x + left * across, y + top * down, columns * across, rows * down)
        return slide.read_box(part, (columns, rows))

    return read_around_damage(read, (height, width), DARK_GREY)


def paled_picture(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (h, w, 3) that does not compete with the colours of a map over it."""
    grey = picture.mean(-1, keepdims=True)
    return np.asarray(255 - (255 - (0.5 * grey + 0.5 * picture)) * 0.6, dtype=np.uint8)


def add_scale_bar(axis: Axes, um_per_px: float, width_px: int) -> None:
    """Of about a quarter of a picture that is so many px wide, in its lower left corner."""
    target = width_px * um_per_px / 4
    nice = 10 ** np.floor(np.log10(target))
    length = max(n * nice for n in (1, 2, 5) if n * nice <= target)
    axis.add_artist(
        AnchoredSizeBar(
            axis.transData,
            length / um_per_px,
            f"{length:g} \u00b5m",
            "lower left",
            size_vertical=width_px * 0.008,
            pad=0.4,
            borderpad=0.5,
            sep=3,
            frameon=True,
        )
    )


def _title(run_map: RunMap, alike: bool) -> str:
    """What a map is, in lines that fit its panel; with what its signs mean where maps differ."""
    spec, step = run_map.spec, run_map.scale_um[0]
    lines = [
        f"{spec.layer_label} ({step:.3g} \u00b5m/px), {plain(spec.denoising_label)}",
        plain(spec.method_label),
    ]
    if not alike:
        supports, against = legend(run_map)
        lines.append(f"+ {supports}" + (f", \u2212 {against}" if against else ""))
    fitting = int(TITLE_LETTERS_PER_IN * PANEL_IN)
    return "\n".join(part for line in lines for part in wrap(line, fitting))


def _uncertain(run: Run, key: str) -> list[str]:
    """How much of a map is chance, where that is much."""
    error = float(run.tiles[f"se_{key}"].median())
    if not error > MOST_ERROR:
        return []
    return [f"drawn anew it would differ by about {100 * error:.0f} % (standard error)"]


def _where(run: Run, region: Region) -> list[str]:
    """Which part of the slide is shown, where it is a part."""
    slide = run.provenance["slide"]
    if region == (0, 0, slide["width"], slide["height"]):
        return []
    x, y, w, h = (f"{round(n):,}" for n in region)
    return [f"shown: {w} x {h} px of the slide's finest level, from x = {x}, y = {y}"]


def _said(words: dict[str, list[str]], run: Run, columns: int, *more: str) -> list[str]:
    """Lines below the colours: of all maps what they have in common, of each what is its own."""
    shared = [one for one in next(iter(words.values())) if all(one in w for w in words.values())]
    lines = ["; ".join(shared)] if shared else []
    for key, said in words.items():
        spec = run.maps[key].spec
        name = f"{spec.layer_label}, {plain(spec.denoising_label)}, {plain(spec.method_label)}"
        if own := [one for one in said if one not in shared]:
            lines.append(f"{name}: {'; '.join(own)}")
    lines += [*more, GREY_OF_A_PART if run.of_a_part else GREY]
    letters = int(LETTERS_PER_IN * columns * PANEL_IN)
    return [part for line in lines for part in wrap(line, letters)]


def panels(
    rows: int, columns: int, title_lines: int, legend_lines: int
) -> tuple[Figure, NDArray[Any]]:
    """A figure of square panels with room for titles, the suptitle and the legend."""
    title_in, legend_in = 0.12 + LINE_IN * title_lines, LEGEND_IN + LINE_IN * legend_lines
    width = columns * (PANEL_IN + GAP_IN) + GAP_IN
    height = TOP_IN + rows * (PANEL_IN + title_in) + legend_in
    figure = Figure(figsize=(width, height), dpi=150)
    axes = np.empty((rows, columns), object)
    for row in range(rows):
        bottom = legend_in + (rows - 1 - row) * (PANEL_IN + title_in)
        for column in range(columns):
            left = GAP_IN + column * (PANEL_IN + GAP_IN)
            place = (left / width, bottom / height, PANEL_IN / width, PANEL_IN / height)
            axes[row, column] = figure.add_axes(place)
    return figure, axes


def add_legend(
    figure: Figure, ends: tuple[str, str], palette: Palette, said: list[str], zero: str
) -> None:
    """Draw the colour bar with the captions of its ends and of zero, and what is said below."""
    height = figure.get_figheight()
    above = 0.4 + LINE_IN * len(said)
    place = figure.add_axes((0.1, above / height, 0.8, 0.14 / height))
    bar = draw_colour_bar(place, ends, zero, palette)
    bar.set_label("\n".join(said), fontsize=8)
