"""Slides of any size out of the sample slide's tiles, for measurements; never kept in git.

    python benchmarks/large_slide.py large.tif --side 100000 --tissue 0.4
    python benchmarks/large_slide.py rare.tif --side 20000 --tumour 0.03

A tiled pyramidal BigTIFF that OpenSlide reads, with its resolution. Level 0 repeats the encoded
JPEG tiles of the sample slide, which are not decoded; coarser levels are put together of small
pictures of those tiles. Tissue lies in irregular blobs on glass. 20,000 px take seconds and about
50 MB, 100,000 px half a minute and 1.2 GB.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

import napari_smoothsal as ss
from napari_smoothsal.slides.geojson import marked_in
from napari_smoothsal.slides.sample import sample_outlines_path, sample_slide_path
from napari_smoothsal.slides.tissue import find_tissue

TILE = 256
"""Side of an encoded tile of the sample slide; a piece of the large one."""

STEP = 4
"""Between two levels."""

COARSEST_PX = 512
QUALITY = 80
"""Of JPEG, where coarser levels are encoded."""

TUMOUR = "tumour area"

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """The sample slide's tiles.

    Attributes
    ----------
    encoded
        Of each its JPEG data.
    tables
        JPEG tables that they share.
    pictures
        (n, 64, 64, 3) uint8: each, `STEP` times smaller.
    glass, normal, tumour
        Which are empty, hold nothing but tissue without tumour, or lie in a tumour.
    """

    encoded: list[bytes]
    tables: bytes
    pictures: NDArray[np.uint8]
    glass: Indices
    normal: Indices
    tumour: Indices


def large_slide(
    out: Path,
    side: int,
    *,
    tissue: float = 0.4,
    tumour: float = 0.0,
    mpp: float = 0.5,
    blob_um: float = 1500.0,
    seed: int = 0,
) -> None:
    """Write a slide.

    Parameters
    ----------
    out
        A TIFF file, written anew.
    side
        Width and height of level 0, px.
    tissue
        Share of the area that is tissue, 0..1.
    tumour
        Share of the tissue that is tumour, 0..1.
    mpp
        Micrometres per px, as the file will say. The nuclei of the sample slide have their true
        size at 0.5.
    blob_um
        About how large tissue is in one piece; where tissue ends does not depend on ``side``.
    seed
        Of chance.
    """
    pieces = sample_pieces()
    count = -(-side // TILE)
    layout = piece_layout(count, pieces, tissue, tumour, blob_um / (mpp * TILE), seed)
    with tifffile.TiffWriter(out, bigtiff=True) as tiff:
        options = {
            "dtype": np.uint8,
            "tile": (TILE, TILE),
            "photometric": "ycbcr",
            "subsampling": (2, 2),
            "compression": "jpeg",
            "metadata": None,
        }
        tiff.write(
            (pieces.encoded[i] for i in layout.ravel()),
            shape=(side, side, 3),
            jpegtables=pieces.tables,
            resolution=(1e4 / mpp, 1e4 / mpp),
            resolutionunit="CENTIMETER",
            **options,
        )
        pictures, downsample = pieces.pictures, STEP
        while side // downsample >= 1 and side * STEP // downsample > COARSEST_PX:
            size = -(-side // downsample)
            tiff.write(
                coarse_tiles(layout, pictures, -(-size // TILE)),
                shape=(size, size, 3),
                subfiletype=1,
                resolution=(1e4 / mpp / downsample, 1e4 / mpp / downsample),
                resolutionunit="CENTIMETER",
                **options,
            )
            if pictures.shape[1] < STEP:
                break  # a piece would be less than a pixel
            pictures, downsample = _smaller(pictures), downsample * STEP


def sample_pieces() -> Pieces:
    """Read the tiles of the sample slide, and what each of them shows."""
    with sample_outlines_path() as outlines:
        marked = list(marked_in(outlines))
    with sample_slide_path() as path:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            handle = tiff.filehandle
            encoded = []
            for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
                handle.seek(offset)
                encoded.append(handle.read(size))
            tables = page.jpegtables
            rows, columns = (n // TILE for n in page.shape[:2])
        with ss.open_slide(path) as slide:
            y, x = (a.ravel() * TILE for a in np.mgrid[:rows, :columns])
            shares = find_tissue(slide).fractions(x, y, TILE, TILE)
            pictures = np.stack(
                [
                    _smaller(slide.read_region(int(i), int(j), TILE, TILE)[None])[0]
                    for j, i in zip(y, x, strict=True)
                ]
            )
    areas = [m.geometry for m in marked if m.class_name == TUMOUR]
    tumour, places = shapely.union_all(areas), shapely.box(x, y, x + TILE, y + TILE)
    return Pieces(
        encoded,
        tables,
        pictures,
        np.flatnonzero(shares == 0),
        np.flatnonzero((shares > 0.99) & ~shapely.intersects(tumour, places)),
        np.flatnonzero((shares > 0.99) & shapely.contains(tumour, places)),
    )


def piece_layout(
    count: int, pieces: Pieces, tissue: float, tumour: float, blob: float, seed: int
) -> Indices:
    """(count, count): which piece lies where.

    Parameters
    ----------
    count
        Pieces along a side.
    pieces
        To choose from.
    tissue, tumour
        Share of the places that are tissue, and of these that are tumour.
    blob
        About how many pieces a blob of tissue is across.
    seed
        Of chance.
    """
    chance = np.random.default_rng(seed)
    is_tissue = _blobs(chance, count, blob, tissue, np.ones((count, count), bool))
    is_tumour = _blobs(chance, count, blob / 2, tumour, is_tissue)
    layout = chance.choice(pieces.glass, (count, count))
    for where, which in ((is_tissue & ~is_tumour, pieces.normal), (is_tumour, pieces.tumour)):
        layout[where] = chance.choice(which, int(where.sum()))
    return layout


def _blobs(
    chance: np.random.Generator, count: int, size: float, share: float, within: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The highest places of a smooth field, so many of those they may lie in."""
    field = gaussian_filter(chance.standard_normal((count, count)), size / 4, mode="wrap")
    field[~within] = -np.inf
    chosen = np.zeros(count * count, bool)
    chosen[np.argsort(-field, axis=None)[: round(share * int(within.sum()))]] = True
    return chosen.reshape(count, count)


