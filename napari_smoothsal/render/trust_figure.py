"""A trust card as a picture and as Markdown."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from napari_smoothsal.attribution import METHODS
from napari_smoothsal.attribution.base import verbs_of
from napari_smoothsal.evaluation.faithful_maps import DECIDES
from napari_smoothsal.evaluation.sanity import CASCADING
from napari_smoothsal.evaluation.stability import STAIN
from napari_smoothsal.evaluation.trust import TrustCard
from napari_smoothsal.evaluation.trust_tests import (
    FAILED,
    PARTLY,
    PASSED,
    UNTESTED,
    chance_band,
)
from napari_smoothsal.render.colour_bar import draw_colour_bar
from napari_smoothsal.render.colours import coloured
from napari_smoothsal.render.figure import add_scale_bar
from napari_smoothsal.render.limits import PERCENTILE
from napari_smoothsal.render.panels_figure import panel_limit
from napari_smoothsal.render.words import RESEARCH_ONLY, captions, plain

RESULT_COLOURS = {PASSED: "#00735C", PARTLY: "#9A6A00", FAILED: "#B3261E", UNTESTED: "#777777"}
_MARKS = {PASSED: "\u2713", PARTLY: "~", FAILED: "\u2717", UNTESTED: "\u2013"}
_CURVE, _FLOOR, _ASKED = "#0072B2", "#999999", "#B3261E"
_SIZE_IN, _FOOT_SIGNS = (13.5, 8.6), 165
_BELOW_HEADING = 0.94
_NAME_PT, _LINE_PT, _GAP_PT = 13, 10, 6
"""Of what is written of a test."""


def trust_figure(card: TrustCard, path: Path) -> None:
    """Draw a trust card.

    Parameters
    ----------
    card
        From `trust_card`.
    path
        PNG, PDF or SVG file.
    """
    # The engine makes no room for a heading above subfigures whose axes keep their aspect.
    room = ConstrainedLayoutEngine(rect=(0, 0, 1, _BELOW_HEADING))
    figure = Figure(figsize=_SIZE_IN, dpi=110, layout=room)
    FigureCanvasAgg(figure)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.2, 1), squeeze=False).flat
    (tile, over, insertion, deletion), (_, bar, *_) = grid = upper.subplots(
        2, 4, height_ratios=(1, 0.03), squeeze=False
    )
    for axis in grid[1]:
        axis.set_axis_off()
    blocks, changes, table = lower.subplots(1, 3, width_ratios=(1, 0.8, 1.7))
    _draw_tile(card, tile, over)
    _draw_bar(card, bar)
    _draw_curves(card, insertion, "insertion", "share put back, most important first")
    _draw_curves(card, deletion, "deletion", "share taken away, most important first")
    _draw_blocks(card, blocks)
    _draw_changes(card, changes)
    _draw_tests(card, table)
    spec = card.spec
    figure.suptitle(
        f"{plain(card.model)}: map of \u201c{card.target}\u201d (the model gives it "
        f"{card.probability:.2f}) at {spec.layer_label}, {plain(spec.method_label)}, "
        f"{plain(spec.denoising_label)}",
        y=0.99,
        fontsize=12,
        parse_math=False,
    )
    figure.supxlabel(
        fill(card.verdict, _FOOT_SIGNS) + f"\n{RESEARCH_ONLY}", fontsize=9.5, parse_math=False
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def trust_markdown(card: TrustCard, picture: str | None = None) -> str:
    """A trust card as Markdown.

    Parameters
    ----------
    card
        From `trust_card`.
    picture
        File to show.
    """
    spec = card.spec
    rows = [
        f"| {t.name} | {t.question} | {t.found} | {t.threshold} | **{t.result}** |"
        for t in card.tests
    ]
    label = "" if card.label is None else f" The tile is {card.label!r}."
    road = ""
    if card.how.road:
        road = f", ROAD {card.road:.3f} (a random order: {card.random_road:.3f}; more is better)"
    parts = [
        f"# Trust card: {plain(card.model)}, {card.tile}",
        f"Map of {card.target!r} at {spec.layer_label}, {plain(spec.method_label)}, "
        f"{plain(spec.denoising_label)}, {spec.samples} noise samples. The model predicts "
        f"{card.predicted!r} and gives {card.target!r} {card.probability:.3f}.{label}",
        card.verdict,
        "\n".join(["| test | question | found | asked for | result |", "|" + " --- |" * 5, *rows]),
        f"Without a threshold: total variation {card.tv:.2f} (white noise has 2.8){road}.",
    ]
    if picture is not None:
        parts.append(f"![Trust card]({picture})")
    return "\n\n".join([*parts, RESEARCH_ONLY.capitalize() + "."]) + "\n"


def write_trust(card: TrustCard, folder: Path) -> list[Path]:
    """Write trust.json, trust.md and trust.png; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"trust.{suffix}" for suffix in ("json", "md", "png")]
    files[0].write_text(card.to_json() + "\n", encoding="utf-8")
    files[1].write_text(trust_markdown(card, files[2].name), encoding="utf-8")
    trust_figure(card, files[2])
    return files


