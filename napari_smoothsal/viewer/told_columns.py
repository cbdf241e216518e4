"""What the engine tells of a comparison."""

from __future__ import annotations

from typing import Literal

from napari_smoothsal.viewer.map_picture import MapPicture
from napari_smoothsal.viewer.message import Message
from napari_smoothsal.viewer.packed_states import PackedStates


class Column(Message):
    """One column of a comparison.

    Attributes
    ----------
    picture
        Its map, with the limit that it has alone.
    total_variation
        Of the raw map, mean over tiles; None without tiles.
    standard_error
        Relative, of the mean over noise samples; None where nothing is drawn.
    states
        What became of each tile; None before the column is complete.
    """

    picture: MapPicture
    total_variation: float | None
    standard_error: float | None
    states: PackedStates | None = None


class Compared(Message):
    """Answer to `Compare`: one after each round, the last of which is complete.

    Attributes
    ----------
    columns
        As far as they are; those of later models follow.
    share
        Of the work that is done, 0..1.
    tiles
        Of the model that is at work, or was last.
    shared
        Magnitude of full colour on one scale.
    comparable
        Whether the columns' values are in the same units.
    scale, own_scales
        What is said of full colour on one scale, and where each column has its own.
    """

    say: Literal["compared"] = "compared"
    id: int
    columns: tuple[Column, ...]
    share: float
    tiles: int
    shared: float = 1.0
    comparable: bool = False
    scale: str = ""
    own_scales: str = ""
    complete: bool = False
    warnings: tuple[str, ...] = ()
