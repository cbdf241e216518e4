"""A large slide for benchmarks: the encoded tiles of a small one, repeated; nothing is encoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

MPP = 0.5


def write_repeated(source: Path, path: Path, side: int) -> None:
    """Write a pyramid of `side` x `side` px out of a tiled JPEG pyramid's tiles.

    `source` is at 0.5 um/px, its level sides are whole numbers of tiles.
    """
    with tifffile.TiffFile(source) as small, tifffile.TiffWriter(path, bigtiff=True) as writer:
        for level, page in enumerate(small.pages):
            factor = small.pages[0].imagewidth // page.imagewidth
            per_cm = 1e4 / (MPP * factor)
            length = side // factor
            writer.write(
                _tiles(small, page, length),
                shape=(length, length, 3),
                dtype=np.uint8,
                tile=(page.tilelength, page.tilewidth),
                photometric="rgb",
                subsampling=(2, 2),
                compression="jpeg",
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                subfiletype=1 if level else 0,
                metadata=None,
                software=False,
            )


def _tiles(small: tifffile.TiffFile, page: tifffile.TiffPage, length: int) -> Iterator[bytes]:
    rows = -(-page.imagelength // page.tilelength)
    columns = -(-page.imagewidth // page.tilewidth)
    encoded = []
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        small.filehandle.seek(offset)
        encoded.append(small.filehandle.read(count))
    for row in range(-(-length // page.tilelength)):
        for column in range(-(-length // page.tilewidth)):
            yield encoded[row % rows * columns + column % columns]
