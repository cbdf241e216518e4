"""Amounts of haematoxylin and eosin: first the ground between the nuclei, then the nuclei."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_smoothsal.sample_data.noise import FibreField, Field, enlarge, ramp, smooth_noise
from napari_smoothsal.sample_data.nuclei import Nucleus
from napari_smoothsal.sample_data.tissue_model import STEP_UM, Layout, Region


def paint_ground(
    rng: np.random.Generator,
    layout: Layout,
    fibres: FibreField,
    nuclei: list[Nucleus],
    shape: tuple[int, int],
    mpp: float,
) -> tuple[Field, Field]:
    """Collagen, cytoplasm, fat and glass.

    Parameters
    ----------
    rng
        Source of randomness.
    layout, fibres, nuclei
        What lies where; the nuclei decide the borders of the tumour's cells.
    shape, mpp
        Pixels and micrometres per pixel of the result.

    Returns
    -------
    haematoxylin, eosin : numpy.ndarray
        float32 of ``shape``, amounts of dye.
    """
    haematoxylin = np.zeros(shape, np.float32)
    eosin = np.zeros(shape, np.float32)
    # Ragged edges: the border of a tissue wanders by a micrometre or two.
    ragged = 0.12 * smooth_noise(rng, shape, mpp, 2.6) + 0.04 * smooth_noise(rng, shape, mpp, 0.8)
    painters: dict[Region, Callable[[], tuple[Field, Field]]] = {
        Region.STROMA: lambda: _collagen(rng, fibres, shape, mpp),
        Region.LYMPHOID: lambda: _reticulum(rng, shape, mpp),
        Region.TUMOUR: lambda: _epithelium(rng, layout, nuclei, shape, mpp),
        Region.ADIPOSE: lambda: _fat(rng, layout, shape, mpp),
    }
    for region, paint in painters.items():
        if not (layout.regions == region).any():
            continue
        share = enlarge(layout.share(region), STEP_UM / mpp, shape)
        weight = ramp(share + ragged * (share > 0.02), 0.35, 0.65)
        h, e = paint()
        haematoxylin += weight * h
        eosin += weight * e
    return haematoxylin, eosin


def _collagen(
    rng: np.random.Generator, fibres: FibreField, shape: tuple[int, int], mpp: float
) -> tuple[Field, Field]:
    """Wavy bundles with clefts between them, each made of fine fibres."""
    bundles = fibres.texture(rng, 2.6, 24.0)
    strands = fibres.texture(rng, 1.0, 13.0)
    fine = fibres.texture(rng, 0.45, 8.0)
    dense = smooth_noise(rng, shape, mpp, 45.0)
    spots = smooth_noise(rng, shape, mpp, 1.3)
    # Bundles differ in how eagerly they take eosin; loose places fall apart into clefts.
    body = 0.33 + 0.07 * bundles + 0.055 * strands + 0.04 * fine + 0.05 * dense + 0.02 * spots
    clefts = ramp(
        0.8 * bundles + 0.5 * strands + 0.25 * fine + 0.35 * spots + 0.7 * dense, -1.5, -0.8
    )
    grain = 0.025 * smooth_noise(rng, shape, mpp, 0.4)
    eosin = np.clip(body + grain, 0.08, 0.8) * (0.10 + 0.90 * clefts)
    haematoxylin = (0.06 + 0.02 * fine + 0.02 * dense + 0.015 * spots).clip(0)
    haematoxylin *= 0.3 + 0.7 * clefts
    return haematoxylin, eosin


def _reticulum(rng: np.random.Generator, shape: tuple[int, int], mpp: float) -> tuple[Field, Field]:
    """What shows between lymphocytes: scanty cytoplasm, a mesh of threads, clear spaces."""
    mesh = smooth_noise(rng, shape, mpp, 1.7)
    threads = np.exp(-((mesh / 0.28) ** 2))
    loose = smooth_noise(rng, shape, mpp, 14.0)
    clear = ramp(smooth_noise(rng, shape, mpp, 2.1) - 0.45 * loose, 0.7, 1.3)
    grain = smooth_noise(rng, shape, mpp, 0.5)
    eosin = (0.17 + 0.09 * threads + 0.04 * grain + 0.03 * loose) * (1 - 0.85 * clear)
    haematoxylin = (0.10 + 0.03 * threads + 0.03 * grain).clip(0) * (1 - 0.8 * clear)
    return haematoxylin, eosin.clip(0)


def _epithelium(
    rng: np.random.Generator,
    layout: Layout,
    nuclei: list[Nucleus],
    shape: tuple[int, int],
    mpp: float,
) -> tuple[Field, Field]:
    """Tumour cells' cytoplasm: one territory per nucleus, granular, with visible borders."""
    haematoxylin = np.full(shape, 0.12, np.float32)
    eosin = np.full(shape, 0.3, np.float32)
    wobble = 0.9 * smooth_noise(rng, shape, mpp, 2.5), 0.9 * smooth_noise(rng, shape, mpp, 2.5)
    grain = smooth_noise(rng, shape, mpp, 0.45)
    patches = smooth_noise(rng, shape, mpp, 2.2)
    vacuoles = ramp(smooth_noise(rng, shape, mpp, 1.5), 2.3, 2.7)
    cells = [n for n in nuclei if n.kind.tumour]
    per_cell = rng.standard_normal((len(cells) + 1, 2), dtype=np.float32)
    if len(cells) > 2:
        centres = np.array([(n.y_um, n.x_um) for n in cells])
        inside = enlarge(layout.share(Region.TUMOUR), STEP_UM / mpp, shape) > 0.05
        which, first, second = _territories(centres, inside, wobble, mpp)
        own = per_cell[which]
        # Near a border both distances are alike.
        border = np.exp(-(((second - first) / 0.85) ** 2))
        pale = ramp(own[:, 0], 0.9, 1.5)
        # Shrinkage opens some borders into clear lines, others are darker membranes.
        opened = border * ramp(patches[inside] + 0.6 * own[:, 1], 0.3, 1.0)
        retracted = ramp(first, 11.5, 16.0)
        e = 0.29 + 0.055 * own[:, 0] + 0.03 * own[:, 1] + 0.08 * border
        e = (e - 0.12 * pale) * (1 - 0.75 * opened) * (1 - 0.7 * retracted)
        h = 0.13 + 0.03 * own[:, 1] + 0.03 * border
        h = (h - 0.04 * pale) * (1 - 0.8 * opened) * (1 - 0.75 * retracted)
        eosin[inside], haematoxylin[inside] = e, h
    eosin = eosin + 0.035 * grain + 0.035 * patches
    haematoxylin = haematoxylin + 0.028 * grain + 0.02 * patches
    return (haematoxylin * (1 - 0.9 * vacuoles)).clip(0), (eosin * (1 - 0.85 * vacuoles)).clip(0)


