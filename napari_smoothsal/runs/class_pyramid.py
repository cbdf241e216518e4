"""The dense prediction in a store: class probabilities, and a label image of the likeliest class.

Probabilities are kept in 8 bits: 255 is 1. Labels are class indices plus 1; 0 was not computed.
Where tiles overlap, probabilities are blended and the labels taken from the blend; a coarser
level's labels are those of its mean probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_smoothsal.attribution import BatchMaps
from napari_smoothsal.runs import layout
from napari_smoothsal.runs.codecs import blosc
from napari_smoothsal.runs.layout import LABELS, NAMESPACE, PREDICTION
from napari_smoothsal.runs.ome import class_channels, class_labels, image_attributes
from napari_smoothsal.runs.pyramid import halved_mean
from napari_smoothsal.runs.stitch import Block
from napari_smoothsal.runs.stitched import Array, Pair, Piece, Stitched

_CHUNK_WIDTH = 1024
"""Wider than high: bytes are small, and a map at full resolution has many chunks."""

_COLOURS = ("#7f7f7f", "#2979ff", "#00c853", "#ffee58", "#ffffff", "#000000", "#b388ff")
"""Neither the pink and violet of the stain nor the amber and teal of a saliency map."""


def colours_of(outcomes: tuple[str, ...], chosen: tuple[str, ...] | None) -> tuple[str, ...]:
    """One colour (``#rrggbb``) per outcome: the card's, else of a palette."""
    given = chosen or ()
    return tuple(
        given[i] if i < len(given) else _COLOURS[i % len(_COLOURS)] for i in range(len(outcomes))
    )


@dataclass(frozen=True)
class ClassPyramid(Stitched):
    """The dense prediction as it will be stored.

    Attributes
    ----------
    outcomes
        What a pixel can be; probabilities are stored of all of them, or of the first one where a
        single logit decides.
    channels
        Number of probabilities per pixel.
    background
        The outcome that is shown transparent, if there is one.
    colours
        Of the outcomes, ``#rrggbb``.
    """

    outcomes: tuple[str, ...]
    channels: int
    background: str | None
    colours: tuple[str, ...]

    @property
    def path(self) -> str:
        """Of its group in the store."""
        return PREDICTION

    def values(self, result: BatchMaps) -> Array:
        """Probabilities (B, classes, h, w)."""
        dense = result.decision.dense_probabilities
        assert dense is not None
        probabilities: Array = dense.numpy()
        return probabilities

    @property
    def depth(self) -> tuple[int, ...]:
        """Probabilities of a pixel."""
        return (self.channels,)

    def pieces(self, block: Block) -> Iterator[Piece]:
        """A block (classes, h, w) at every level of probabilities and labels."""
        mean = self.padded(block)
        for level in range(self.levels):
            if level:
                mean = halved_mean(mean)
            place = block.place(level, mean)
            every = (slice(None), *place)
            yield Piece(f"{self.path}/{level}", level, every, _eight_bits(mean))
            yield Piece(f"{LABELS}/{level}", level, place, likeliest(mean))

    def lay_out(self, root: zarr.Group, mpp: Pair) -> None:
        """Create the groups and arrays of all levels, 0 everywhere."""
        scales, places = self.placement_um(mpp)
        names = [str(k) for k in range(self.levels)]
        classes = self.outcomes[: self.channels]
        group = root.create_group(PREDICTION)
        ome = image_attributes(
            PREDICTION, names, scales, places, channels=True, downsampling="mean"
        )
        group.attrs["ome"] = {**ome, "omero": class_channels(classes, self.colours)}
        group.attrs[NAMESPACE] = {
            "classes": list(classes),
            "outcomes": list(self.outcomes),
            "background": self.background,
            "colours": list(self.colours),
            "probability_of_255": 1.0,
            "shape": list(self.grid.shape),
        }
        root.create_group(f"{PREDICTION}/labels").attrs["ome"] = {
            "version": "0.5",
            "labels": [LABELS.rsplit("/", 1)[1]],
        }
        labels = root.create_group(LABELS)
        ome = image_attributes(
            "classes", names, scales, places, downsampling="class of the mean probability"
        )
        labels.attrs["ome"] = {
            **ome,
            "image-label": class_labels(self.outcomes, self.colours, self.background),
        }
        height, width = self.padded_shape
        codec = blosc("noshuffle")
        for k, name in enumerate(names):
            shape = (height >> k, width >> k)
            group.create_array(
                name,
                shape=(self.channels, *shape),
                chunks=(1, layout.BAND, _CHUNK_WIDTH),
                dtype="uint8",
                compressors=codec,
                dimension_names=("c", "y", "x"),
            )
            labels.create_array(
                name,
                shape=shape,
                chunks=(layout.BAND, _CHUNK_WIDTH),
                dtype=np.min_scalar_type(len(self.outcomes)),
                compressors=codec,
                dimension_names=("y", "x"),
            )


def likeliest(probabilities: Array) -> NDArray[np.integer]:
    """Labels (h, w) of probabilities (classes, h, w): class index plus 1, 0 where they are NaN."""
    known = ~np.isnan(probabilities[0])
    filled = np.nan_to_num(probabilities)
    index = np.where(filled[0] >= 0.5, 0, 1) if len(filled) == 1 else filled.argmax(0)
    return np.asarray(np.where(known, index + 1, 0))


def _eight_bits(probabilities: Array) -> NDArray[np.uint8]:
    scaled = np.nan_to_num(probabilities).clip(0, 1) * 255
    return np.asarray(np.rint(scaled), dtype=np.uint8)
