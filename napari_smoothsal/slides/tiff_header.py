"""Was a TIFF file cut short? Most slides are TIFF files; many keep their directory at the end."""

from __future__ import annotations

import struct
from pathlib import Path

HEADER_BYTES = 16
_ORDERS = {b"II": "<", b"MM": ">"}
_OFFSETS = {42: (4, "I"), 43: (8, "Q")}
"""Of classic and of big TIFF: where the offset of the first directory lies, and its type."""


def tiff_is_cut_short(path: Path) -> bool:
    """Whether a TIFF file ends before its first directory; False of what is no TIFF file.

    TIFF 6.0, section 2: the header holds a byte order, a version, and the directory's offset.
    """
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
        size = path.stat().st_size
    except OSError:
        return False
    order = _ORDERS.get(header[:2])
    if order is None or len(header) < 4:
        return False
    (version,) = struct.unpack_from(f"{order}H", header, 2)
    if version not in _OFFSETS:
        return False
    place, kind = _OFFSETS[version]
    if len(header) < place + struct.calcsize(order + kind):
        return True
    (offset,) = struct.unpack_from(order + kind, header, place)
    return bool(offset + 2 > size)
