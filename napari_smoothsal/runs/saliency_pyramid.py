"""A saliency map in a store: levels of means, and beside them levels of largest magnitude."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from napari_smoothsal.attribution import BatchMaps, reduce_channels
from napari_smoothsal.runs import layout
from napari_smoothsal.runs.codecs import blosc
from napari_smoothsal.runs.layout import NAMESPACE
from napari_smoothsal.runs.ome import image_attributes
from napari_smoothsal.runs.pyramid import halved_extreme, halved_mean
from napari_smoothsal.runs.stitch import Block
from napari_smoothsal.runs.stitched import Array, Pair, Piece, Stitched


@dataclass(frozen=True)
class SaliencyPyramid(Stitched):
    """One map as it will be stored.

    Attributes
    ----------
    key
        See `map_keys`.
    index
        Of its spec in the run.
    reduction
        How channels become one map.
    attributes
        What is recorded beside it: spec, layer, target, sign.
    """

    key: str
    index: int
    reduction: str
    attributes: Mapping[str, Any]

    @property
    def path(self) -> str:
        """Of its group in the store."""
        return f"maps/{self.key}"

    def values(self, result: BatchMaps) -> Array:
        """Reduced maps (B, h, w)."""
        reduced: Array = reduce_channels(result.specs[self.index].maps, self.reduction).numpy()
        return reduced

    def pieces(self, block: Block) -> Iterator[Piece]:
        """A block at every level: means, and beside them largest magnitudes."""
        mean = extreme = self.padded(block)
        for level in range(self.levels):
            if level:
                mean, extreme = halved_mean(mean), halved_extreme(extreme)
                place = block.place(level, extreme)
                yield Piece(f"{self.path}/extreme/{level}", level, place, extreme)
            yield Piece(f"{self.path}/{level}", level, block.place(level, mean), mean)

    def lay_out(self, root: zarr.Group, mpp: Pair) -> None:
        """Create the groups and arrays of all levels, NaN everywhere."""
        scales, places = self.placement_um(mpp)
        group = root.create_group(self.path)
        names = [str(k) for k in range(self.levels)]
        group.attrs.update(
            {
                "ome": image_attributes(self.key, names, scales, places, downsampling="mean"),
                NAMESPACE: {**self.attributes, "shape": list(self.grid.shape)},
            }
        )
        for k, name in enumerate(names):
            self._add_level(group, name, k)
        if self.levels > 1:
            extreme = group.create_group("extreme")
            extreme.attrs["ome"] = image_attributes(
                f"{self.key} (largest magnitude)",
                names[1:],
                scales[1:],
                places[1:],
                downsampling="largest magnitude",
            )
            for k, name in enumerate(names[1:], start=1):
                self._add_level(extreme, name, k)

    def _add_level(self, group: zarr.Group, name: str, level: int) -> None:
        height, width = self.padded_shape
        group.create_array(
            name,
            shape=(height >> level, width >> level),
            chunks=(layout.BAND, layout.BAND),
            dtype="float32",
            fill_value=np.nan,
            compressors=blosc("shuffle"),
            dimension_names=("y", "x"),
        )
