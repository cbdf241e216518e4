"""The colour bar of a figure: from what speaks against, or from zero, to what speaks for."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.text import Text

from napari_smoothsal.render.colours import AMBER_TEAL, Palette, bar_stops

_GAP = 0.03
"""Between captions, of the bar's width."""


def draw_colour_bar(
    axis: Axes,
    captions: tuple[str, str],
    zero: str,
    palette: Palette = AMBER_TEAL,
    fontsize: float = 10,
) -> Colorbar:
    """Fill an axis with a bar, and write below what its ends stand for.

    Parameters
    ----------
    axis
        Wide and low.
    captions
        Of the positive and the negative end; the bar begins at zero where the latter is empty.
    zero
        Caption of no colour.
    palette, fontsize
        How it looks.
    """
    supports, against = captions
    ticks = {-1: against, 0: zero, 1: supports} if against else {0: zero, 1: supports}
    stops = bar_stops(palette.stops, one_sided=not against)
    on_white = [(at, [alpha * c + 1 - alpha for c in rgb]) for at, (*rgb, alpha) in stops]
    mappable = ScalarMappable(
        Normalize(min(ticks), 1), LinearSegmentedColormap.from_list("saliency", on_white)
    )
    bar = axis.figure.colorbar(mappable, cax=axis, orientation="horizontal")
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    names = bar.ax.get_xticklabels()
    for name in names:
        name.set(parse_math=False, fontsize=fontsize)
    # Inwards, so that long names of targets stay on the picture.
    names[0].set_horizontalalignment("left")
    names[-1].set_horizontalalignment("right")
    _shrink_to_fit(names, axis, fontsize)
    return bar


def _shrink_to_fit(names: list[Text], axis: Axes, fontsize: float) -> None:
    """Make captions smaller where they would meet: those of the ends reach inwards."""
    widths = [name.get_window_extent().width for name in names]
    half = len(names) == 3  # the middle one is centred, and the longer end meets it first
    needed = 2 * max(widths[0], widths[-1]) + widths[1] if half else sum(widths)
    room = axis.get_window_extent().width * (1 - _GAP)
    if needed > room:
        for name in names:
            name.set_fontsize(fontsize * room / needed)
