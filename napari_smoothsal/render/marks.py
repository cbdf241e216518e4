"""What is drawn over a map to say of its tiles what no colour says: hatching, dots and crosses.

Hatched is what the model predicts as another class than the map explains. Dotted is what it
predicts and nobody explained: neither blank, where nobody looked, nor zero, where there is nothing
to see; what was explained is outlined, then. Crossed out is what could not be read or computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from numpy.typing import NDArray

from napari_smoothsal.render.words import HATCHED, crossed_in_words, dotted_in_words
from napari_smoothsal.runs.tile_states import Flags, TileStates

WIDTH = 0.4
HATCH, DOTS, CROSSES = "//", "...", "xx"
COLOUR = (0.12, 0.12, 0.16, 0.8)
DOT_COLOUR = (0.2, 0.2, 0.26, 0.75)
OUTLINE_WIDTH = 1.0


@dataclass(frozen=True)
class Marks:
    """What is drawn over the pixels (h, w) of a picture of a map.

    Attributes
    ----------
    hatched, dotted
        What is.
    explained
        What a map was made of.
    said
        Legend of the dots.
    crossed
        What could not be read or computed; None: nothing.
    crossed_said
        Legend of the crosses.
    """

    hatched: Flags
    dotted: Flags
    explained: Flags
    said: str
    crossed: Flags | None = None
    crossed_said: str = ""

    @property
    def in_words(self) -> list[str]:
        """Legend of what is drawn."""
        lines = (
            (HATCHED, self.hatched),
            (self.said, self.dotted),
            (self.crossed_said, self.crossed),
        )
        return [words for words, mask in lines if mask is not None and mask.any()]

    def draw(self, axis: Axes) -> None:
        """Draw it over the picture that an axis shows."""
        _fill(axis, self.hatched, HATCH, COLOUR)
        _outline(axis, self.hatched, WIDTH)
        if self.dotted.any():
            _fill(axis, self.dotted, DOTS, DOT_COLOUR)
            _outline(axis, self.explained, OUTLINE_WIDTH)
        if self.crossed is not None:
            _fill(axis, self.crossed, CROSSES, COLOUR)


def marks_on(
    states: TileStates,
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    failed: Flags | None = None,
) -> Marks:
    """What is to be drawn over a picture of a map.

    Parameters
    ----------
    states
        Of the map's tiles.
    y, x
        (h,) and (w,) level-0 px at which the picture's pixels are centred, of which pixel p is
        centred at p.
    failed
        (tiles,) which ones could not be read or computed; None: none.
    """

    def shown(parts: Flags) -> Flags:
        return np.asarray(states.lattice.at(parts, y + 0.5, x + 0.5), np.bool_)

    count, of = int(states.not_explained.sum()), len(states.explained)
    if failed is None:
        failed = np.zeros(of, np.bool_)
    # Where a neighbour reaches over it, there is a map.
    lost = (states.lattice.owners(failed) > 0) & (states.owners == 0)
    return Marks(
        hatched=shown(states.marked(states.owners, states.otherwise)),
        dotted=shown(states.owners_not_explained > 0),
        explained=shown(states.owners > 0),
        said=dotted_in_words(count, of, states.choice),
        crossed=shown(lost),
        crossed_said=crossed_in_words(int(failed.sum()), of),
    )


def _fill(axis: Axes, mask: Flags, hatch: str, colour: tuple[float, ...]) -> None:
    if mask.any():
        # All at once: tiles overlap, and lines over lines would be darker there.
        with rc_context({"hatch.linewidth": WIDTH, "hatch.color": colour}):
            axis.contourf(mask, [0.5, 1.5], colors="none", hatches=[hatch])


def _outline(axis: Axes, mask: Flags, width: float) -> None:
    if mask.any() and not mask.all():
        axis.contour(mask, [0.5], colors=[COLOUR], linewidths=width)
