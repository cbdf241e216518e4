"""What the engine tells of trust: the card of a view, and limits that were measured."""

from __future__ import annotations

from typing import Literal

from napari_smoothsal.core.calibration import Calibration
from napari_smoothsal.viewer.message import Message

Curve = tuple[float, ...]


class DrawnCurve(Message):
    """Insertion or deletion of the maps of some tiles.

    Attributes
    ----------
    tiles
        Of each.
    mean
        Of those.
    low, high
        Between which the means of the same tiles lie in random orders; empty before there are any.
    """

    tiles: tuple[Curve, ...]
    mean: Curve
    low: Curve
    high: Curve


class ResultCell(Message):
    """One test of the map of one tile.

    Attributes
    ----------
    tile
        Its number, from 0.
    result, value
        What came of it, and the number that decides; None where there is none.
    found, threshold
        In words.
    """

    tile: int
    result: str
    value: float | None
    found: str
    threshold: str


class ResultRow(Message):
    """One test.

    Attributes
    ----------
    name, question
        As the card has them.
    result, means
        What came of it on all tiles, and what that says in plain words.
    cells
        Of the tiles on which it is decided.
    """

    name: str
    question: str
    result: str
    means: str
    cells: tuple[ResultCell, ...]


class TrustTold(Message):
    """Answer to `Trust`: one after each part, the last of which is complete.

    Attributes
    ----------
    verdict
        What came of it, in plain words.
    about
        Which tiles were tested, and how.
    target
        What is explained.
    orders
        How many random orders are drawn.
    tests
        Those that are decided on one tile or more.
    deletion, insertion
        None until there are some.
    boxes
        (x, y, w, h) of the tiles that are being tested or were, in level-0 px.
    chosen, whole
        How many tiles there will be, and how many are done.
    stopped
        Whether it was called off, and nothing follows.
    complete
        Whether it is the last answer.
    """

    say: Literal["trust"] = "trust"
    id: int
    verdict: str
    about: str
    target: str
    orders: int
    tests: tuple[ResultRow, ...]
    deletion: DrawnCurve | None
    insertion: DrawnCurve | None
    boxes: tuple[tuple[float, float, float, float], ...]
    chosen: int
    whole: int
    stopped: bool
    complete: bool


class Calibrated(Message):
    """Answer to `Calibrate`.

    Attributes
    ----------
    model
        Its name.
    calibration
        What was measured.
    path
        File that keeps it.
    """

    say: Literal["calibrated"] = "calibrated"
    id: int
    model: str
    calibration: Calibration
    path: str