def coarse_tiles(layout: Indices, pictures: NDArray[np.uint8], tiles: int) -> Iterator[bytes]:
    """Encode a coarser level tile by tile, row by row.

    Parameters
    ----------
    layout
        From `piece_layout`.
    pictures
        (n, p, p, 3): each piece at this level.
    tiles
        Along a side.
    """
    px = pictures.shape[1]
    step = TILE // px
    last = len(layout) - 1
    for row in range(tiles):
        down = np.minimum(np.arange(row * step, (row + 1) * step), last)
        for column in range(tiles):
            across = np.minimum(np.arange(column * step, (column + 1) * step), last)
            cells = pictures[layout[np.ix_(down, across)]]
            picture = cells.transpose(0, 2, 1, 3, 4).reshape(TILE, TILE, 3)
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, "jpeg", quality=QUALITY, subsampling="4:2:0")
            yield buffer.getvalue()


def _smaller(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    n, height, width, channels = pictures.shape
    cells = pictures.reshape(n, height // STEP, STEP, width // STEP, STEP, channels)
    return np.asarray(cells.mean((2, 4)) + 0.5).astype(np.uint8)


def main() -> None:
    """Write one slide."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=20_000, help="px of level 0")
    parser.add_argument("--tissue", type=float, default=0.4, help="share of the area")
    parser.add_argument("--tumour", type=float, default=0.0, help="share of the tissue")
    parser.add_argument("--mpp", type=float, default=0.5, help="micrometres per px")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    large_slide(
        given.out,
        given.side,
        tissue=given.tissue,
        tumour=given.tumour,
        mpp=given.mpp,
        seed=given.seed,
    )


if __name__ == "__main__":
    main()