def _draw_tile(card: TrustCard, tile: Axes, over: Axes) -> None:
    picture = np.moveaxis(card.image, 0, -1)
    if picture.shape[-1] != 3:
        picture = np.repeat(picture[..., :1], 3, axis=-1)
    tile.imshow(picture)
    tile.set_title("tile", fontsize=10)
    tile.set_xlabel(fill(card.tile, 38), fontsize=8.5, parse_math=False)
    if card.um_per_px is not None:
        add_scale_bar(tile, card.um_per_px, picture.shape[1])
    grey = 255 - (255 - picture.mean(-1)) * 0.6
    over.imshow(grey, cmap="gray", vmin=0, vmax=255)
    (height, width), places = card.values.shape, card.places
    left, right = (places.centre[1] + (n - 0.5) * places.stride[1] for n in (0, width))
    top, bottom = (places.centre[0] + (n - 0.5) * places.stride[0] for n in (0, height))
    colours = coloured(card.values, panel_limit(card.values))
    over.imshow(colours, extent=(left, right, bottom, top))
    over.set_title("its map", fontsize=10)
    for axis in (tile, over):
        axis.set(xlim=(-0.5, picture.shape[1] - 0.5), ylim=(picture.shape[0] - 0.5, -0.5))
        axis.set(xticks=[], yticks=[])


def _draw_bar(card: TrustCard, axis: Axes) -> None:
    axis.set_axis_on()
    ends = captions(verbs_of(card.spec), _short(card.target, 18))
    if not METHODS[card.spec.method].of_the_target:
        ends = verbs_of(card.spec)
    bar = draw_colour_bar(axis, ends, "", fontsize=8)
    sign = "\u00b1" if ends[1] else ""
    bar.set_label(
        f"full colour: {sign}{panel_limit(card.values):.2g}, the {PERCENTILE:.0f}th percentile\n"
        "of this map's magnitudes; clear: no influence",
        fontsize=8,
    )


def _draw_curves(card: TrustCard, axis: Axes, name: str, below: str) -> None:
    own = getattr(card.curves, name).numpy()
    random = np.stack([getattr(c, name).numpy() for c in card.random_curves])
    share = np.linspace(0, 1, len(own))
    axis.fill_between(share, random.min(0), random.max(0), color=_FLOOR, alpha=0.35,
                      label=f"{len(random)} random orders", linewidth=0)  # fmt: skip
    axis.plot(share, own, color=_CURVE, linewidth=1.8, label=f"{name} by the map")
    axis.set(xlim=(0, 1), ylim=(-0.02, 1.02))
    axis.set_box_aspect(1)
    axis.set_xlabel(below, fontsize=8.5)
    axis.set_ylabel(f"probability of \u201c{_short(card.target, 18)}\u201d", fontsize=8.5)
    _add_legend_above(axis)
    axis.grid(alpha=0.25)


