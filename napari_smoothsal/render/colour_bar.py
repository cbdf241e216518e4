"""The colour bar of a figure: from what speaks against, or from zero, to what speaks for."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, Normalize

from napari_smoothsal.render.colours import AMBER_TEAL, Palette, bar_stops


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
    return bar
