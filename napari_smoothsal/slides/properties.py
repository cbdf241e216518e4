"""What a library's properties say of a slide: resolution, scanned area, glass, native tiles.

OpenSlide and those that imitate it use the same names after their own prefix. Nothing else of the
properties is read: they name people, dates and files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

PLAUSIBLE_MPP = (0.01, 100.0)
"""Finest and coarsest resolution believed: a TIFF that says 72 dpi (353 um) says nothing."""

MOST_TILE_PX = 1 << 28
"""Of a file's own tile: more than 16,000 px square, a gigabyte once it is decoded."""

Properties = Mapping[str, object]
Size = tuple[int, int]


def resolution(properties: Properties, prefix: str) -> tuple[float, float] | None:
    """(y, x) micrometres per level-0 px; None where nothing plausible is said."""
    y = _number(properties.get(f"{prefix}.mpp-y"))
    x = _number(properties.get(f"{prefix}.mpp-x"))
    low, high = PLAUSIBLE_MPP
    if x is None or y is None or not (low <= x <= high and low <= y <= high):
        return None
    return y, x


def scanned_area(
    properties: Properties, prefix: str, size: Size
) -> tuple[int, int, int, int] | None:
    """(x, y, w, h) in level-0 px, cut to a slide of `size` (width, height); None where not said."""
    names = ("x", "y", "width", "height")
    values = [_number(properties.get(f"{prefix}.bounds-{name}")) for name in names]
    x, y, w, h = (None if v is None else int(v) for v in values)
    if x is None or y is None or w is None or h is None:
        return None
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + w, size[0]), min(y + h, size[1])
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def glass_colour(properties: Properties, prefix: str) -> tuple[int, int, int]:
    """(r, g, b) of empty glass; white where nothing is said."""
    text = str(properties.get(f"{prefix}.background-color") or "").removeprefix("#")
    try:
        red, green, blue = bytes.fromhex(text)
    except ValueError:
        return 255, 255, 255
    return red, green, blue


def native_tiles(properties: Properties, prefix: str, levels: int) -> list[Size | None]:
    """(width, height) of the file's own tiles, level by level; None where not said."""
    found: list[Size | None] = []
    for level in range(levels):
        named = (f"{prefix}.level[{level}].tile-{side}" for side in ("width", "height"))
        width, height = (_number(properties.get(name)) for name in named)
        found.append(None if width is None or height is None else (int(width), int(height)))
    return found


def impossible_tile(tiles: Sequence[Size | None]) -> str | None:
    """What is wrong with a file that claims larger tiles than any has; None of possible ones.

    OpenSlide asks for the memory of a whole tile, and its library ends the process where that is
    not to be had: a byte that a bad disk flipped in a size must not be read by it.
    """
    for level, tile in enumerate(tiles):
        if tile is not None and tile[0] * tile[1] > MOST_TILE_PX:
            return f"it claims tiles of {tile[0]} x {tile[1]} px at level {level}"
    return None


def _number(said: object) -> float | None:
    try:
        value = math.nan if said is None else float(str(said))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
