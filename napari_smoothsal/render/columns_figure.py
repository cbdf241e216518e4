"""A picture of a comparison: the slide, then the columns over it, each with its name."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

from matplotlib.backends.backend_agg import FigureCanvasAgg

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.render.colours import coloured, over
from napari_smoothsal.render.columns_scale import columns_scale
from napari_smoothsal.render.figure import (
    HEADING_LETTERS_PER_IN,
    LETTERS_PER_IN,
    PANEL_IN,
    SEE_TITLES,
    TITLE_LETTERS_PER_IN,
    add_legend,
    add_scale_bar,
    paled_picture,
    panels,
    pixel_centres,
    region_picture,
    sampled,
)
from napari_smoothsal.render.marks import marks_on
from napari_smoothsal.render.standing_out import standing_out
from napari_smoothsal.render.words import (
    BELOW,
    GREY,
    GREY_OF_A_PART,
    RESEARCH_ONLY,
    UNREADABLE,
    at_zero,
    drawn_in_words,
    legend,
    plain,
    target_in_words,
)
from napari_smoothsal.runs import ComparedMap, Comparison
from napari_smoothsal.runs.above_null import above_null
from napari_smoothsal.runs.tile_states import tile_states
from napari_smoothsal.slides import Slide


def columns_figure(
    slide: Slide, comparison: Comparison, path: str | Path, *, one_scale: bool = True
) -> None:
    """Write a picture of a comparison.

    Parameters
    ----------
    slide
        The slide that it is of.
    comparison
        From `compare`, or `Comparison.of` a run.
    path
        PNG, PDF or SVG file.
    one_scale
        The same value as full colour in all columns whose values compare; else each has its own.

    Raises
    ------
    SettingError
        If nothing is compared.
    """
    columns, path = comparison.columns, Path(path)
    if not columns:
        raise SettingError("columns = (), nothing is compared yet; wait for the first column")
    scale, region = columns_scale(comparison), columns[0].run.region
    picture, damaged = region_picture(slide, region)
    paled = paled_picture(picture)
    paled[damaged] = picture[damaged]
    palette = standing_out(columns[0].run.overview[0])
    alike = len({legend(column.map) for column in columns}) == 1
    titles = [
        _title(column, label, alike)
        for column, label in zip(columns, comparison.labels, strict=True)
    ]
    centres = pixel_centres(region, picture.shape[:2])
    marks = [
        marks_on(
            tile_states(column.run, column.map),
            *centres,
            (column.run.tiles["status"] == "failed").to_numpy(),
        )
        for column in columns
    ]
    said = _said(comparison, scale.said(one_scale), [x for one in marks for x in one.in_words])
    if damaged.any():
        said.append(UNREADABLE)
    said.append(RESEARCH_ONLY)
    width_in = (1 + len(columns)) * PANEL_IN
    lines = [part for line in said for part in wrap(line, int(LETTERS_PER_IN * width_in))]
    title_lines = max(title.count("\n") + 1 for title in titles)
    figure, axes = panels(1, 1 + len(columns), title_lines, len(lines))
    axes[0, 0].imshow(picture)
    axes[0, 0].set_title("slide", fontsize=10)
    width_px = picture.shape[1]
    add_scale_bar(axes[0, 0], slide.require_mpp()[1] * region[2] / width_px, width_px)
    used = scale.used(one_scale)
    for axis, column, limit, mark, title in zip(
        axes[0, 1:], columns, used, marks, titles, strict=True
    ):
        values = sampled(column.map, column.run.mpp, region, picture.shape[:2])
        if scale.calibrated and (null := above_null(column.run, column.map)):
            values = null.blanked(values, *centres)
        axis.imshow(over(paled, coloured(values, limit, palette)))
        mark.draw(axis)
        axis.set_title(title, fontsize=9)
    for axis in axes.flat:
        axis.set_axis_off()
    first = columns[0].map
    zero = BELOW if scale.calibrated else at_zero(first) if alike else "zero"
    ends = legend(first) if alike else (f"+ {SEE_TITLES}", f"\u2212 {SEE_TITLES}")
    add_legend(figure, ends, palette, lines, zero)
    heading = wrap(_heading(comparison), int(HEADING_LETTERS_PER_IN * width_in))
    figure.suptitle("\n".join(heading), fontsize=12 if len(heading) == 1 else 9)
    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _title(column: ComparedMap, label: str, alike: bool) -> str:
    """A column's name, how fine and how rough it is, and what its signs mean where they differ."""
    rough = column.total_variation
    lines = [
        label,
        f"{column.map.scale_um[0]:.3g} \u00b5m/px, "
        + ("no total variation" if rough is None else f"total variation {rough:.2f}"),
    ]
    if not alike:
        supports, against = legend(column.map)
        lines.append(f"+ {supports}" + (f", \u2212 {against}" if against else ""))
    fitting = int(TITLE_LETTERS_PER_IN * PANEL_IN)
    return "\n".join(part for line in lines for part in wrap(line, fitting))


def _said(comparison: Comparison, scale: str, marked: list[str]) -> list[str]:
    """Lines below the colours."""
    columns = comparison.columns
    drawn = dict.fromkeys(
        words for column in columns for words in drawn_in_words(column.run, column.map)
    )
    x, y, w, h = (f"{round(n):,}" for n in columns[0].run.region)
    return [
        scale,
        *drawn,
        *dict.fromkeys(marked),
        f"shown: {w} x {h} px of the slide's finest level, from x = {x}, y = {y}",
        GREY_OF_A_PART if columns[0].run.of_a_part else GREY,
    ]


def _heading(comparison: Comparison) -> str:
    """What the columns have in common."""
    columns = comparison.columns
    parts = [
        [str(column.model["name"]) for column in columns],
        [column.map.spec.layer_label for column in columns],
        [plain(column.map.spec.denoising_label) for column in columns],
        [plain(column.map.spec.method_label) for column in columns],
        [target_in_words(column.run, column.map) for column in columns],
    ]
    common = [names[0] for names in parts if len(set(names)) == 1]
    return ", ".join(common) + ", compared" if common else "Compared"