def _fat(
    rng: np.random.Generator, layout: Layout, shape: tuple[int, int], mpp: float
) -> tuple[Field, Field]:
    """Empty round cells with thin walls that meet in small triangles."""
    height, width = layout.size_um
    pitch = 52.0
    rows, columns = int(height / pitch) + 3, int(width / pitch) + 3
    grid = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1)
    grid = grid + 0.5 * (grid[..., ::-1] % 2) * np.array([0, 1])
    centres = (grid.reshape(-1, 2) - 0.5 + rng.uniform(-0.42, 0.42, (rows * columns, 2))) * pitch
    inside = enlarge(layout.share(Region.ADIPOSE), STEP_UM / mpp, shape) > 0.05
    wobble = 3 * smooth_noise(rng, shape, mpp, 14.0), 3 * smooth_noise(rng, shape, mpp, 14.0)
    _, first, second = _territories(centres, inside, wobble, mpp)
    wall = np.exp(-(((second - first) / 2.0) ** 2)) + 0.8 * ramp(first, 36.0, 40.0)
    torn = ramp(smooth_noise(rng, shape, mpp, 18.0)[inside], -1.6, -1.2)
    eosin = np.zeros(shape, np.float32)
    eosin[inside] = (0.27 * wall * torn).clip(0, 0.35)
    return eosin * np.float32(0.2), eosin


def _territories(
    centres: NDArray[np.float64],
    inside: NDArray[np.bool_],
    wobble: tuple[Field, Field],
    mpp: float,
) -> tuple[NDArray[np.int64], Field, Field]:
    """Nearest centre of each pixel inside, and the distances to the nearest and the next."""
    row, column = np.nonzero(inside)
    points = np.stack(
        [
            (row + 0.5) * mpp + wobble[0][inside],
            (column + 0.5) * mpp + wobble[1][inside],
        ],
        axis=1,
    )
    distance, which = cKDTree(centres).query(points, k=2)
    return which[:, 0], distance[:, 0].astype(np.float32), distance[:, 1].astype(np.float32)


