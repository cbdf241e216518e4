"""Which pixels belong to a nucleus: exact for synthetic tissue, whose outlines are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.sample_data.nuclei import Nucleus

CLASS_NAMES = ("background", "normal nucleus", "tumour nucleus")
BACKGROUND, NORMAL, TUMOUR = range(3)


def nuclei_mask(nuclei: Iterable[Nucleus], shape: tuple[int, int], mpp: float) -> NDArray[np.uint8]:
    """Class of each pixel, decided at its centre.

    Parameters
    ----------
    nuclei
        In the order in which they were painted: where two overlap, the later one is seen.
    shape
        (H, W) of the picture.
    mpp
        Its micrometres per pixel; nuclei that reach beyond are cut.

    Returns
    -------
    numpy.ndarray
        uint8 of ``shape``, indices of ``CLASS_NAMES``.
    """
    mask = np.zeros(shape, np.uint8)
    for nucleus, place, inside in _drawn(nuclei, shape, mpp):
        mask[place][inside] = TUMOUR if nucleus.kind.tumour else NORMAL
    return mask


def numbered_nuclei(
    nuclei: Iterable[Nucleus], shape: tuple[int, int], mpp: float
) -> NDArray[np.int32]:
    """The same with a number for each: 1, 2, ... of tumour nuclei, -1, -2, ... of others."""
    numbers = np.zeros(shape, np.int32)
    for number, (nucleus, place, inside) in enumerate(_drawn(nuclei, shape, mpp), start=1):
        numbers[place][inside] = number if nucleus.kind.tumour else -number
    return numbers


def _drawn(
    nuclei: Iterable[Nucleus], shape: tuple[int, int], mpp: float
) -> Iterator[tuple[Nucleus, tuple[slice, slice], NDArray[np.bool_]]]:
    """Each nucleus with a box around it and which of its pixels belong to it."""
    for nucleus in nuclei:
        # No bump makes the outline a third longer than the ellipse's long half-axis.
        reach = 4 / 3 * nucleus.long_um
        top, left = (max(int((c - reach) / mpp), 0) for c in (nucleus.y_um, nucleus.x_um))
        bottom = min(int((nucleus.y_um + reach) / mpp) + 2, shape[0])
        right = min(int((nucleus.x_um + reach) / mpp) + 2, shape[1])
        y = ((np.arange(top, bottom) + 0.5) * mpp - nucleus.y_um)[:, None]
        x = ((np.arange(left, right) + 0.5) * mpp - nucleus.x_um)[None, :]
        inside = np.hypot(y, x) < nucleus.radius(np.arctan2(y, x))
        yield nucleus, (slice(top, bottom), slice(left, right)), inside
