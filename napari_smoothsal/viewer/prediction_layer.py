"""What the model predicts of each tile, as a labels layer over the slide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_smoothsal.viewer.placement import Pair, placement_on
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.slide_source import METADATA
from napari_smoothsal.viewer.told import TileRow

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#F0E442", "#56B4E9", "#E69F00")
"""Okabe and Ito's, for every colour vision."""
OPACITY = 0.35


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


def show_predictions(
    viewer: Any, slide: ExplainedSlide, rows: Sequence[TileRow], classes: Sequence[str]
) -> Any:
    """Add the layer, or bring it up to date; the status bar names class and probability.

    Parameters
    ----------
    viewer, slide
        Where, and over which slide.
    rows
        The tiles, one or more.
    classes
        In the order of their colours.
    """
    from napari.utils.colormaps import DirectLabelColormap

    cells = tile_cells(rows, slide.mpp)
    number = {name: place for place, name in enumerate(classes)}
    colours: dict[int | None, Any] = {0: (0, 0, 0, 0), None: (0, 0, 0, 0)}
    for label, row in enumerate(rows, start=1):
        colours[label] = COLOURS[number.get(row.predicted, len(classes)) % len(COLOURS)]
    known = [f"{row.probability:.3f}" if row.probability is not None else "" for row in rows]
    identity = {"predictions of": str(slide.layer.unique_id)}
    old = next((x for x in viewer.layers if x.metadata.get(METADATA) == identity), None)
    if old is not None:
        viewer.layers.remove(old)
    layer = viewer.add_labels(
        cells.labels,
        name=f"predictions of {slide.layer.name}",
        colormap=DirectLabelColormap(color_dict=colours),
        opacity=OPACITY,
        features=pd.DataFrame(
            {
                "index": range(len(rows) + 1),
                "class": ["not computed", *(row.predicted for row in rows)],
                "probability": ["", *known],
            }
        ),
        metadata={METADATA: identity},
        **placement_on(slide.layer, cells, slide.mpp),
    )
    layer.editable = False
    return layer
