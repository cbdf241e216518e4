"""What the model predicts of each tile, as a labels layer over the slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_smoothsal.viewer.map_layer import belongs_to_map
from napari_smoothsal.viewer.placement import Pair
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.slide_source import METADATA, RUN
from napari_smoothsal.viewer.told import TileRow

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#F0E442", "#56B4E9", "#E69F00")
"""Okabe and Ito's, for every colour vision."""
OPACITY = 0.35
PREDICTIONS_OF = "predictions of"


@dataclass(frozen=True)
class TileCells:
    """Tiles on the grid of their steps: where they overlap, each keeps what is nearest.

    Attributes
    ----------
    labels
        (h, w): number of the tile, from 1; 0 where there is none.
    scale_um, translate_um
        (y, x) of a cell, and of the centre of the first one.
    """

    labels: NDArray[np.int32]
    scale_um: Pair
    translate_um: Pair


def tile_cells(rows: Sequence[TileRow], mpp: Pair) -> TileCells:
    """Cells of tiles on a regular grid."""
    boxes = np.array([row.box for row in rows])
    places, steps, starts = [], [], []
    for axis in (1, 0):  # y, then x
        corner, size = boxes[:, axis], float(boxes[0, axis + 2])
        apart = np.diff(np.unique(corner.round(3)))
        step = float(apart.min()) if len(apart) else size
        places.append(((corner - corner.min()) / step).round().astype(int))
        steps.append(step)
        starts.append(float(corner.min()) + size / 2)
    y, x = places
    labels = np.zeros((y.max() + 1, x.max() + 1), np.int32)
    labels[y, x] = np.arange(1, len(rows) + 1)
    # A box begins at the edge of its first pixel, whose centre napari has at that number.
    return TileCells(
        labels,
        (steps[0] * mpp[0], steps[1] * mpp[1]),
        ((starts[0] - 0.5) * mpp[0], (starts[1] - 0.5) * mpp[1]),
    )


def class_colours(rows: Sequence[TileRow], classes: Sequence[str]) -> dict[str, str]:
    """``#rrggbb`` of what is predicted of tiles, in the order of the model's classes."""
    known = list(dict.fromkeys((*classes, *sorted({row.predicted for row in rows}))))
    found = {row.predicted for row in rows}
    return {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(known) if name in found}


class PredictionLayer:
    """The layer of one slide's tiles; while it is seen the maps of the slide are not.

    A map and these colours on each other cannot be read. The status bar names class and
    probability.

    Parameters
    ----------
    viewer, slide
        Where, and over which slide.
    rows
        The tiles, one or more.
    colours
        Of what is predicted.

    Attributes
    ----------
    layer
        The layer.
    """

    def __init__(
        self,
        viewer: Any,
        slide: ExplainedSlide,
        rows: Sequence[TileRow],
        colours: Mapping[str, str],
    ) -> None:
        self._viewer = viewer
        self._slide = str(slide.layer.unique_id)
        self._hidden: list[Any] = []
        for old in [x for x in viewer.layers if is_predictions_of(x, self._slide)]:
            viewer.layers.remove(old)
        self.layer = self._added(slide, rows, colours)
        self.layer.metadata[METADATA]["kept"] = self  # events alone keep nobody alive
        self.layer.events.visible.connect(self._on_visible)
        viewer.layers.events.removed.connect(self._on_removed)
        self._on_visible()

    def _added(
        self, slide: ExplainedSlide, rows: Sequence[TileRow], colours: Mapping[str, str]
    ) -> Any:
        from napari.utils.colormaps import DirectLabelColormap

        cells = tile_cells(rows, slide.mpp)
        painted: dict[int | None, Any] = {0: (0, 0, 0, 0), None: (0, 0, 0, 0)}
        painted |= {label: colours[row.predicted] for label, row in enumerate(rows, start=1)}
        known = [f"{row.probability:.3f}" if row.probability is not None else "" for row in rows]
        layer = self._viewer.add_labels(
            cells.labels,
            name=f"predictions of {slide.layer.name}",
            colormap=DirectLabelColormap(color_dict=painted),
            opacity=OPACITY,
            features=pd.DataFrame(
                {
                    "index": range(len(rows) + 1),
                    "class": ["not computed", *(row.predicted for row in rows)],
                    "probability": ["", *known],
                }
            ),
            metadata={METADATA: {PREDICTIONS_OF: self._slide}},
            **slide.placement(cells),
        )
        layer.editable = False
        return layer

    def _on_visible(self, _event: Any = None) -> None:
        if self.layer.visible:
            self._hidden = [x for x in self._viewer.layers if x.visible and self._covers(x)]
            for layer in self._hidden:
                layer.visible = False
        else:
            self._bring_back()

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self._viewer.layers.events.removed.disconnect(self._on_removed)
            self._bring_back()

    def _bring_back(self) -> None:
        hidden, self._hidden = self._hidden, []
        for layer in hidden:
            if layer in self._viewer.layers:
                layer.visible = True

    def _covers(self, layer: Any) -> bool:
        """Whether it is a map of the slide, or was read from a store, which says of none."""
        own = layer.metadata.get(METADATA)
        if not belongs_to_map(layer):
            return False
        return RUN in own or bool(own.get("key", {}).get("of") == self._slide)


def is_predictions_of(layer: Any, slide: str) -> bool:
    """Whether a layer shows what is predicted of a slide, given by its layer's id."""
    own = layer.metadata.get(METADATA)
    return isinstance(own, dict) and own.get(PREDICTIONS_OF) == slide
