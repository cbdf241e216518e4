"""What is drawn over a map to say of its tiles what no colour says: hatching, and dots.

Hatched is what the model predicts as another class than the map explains. Dotted is what it
predicts and nobody explained: neither blank, where nobody looked, nor zero, where there is nothing
to see; what was explained is outlined, then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from numpy.typing import NDArray

from napari_smoothsal.render.words import HATCHED, dotted_in_words
from napari_smoothsal.runs.tile_states import Flags, TileStates

WIDTH = 0.4
HATCH, DOTS = "//", "..."
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
    """

    hatched: Flags
    dotted: Flags
    explained: Flags
    said: str

    @property
    def in_words(self) -> list[str]:
        """Legend of what is drawn."""
        lines = ((HATCHED, self.hatched), (self.said, self.dotted))
        return [words for words, mask in lines if mask.any()]

    def draw(self, axis: Axes) -> None:
        """Draw it over the picture that an axis shows."""
        _fill(axis, self.hatched, HATCH, COLOUR)
        _outline(axis, self.hatched, WIDTH)
        if self.dotted.any():
            _fill(axis, self.dotted, DOTS, DOT_COLOUR)
            _outline(axis, self.explained, OUTLINE_WIDTH)


def marks_on(states: TileStates, y: NDArray[np.float64], x: NDArray[np.float64]) -> Marks:
    """What is to be drawn over a picture of a map.

    Parameters
    ----------
    states
        Of the map's tiles.
    y, x
        (h,) and (w,) level-0 px at which the picture's pixels are centred, of which pixel p is
        centred at p.
    """

    def shown(parts: Flags) -> Flags:
        return np.asarray(states.lattice.at(parts, y + 0.5, x + 0.5), np.bool_)

    count, of = int(states.not_explained.sum()), len(states.explained)
    return Marks(
        hatched=shown(states.marked(states.owners, states.otherwise)),
        dotted=shown(states.owners_not_explained > 0),
        explained=shown(states.owners > 0),
        said=dotted_in_words(count, of, states.choice),
    )


def _fill(axis: Axes, mask: Flags, hatch: str, colour: tuple[float, ...]) -> None:
    if mask.any():
        # All at once: tiles overlap, and lines over lines would be darker there.
        with rc_context({"hatch.linewidth": WIDTH, "hatch.color": colour}):
            axis.contourf(mask, [0.5, 1.5], colors="none", hatches=[hatch])


def _outline(axis: Axes, mask: Flags, width: float) -> None:
    if mask.any() and not mask.all():
        axis.contour(mask, [0.5], colors=[COLOUR], linewidths=width)