class NucleusPainter:
    """Draws nuclei into fields of dye.

    Parameters
    ----------
    rng
        Source of the chromatin's texture.
    mpp
        Micrometres per pixel of the fields.
    """

    _SHEET = 512

    def __init__(self, rng: np.random.Generator, mpp: float) -> None:
        self.mpp = mpp
        sheet = (self._SHEET, self._SHEET)
        self.coarse = smooth_noise(rng, sheet, mpp, 0.75)
        self.fine = smooth_noise(rng, sheet, mpp, 0.32)

    def paint(self, nucleus: Nucleus, haematoxylin: Field, eosin: Field) -> None:
        """Draw one nucleus, in place; parts outside the fields are cut off."""
        mpp, kind = self.mpp, nucleus.kind
        reach = nucleus.long_um * 1.25 + kind.gap_um + 1.5
        top = max(int((nucleus.y_um - reach) / mpp), 0)
        left = max(int((nucleus.x_um - reach) / mpp), 0)
        bottom = min(int((nucleus.y_um + reach) / mpp) + 2, haematoxylin.shape[0])
        right = min(int((nucleus.x_um + reach) / mpp) + 2, haematoxylin.shape[1])
        if top >= bottom or left >= right:
            return
        y = ((np.arange(top, bottom) + 0.5) * mpp - nucleus.y_um)[:, None]
        x = ((np.arange(left, right) + 0.5) * mpp - nucleus.x_um)[None, :]
        distance = np.hypot(y, x)
        radius = nucleus.radius(np.arctan2(y, x))
        # Micrometres inside the outline; measured along the radius, hence scaled for long shapes.
        depth = (radius - distance) * np.minimum(1.0, 1.4 * nucleus.short_um / radius)
        cover = np.clip(depth / max(mpp, 0.45) + 0.5, 0, 1)

        rng = np.random.default_rng(nucleus.texture)
        oy, ox = rng.integers(0, self._SHEET - 160, 2)
        window = slice(oy, oy + bottom - top), slice(ox, ox + right - left)
        coarse, fine = self.coarse[window], self.fine[window]
        texture = 0.75 * coarse + 0.45 * fine
        amount = nucleus.haematoxylin * (1 + kind.clumps * texture)
        amount = amount + kind.rim * np.exp(-(((depth - 0.45) / 0.5) ** 2)) * (1 + 0.3 * coarse)
        # Chromatin collects at the membrane and leaves the middle paler.
        hollow = np.clip(1 - distance / np.maximum(radius, 0.1), 0, 1)
        amount -= kind.rim * 0.35 * nucleus.haematoxylin * hollow
        if kind.nucleoli[1]:
            for _ in range(int(rng.integers(kind.nucleoli[0], kind.nucleoli[1] + 1))):
                angle, part = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.5)
                ny = part * nucleus.short_um * np.sin(angle)
                nx = part * nucleus.short_um * np.cos(angle)
                size = rng.uniform(0.5, 0.95) * (1.0 if kind.tumour else 0.6)
                spot = np.exp(-((y - ny) ** 2 + (x - nx) ** 2) / (2 * (0.75 * size) ** 2))
                amount += 0.9 * spot
        amount = np.maximum(amount, 0.12)

        place = slice(top, bottom), slice(left, right)
        if kind.gap_um > 0:
            # Shrinkage leaves a clear space, on one side more than on the other.
            lean = 0.55 + 0.45 * np.cos(np.arctan2(y, x) - rng.uniform(0, 2 * np.pi))
            gap = np.exp(-((np.minimum(depth, 0) / kind.gap_um) ** 2)) * lean * 0.75
            haematoxylin[place] *= 1 - gap * (haematoxylin[place] < 0.35)
            eosin[place] *= 1 - gap * (haematoxylin[place] < 0.35)
        haematoxylin[place] += cover * (amount - haematoxylin[place])
        eosin[place] += cover * (0.16 + 0.08 * np.minimum(amount, 1) - eosin[place])