def _draw_blocks(card: TrustCard, axis: Axes) -> None:
    frame = card.randomisation.similarities
    frame = frame[frame["order"] == CASCADING]
    names = frame.sort_values("depth").drop_duplicates("depth")
    by_depth = frame.groupby("depth")[DECIDES]
    low, high = chance_band(card.randomisation)
    if np.isfinite(low):
        axis.axhspan(low, high, color=_FLOOR, alpha=0.35, linewidth=0, label="chance, 95 %")
        axis.axhline(high, color=_ASKED, linestyle="--", linewidth=1)
    mean = by_depth.mean()
    axis.fill_between(mean.index, by_depth.min(), by_depth.max(), color=_CURVE, alpha=0.2)
    axis.plot(mean.index, mean, color=_CURVE, marker="o", markersize=3,
              label=f"{card.how.copies} random copies")  # fmt: skip
    axis.plot(mean.index[-1:], mean.iloc[-1:], "o", markersize=9, color=_ASKED,
              markerfacecolor="none", label="decides")  # fmt: skip
    axis.set_ylim(min(-0.3, float(by_depth.min().min()) - 0.05), 1.05)
    axis.set_xticks(list(names["depth"]), list(names["block"]), rotation=60, ha="right", fontsize=7)
    axis.set_ylabel("rank correlation with the map", fontsize=8.5)
    axis.set_title("random from the output to ...", fontsize=10, pad=20)
    _add_legend_above(axis)
    axis.grid(alpha=0.25)


def _draw_changes(card: TrustCard, axis: Axes) -> None:
    names, values = [], []
    for row in card.stability.itertuples():
        first, second = row.by
        if row.change == STAIN:
            names.append(f"H {first:.0%}, E {second:.0%}")
        else:
            names.append(f"moved {first:+.0f}, {second:+.0f} px")
        values.append(float(getattr(row, DECIDES)))
    places = np.arange(len(names))
    axis.barh(places, np.nan_to_num(values), color=_CURVE, height=0.6)
    axis.axvline(card.how.least_correlation, color=_ASKED, linestyle="--", linewidth=1)
    axis.set_yticks(places, names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(min(0.0, *values), 1) if np.isfinite(values).all() else axis.set_xlim(0, 1)
    axis.set_title("tile changed a little", fontsize=10)
    axis.set_xlabel("rank correlation with the map", fontsize=8.5)


def _draw_tests(card: TrustCard, axis: Axes) -> None:
    axis.set_axis_off()
    down = 0.0
    for test in card.tests:
        colour, asked = RESULT_COLOURS[test.result], f"; asked for: {test.threshold}"
        said = fill(test.found + ("" if test.result == UNTESTED else asked), 86)
        for x, below, text, style in (
            (0.0, 0, _MARKS[test.result], {"color": colour, "fontsize": 14}),
            (0.06, 0, f"{test.name}: {test.result}", {"color": colour, "weight": "bold"}),
            (0.06, _NAME_PT, said, {"fontsize": 8}),
        ):
            axis.annotate(
                text, (x, 1), (0, -down - below), xycoords="axes fraction",
                textcoords="offset points", va="top", parse_math=False, **style,
            )  # fmt: skip
        down += _NAME_PT + _LINE_PT * (1 + said.count("\n")) + _GAP_PT


def _add_legend_above(axis: Axes) -> None:
    """Not over the curves, wherever they run; in one line."""
    count = len(axis.get_legend_handles_labels()[0])
    axis.legend(fontsize=8, edgecolor="none", ncols=count, loc="lower center", columnspacing=1,
                handlelength=1.5, bbox_to_anchor=(0.5, 1), borderaxespad=0.1)  # fmt: skip


def _short(name: str, longest: int = 34) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}\u2026"
