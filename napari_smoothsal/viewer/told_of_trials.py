"""What the engine tells of changes to a view, and of what can be put in the place of pixels."""

from __future__ import annotations

from typing import Literal

from napari_smoothsal.viewer.map_picture import MapPicture
from napari_smoothsal.viewer.message import Message, Pair


class FillChoice(Message):
    """A fill as it is offered: its name, its name in plain words, and what it does."""

    name: str
    title: str
    about: str


class FillsDescribed(Message):
    """Answer to `DescribeFills`."""

    say: Literal["fills"] = "fills"
    id: int
    fills: tuple[FillChoice, ...]


class Tried(Message):
    """Answer to `TryChange`: what is predicted, at once; the last one, complete, has the maps.

    Attributes
    ----------
    tiles, touched, otherwise
        Tiles of the view; those of which something is replaced; those predicted as another class
        than before.
    before, after
        Mean probability of each class over the tiles.
    touched_before, touched_after
        The same over those of which something is replaced.
    path
        ``.npy`` (h, w, 4) uint8: the replaced pixels, the others transparent.
    scale_um, translate_um
        Of these, (y, x).
    seconds
        Until it was known what is predicted.
    after_map, before_map
        Maps of the changed view and of the view as it is; None where they are not there, or yet.
    """

    say: Literal["tried"] = "tried"
    id: int
    tiles: int
    touched: int
    otherwise: int
    before: dict[str, float]
    after: dict[str, float]
    touched_before: dict[str, float]
    touched_after: dict[str, float]
    path: str
    scale_um: Pair
    translate_um: Pair
    seconds: float
    after_map: MapPicture | None = None
    before_map: MapPicture | None = None
    complete: bool = False
