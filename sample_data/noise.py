"""Random fields from which every texture of the synthetic tissue is made.

All lengths are micrometres, so that a texture keeps its physical size whatever the resolution
it is drawn at; all fields have zero mean and unit variance by arithmetic, not by measurement,
so that a small tile and a whole slide get the same contrast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float32]


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], mpp: float, scale_um: float
) -> Field:
    """Gaussian random field whose features are about ``scale_um`` in size.

    Parameters
    ----------
    rng
        Source of randomness; its state alone decides the field.
    shape
        Rows and columns in pixels.
    mpp
        Micrometres per pixel.
    scale_um
        Standard deviation of the smoothing kernel.

    Returns
    -------
    numpy.ndarray
        float32 of ``shape``.
    """
    sigma = scale_um / mpp
    # A wide kernel is cheaper on a coarse grid, enlarged afterwards.
    step = max(1, int(sigma / 2))
    coarse = (-(-shape[0] // step) + 3, -(-shape[1] // step) + 3)
    field = rng.standard_normal(coarse, dtype=np.float32)
    sigma /= step
    if sigma > 0.3:
        field = ndimage.gaussian_filter(field, sigma, mode="wrap")
        field *= np.float32(max(1.0, 2 * np.sqrt(np.pi) * sigma))
    if step > 1:
        field = enlarge(field, step, shape)
    return field[: shape[0], : shape[1]]


def enlarge(coarse: Field, factor: float, shape: tuple[int, int]) -> Field:
    """Linear interpolation of ``coarse`` on a grid ``factor`` times as fine, cut to ``shape``."""
    # Values belong to the centres of pixels, in both grids.
    rows = (np.arange(shape[0], dtype=np.float32) + 0.5) / np.float32(factor) - np.float32(0.5)
    columns = (np.arange(shape[1], dtype=np.float32) + 0.5) / np.float32(factor) - np.float32(0.5)
    return _interpolate(_interpolate(coarse, rows).T, columns).T


def _interpolate(field: Field, at: Field) -> Field:
    """Linear interpolation of the rows of ``field`` at fractional row numbers."""
    low = np.clip(at.astype(np.int64), 0, field.shape[0] - 2)
    weight = np.clip(at - low, 0, 1).astype(np.float32)[:, None]
    mixed = field[low] * (1 - weight)
    mixed += field[low + 1] * weight
    return np.asarray(mixed)


def ramp(field: Field, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high``, straight between."""
    return np.asarray(np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1))


class FibreField:
    """Wavy parallel fibres: coordinates along and across them, and textures stretched along.

    Parameters
    ----------
    rng
        Source of randomness.
    shape, mpp
        Pixels and micrometres per pixel of the area.
    angle
        Direction of the fibres in radians; they bend around it.
    contours
        If given, fibres follow the contour lines of this field (micrometres, of ``shape``)
        instead of ``angle``: a capsule's run along its edge.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        shape: tuple[int, int],
        mpp: float,
        angle: float,
        contours: Field | None = None,
    ) -> None:
        self.mpp = mpp
        y = (np.arange(shape[0], dtype=np.float32)[:, None] + 0.5) * mpp
        x = (np.arange(shape[1], dtype=np.float32)[None, :] + 0.5) * mpp
        self.along: Field = (x * np.cos(angle) + y * np.sin(angle)).astype(np.float32)
        across = (y * np.cos(angle) - x * np.sin(angle)).astype(np.float32)
        if contours is not None:
            across = contours.copy()
        across += 70 * smooth_noise(rng, shape, mpp, 130.0)
        across += 10 * smooth_noise(rng, shape, mpp, 24.0)
        across += 2.2 * smooth_noise(rng, shape, mpp, 6.0)
        across += 0.45 * smooth_noise(rng, shape, mpp, 1.8)
        self.across: Field = across

    def texture(self, rng: np.random.Generator, width_um: float, length_um: float) -> Field:
        """Noise with features ``width_um`` across and ``length_um`` along the fibres."""
        side = 1024
        sheet = rng.standard_normal((side, side), dtype=np.float32)
        sheet = ndimage.gaussian_filter(sheet, 1.5, mode="wrap") * np.float32(
            2 * np.sqrt(np.pi) * 1.5
        )
        # Features of the sheet are 1.5 px wide, hence the factors.
        rows = self.across * np.float32(1.5 / width_um)
        columns = self.along * np.float32(1.5 / length_um)
        columns = columns + rows * np.float32(0.13)
        return np.asarray(
            ndimage.map_coordinates(
                sheet, np.stack([rows, columns]), order=1, mode="grid-wrap", output=np.float32
            )
        )

    def direction(self, y_um: float, x_um: float) -> float:
        """Angle of the fibre that passes through a point, in radians."""
        row = min(max(int(y_um / self.mpp), 2), self.across.shape[0] - 3)
        column = min(max(int(x_um / self.mpp), 2), self.across.shape[1] - 3)
        dy = float(self.across[row + 2, column] - self.across[row - 2, column])
        dx = float(self.across[row, column + 2] - self.across[row, column - 2])
        return float(np.arctan2(-dx, dy))
