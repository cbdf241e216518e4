"""WhatIf: what came of a change, and the maps before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_smoothsal.attribution.region_fills import REGION_FILLS
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.runs.run import Run
from napari_smoothsal.slides.view_pixels import ViewPixels

Change = Literal["remove", "reveal"]

CHANGES: dict[Change, str] = {"remove": "removed", "reveal": "revealed only"}
"""What is done to what is drawn, in words."""

Pair = tuple[float, float]
Probabilities = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MapsOfBoth:
    """The stitched maps of the view as it is and as it was changed, on one grid.

    Attributes
    ----------
    before, after
        (h, w) float32, signed; NaN where no tile is.
    scale_um, translate_um
        (y, x) of their pixels in micrometres; translate is the centre of pixel (0, 0), from the
        centre of the slide's.
    spec, target
        What was computed, and what is explained.
    """

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    scale_um: Pair
    translate_um: Pair
    spec: SaliencySpec
    target: str


@dataclass(frozen=True, eq=False)
class WhatIf:
    """What a model says of the tiles of a view before and after a change.

    Attributes
    ----------
    change, fill
        What was done to what is drawn, and what hidden pixels show; see `what_if`.
    classes
        Of the columns of probabilities.
    boxes
        (N, 4): x, y, w, h of the view's tiles in level-0 px.
    hidden
        (N,) share of each tile that was replaced, 0..1.
    before, after
        (N, classes) probabilities; NaN of a tile that could not be read. Those of a tile that
        nothing is hidden of are the same.
    predicted_before, predicted_after
        (N,) what each tile is predicted as; empty where it could not be read.
    view
        The pixels that the model was shown, at its resolution.
    maps
        The maps of both, where a spec was given.
    """

    change: Change
    fill: str
    classes: tuple[str, ...]
    boxes: NDArray[np.float64]
    hidden: NDArray[np.float32]
    before: Probabilities
    after: Probabilities
    predicted_before: tuple[str, ...]
    predicted_after: tuple[str, ...]
    view: ViewPixels
    maps: MapsOfBoth | None = None

    def __str__(self) -> str:
        filled = REGION_FILLS[self.fill].title
        touched = int((self.hidden > 0).sum())
        said = [
            f"{name} {value:.3f} -> {self.pooled_after[name]:.3f}"
            for name, value in self.pooled_before.items()
        ]
        return f"{CHANGES[self.change]}, {filled} ({touched} tiles): {', '.join(said)}"

    @property
    def pooled_before(self) -> dict[str, float]:
        """Mean probability of each class over the tiles of the view as it is; NaN without any."""
        return self._pooled(self.before)

    @property
    def pooled_after(self) -> dict[str, float]:
        """The same of the changed view."""
        return self._pooled(self.after)

    @property
    def touched_before(self) -> dict[str, float]:
        """Mean probability of each class over the tiles of which something is replaced, before."""
        return self._pooled(self.before[self.hidden > 0])

    @property
    def touched_after(self) -> dict[str, float]:
        """The same after: means over a view dilute what happens in a few of its tiles."""
        return self._pooled(self.after[self.hidden > 0])

    @property
    def difference(self) -> dict[str, float]:
        """Mean probability of each class after the change, less that before."""
        before, after = self.pooled_before, self.pooled_after
        return {name: after[name] - before[name] for name in self.classes}

    @property
    def otherwise(self) -> int:
        """How many tiles are predicted as another class than before."""
        pairs = zip(self.predicted_before, self.predicted_after, strict=True)
        return sum(a != b for a, b in pairs)

    @property
    def table(self) -> pd.DataFrame:
        """One row per tile: its box, the share that is hidden, classes and probabilities."""
        columns = dict(zip(("x_px", "y_px", "w_px", "h_px"), self.boxes.T, strict=True))
        columns |= {"hidden": self.hidden}
        table = pd.DataFrame(columns)
        for when in ("before", "after"):
            table[f"predicted_{when}"] = list(getattr(self, f"predicted_{when}"))
            for name, values in zip(self.classes, getattr(self, when).T, strict=True):
                table[f"p_{name}_{when}"] = values
        return table

    def _pooled(self, values: Probabilities) -> dict[str, float]:
        good = values[np.isfinite(values).all(axis=1)].astype(np.float64)
        means = good.mean(axis=0) if len(good) else np.full(len(self.classes), np.nan)
        return dict(zip(self.classes, means.tolist(), strict=True))


def maps_of(before: Run, after: Run) -> MapsOfBoth:
    """The maps of two runs over one view.

    Parameters
    ----------
    before, after
        Each of one spec, the same of both.
    """
    (one,), (other,) = before.maps.values(), after.maps.values()
    height, width = one.shape
    values = [np.asarray(found.levels[0][:])[:height, :width] for found in (one, other)]
    return MapsOfBoth(values[0], values[1], one.scale_um, one.translate_um, one.spec, one.target)
