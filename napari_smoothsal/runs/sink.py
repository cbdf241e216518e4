"""Sink: what takes finished bands and tiles, be it a store or what a unit hands to its owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.runs.stitch import Block


class Sink(Protocol):
    """Takes what one unit of a stage makes. One thread uses it.

    Attributes
    ----------
    stitching_bytes
        Memory for sums of all images.
    """

    stitching_bytes: int

    @property
    def scratch(self) -> Path | None:
        """Folder for what does not fit into memory; None: the system's."""

    def write_band(self, index: int, band: int, blocks: Iterable[Block]) -> None:
        """Take one band of an image; what is not in a block is as it was created."""

    def write_tiles(
        self, tiles: NDArray[np.int64], columns: Mapping[str, NDArray[np.generic]]
    ) -> None:
        """Take columns of some tiles."""

    def add_fallback(self, what: str, tiles: NDArray[np.int64], rows_per_pass: int) -> None:
        """Take note that some tiles were computed otherwise than planned."""
