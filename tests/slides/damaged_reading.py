"""Reads slides with flipped bytes, in a process of its own: the test counts how it ends.

    python damaged_reading.py SLIDE FOLDER FIRST_SEED COUNT

One line for each: its seed and ``refused``, or how many tiles were read and how many not.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from napari_smoothsal.core.errors import SlideError, TileReadError
from napari_smoothsal.slides import Box, Slide, open_slide
from napari_smoothsal.slides.reader import TileReader

TILE_PX = 224
ENDS_BYTES = 4096
"""Where the tags of a TIFF are: flipped more often than chance would have it."""

MOST_TILES = 400


def damaged(whole: bytes, seed: int) -> bytes:
    """The file with 1, 10 or 100 bytes changed: anywhere, or where its tables are."""
    chance = random.Random(seed)
    out = bytearray(whole)
    for _ in range(chance.choice((1, 10, 100))):
        place = chance.randrange(len(out))
        if seed % 2:
            place = chance.randrange(ENDS_BYTES) * chance.choice((1, -1)) % len(out)
        out[place] ^= chance.randrange(1, 256)
    return bytes(out)


def tiles(slide: Slide) -> list[Box]:
    """All tiles of a slide, or some of one that claims to be much larger than it is."""
    columns, rows = -(-slide.width // TILE_PX), -(-slide.height // TILE_PX)
    step = max(1, columns * rows // MOST_TILES)
    places = (divmod(i, columns) for i in range(0, columns * rows, step))
    return [Box(x * TILE_PX, y * TILE_PX, TILE_PX, TILE_PX) for y, x in places]


def outcome(path: Path) -> str:
    try:
        with open_slide(path) as slide, TileReader(slide, TILE_PX, threads=2) as reader:
            errors = [e for batch in reader.batches([tiles(slide)]) for e in batch.errors]
            assert all(e is None or isinstance(e, TileReadError) for e in errors)
            slide.thumbnail(256)
    except SlideError as error:
        assert not isinstance(error, TileReadError)
        return "refused"
    failed = sum(e is not None for e in errors)
    return f"{len(errors) - failed} read, {failed} not"


def main() -> None:
    slide, folder = Path(sys.argv[1]), Path(sys.argv[2])
    first, count = int(sys.argv[3]), int(sys.argv[4])
    whole = slide.read_bytes()
    path = folder / f"damaged{slide.suffix}"
    for seed in range(first, first + count):
        path.write_bytes(damaged(whole, seed))
        sys.stdout.write(f"{seed} {outcome(path)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
