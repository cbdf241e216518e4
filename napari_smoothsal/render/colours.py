"""The diverging palette of signed maps: transparent at zero, amber for, teal against.

Haematoxylin is blue to purple and eosin pink, so the two ends lie where stained tissue has no
colours; amber and teal also stay apart for every common colour-vision deficiency.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SUPPORTS = (1.00, 0.66, 0.00)
AGAINST = (0.00, 0.62, 0.62)

STOPS: tuple[tuple[float, tuple[float, float, float, float]], ...] = (
    (0.00, (0.00, 0.36, 0.40, 1.00)),
    (0.25, (*AGAINST, 0.75)),
    (0.50, (1.00, 1.00, 1.00, 0.00)),
    (0.75, (*SUPPORTS, 0.75)),
    (1.00, (0.80, 0.36, 0.00, 1.00)),
)
"""(position from 0 to 1, RGBA): -limit, zero and +limit are at 0, 0.5 and 1."""


def coloured(values: NDArray[np.floating], limit: float) -> NDArray[np.float64]:
    """RGBA (h, w, 4), 0..1, of signed values; NaN and zero are fully transparent.

    Parameters
    ----------
    values
        (h, w).
    limit
        Magnitude that gets the full colour; larger values keep it.
    """
    position = np.nan_to_num(np.clip(values / max(limit, 1e-30), -1, 1), nan=0.0) / 2 + 0.5
    places = [place for place, _ in STOPS]
    colours = np.array([colour for _, colour in STOPS])
    return np.stack([np.interp(position, places, colours[:, c]) for c in range(4)], axis=-1)


def over(
    picture: NDArray[np.uint8], overlay: NDArray[np.float64], opacity: float = 1.0
) -> NDArray[np.uint8]:
    """Lay an RGBA overlay (h, w, 4) over an RGB picture (h, w, 3)."""
    alpha = overlay[..., 3:] * opacity
    mixed = overlay[..., :3] * alpha + picture / 255.0 * (1 - alpha)
    return np.asarray(np.rint(mixed * 255), dtype=np.uint8)
