"""Nuclei: their kinds, where they lie, and their outlines. No pixels yet (see ``painting``)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.sample_data.noise import FibreField
from napari_smoothsal.sample_data.tissue_model import Layout, Region

HARMONICS = (2, 3, 4, 5)


@dataclass(frozen=True)
class NucleusKind:
    """What the nuclei of one cell type look like; pairs are (lowest, highest).

    Parameters
    ----------
    radius_um
        Radius of the circle of the same area.
    aspect
        Long over short axis.
    irregularity
        Relative size of bumps of the outline.
    haematoxylin
        Mean amount of dye.
    rim
        Extra dye at the nuclear membrane.
    clumps
        Contrast of the chromatin, relative.
    nucleoli
        Fewest and most nucleoli.
    gap_um
        Width of the clear shrinkage space around the nucleus.
    spacing
        Least distance between two centres over the sum of the radii.
    """

    name: str
    tumour: bool
    radius_um: tuple[float, float]
    aspect: tuple[float, float]
    irregularity: float
    haematoxylin: tuple[float, float]
    rim: float
    clumps: float
    nucleoli: tuple[int, int]
    gap_um: float
    spacing: float


LYMPHOCYTE = NucleusKind(
    "lymphocyte", False, (2.7, 3.9), (1.0, 1.4), 0.05, (0.75, 1.2), 0.22, 0.42, (0, 0), 1.0, 0.9
)
HISTIOCYTE = NucleusKind(
    "histiocyte", False, (3.3, 4.5), (1.2, 1.8), 0.05, (0.38, 0.6), 0.35, 0.3, (0, 1), 0.0, 1.1
)
FIBROBLAST = NucleusKind(
    "fibroblast", False, (2.0, 3.3), (2.4, 6.5), 0.06, (0.5, 1.1), 0.12, 0.3, (0, 0), 0.4, 0.9
)
VESICULAR = NucleusKind(
    "vesicular tumour cell",
    True,
    (4.9, 7.4),
    (1.05, 1.5),
    0.05,
    (0.36, 0.62),
    0.5,
    0.42,
    (1, 3),
    0.0,
    0.98,
)
HYPERCHROMATIC = NucleusKind(
    "hyperchromatic tumour cell",
    True,
    (5.0, 7.8),
    (1.1, 1.8),
    0.075,
    (0.75, 1.15),
    0.25,
    0.33,
    (0, 1),
    0.3,
    1.0,
)
MITOSIS = NucleusKind(
    "mitosis", True, (4.2, 5.4), (2.0, 3.2), 0.17, (1.3, 1.6), 0.0, 0.15, (0, 0), 2.0, 1.5
)

# (kind, tries per 1000 square micrometres). Tries that come too close to a neighbour fail.
POPULATION: dict[Region, tuple[tuple[NucleusKind, float], ...]] = {
    Region.GLASS: (),
    Region.STROMA: ((FIBROBLAST, 1.9), (LYMPHOCYTE, 0.35), (HISTIOCYTE, 0.2)),
    Region.LYMPHOID: ((LYMPHOCYTE, 95.0), (HISTIOCYTE, 3.6)),
    Region.TUMOUR: ((VESICULAR, 13.0), (HYPERCHROMATIC, 3.5), (MITOSIS, 0.08), (LYMPHOCYTE, 0.7)),
    Region.ADIPOSE: (),
}


@dataclass(frozen=True)
class Nucleus:
    """One nucleus: centre, axes and bumps of the outline, and how it is stained."""

    kind: NucleusKind
    y_um: float
    x_um: float
    long_um: float
    short_um: float
    angle: float
    bumps: tuple[tuple[float, float], ...]
    haematoxylin: float
    texture: int

    @property
    def classification(self) -> str:
        """Its name in the ground truth."""
        return "tumour nucleus" if self.kind.tumour else "normal nucleus"

    def radius(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        """Distance of the outline from the centre, in micrometres, in directions ``theta``."""
        turned = theta - self.angle
        product = self.long_um * self.short_um
        ellipse = product / np.hypot(self.short_um * np.cos(turned), self.long_um * np.sin(turned))
        wave = np.ones_like(turned)
        for order, (height, phase) in zip(HARMONICS, self.bumps, strict=True):
            wave += height * np.cos(order * turned + phase)
        return np.asarray(ellipse * wave)

    def outline(self) -> NDArray[np.float64]:
        """Vertices (n, 2) of the outline as (y, x) in micrometres, not closed."""
        count = 8 if self.long_um < 4.5 else 14
        # Equal steps of the ellipse's parameter put more vertices at the narrow ends.
        step = np.arange(count) * (2 * np.pi / count)
        theta = np.arctan2(self.short_um * np.sin(step), self.long_um * np.cos(step)) + self.angle
        radius = self.radius(theta)
        return np.stack(
            [self.y_um + radius * np.sin(theta), self.x_um + radius * np.cos(theta)], axis=1
        )


def _draw(
    rng: np.random.Generator, kind: NucleusKind, y: float, x: float, direction: float
) -> Nucleus:
    radius = rng.uniform(*kind.radius_um)
    aspect = rng.uniform(*kind.aspect)
    spread = 0.22 if kind is FIBROBLAST else np.pi
    return Nucleus(
        kind,
        y,
        x,
        radius * np.sqrt(aspect),
        radius / np.sqrt(aspect),
        direction + rng.uniform(-spread, spread),
        tuple(
            (rng.normal(0, kind.irregularity) * 2 / order, rng.uniform(0, 2 * np.pi))
            for order in HARMONICS
        ),
        rng.uniform(*kind.haematoxylin),
        int(rng.integers(1 << 30)),
    )


def scatter_nuclei(
    rng: np.random.Generator, layout: Layout, fibres: FibreField, tumour_scale: float = 1.0
) -> list[Nucleus]:
    """Random nuclei that keep their distance (dart throwing), by kind of tissue.

    Parameters
    ----------
    rng
        Source of randomness.
    layout
        What tissue lies where.
    fibres
        Spindle-shaped nuclei follow these.
    tumour_scale
        Size of this tumour's nuclei relative to the usual.
    """
    height, width = layout.size_um
    darts: list[tuple[float, float, NucleusKind]] = []
    for region, population in POPULATION.items():
        share = float((layout.regions == region).mean())
        for kind, tries in population:
            # Thrown over the whole area, kept where the tissue is right.
            count = int(tries * height * width / 1000) if share > 0 else 0
            places = rng.uniform((0, 0), (height, width), (count, 2))
            rows = (places / 2.0).astype(int)
            hit = layout.regions[
                np.minimum(rows[:, 0], layout.regions.shape[0] - 1),
                np.minimum(rows[:, 1], layout.regions.shape[1] - 1),
            ] == int(region)
            darts += [(float(y), float(x), kind) for y, x in places[hit]]
    order = rng.permutation(len(darts))

    cell = 16.0  # no two nuclei farther apart than this can touch
    bins: defaultdict[tuple[int, int], list[tuple[float, float, float]]] = defaultdict(list)
    nuclei: list[Nucleus] = []
    for index in order:
        y, x, kind = darts[index]
        nucleus = _draw(rng, kind, y, x, fibres.direction(y, x))
        if kind.tumour and tumour_scale != 1.0:
            nucleus = _scaled(nucleus, tumour_scale)
        reach = 0.5 * (nucleus.short_um + nucleus.long_um) * kind.spacing
        row, column = int(y // cell), int(x // cell)
        near = (
            other
            for i in (row - 1, row, row + 1)
            for j in (column - 1, column, column + 1)
            for other in bins.get((i, j), ())
        )
        if all((y - oy) ** 2 + (x - ox) ** 2 > (reach + r) ** 2 for oy, ox, r in near):
            bins[row, column].append((y, x, reach))
            nuclei.append(nucleus)
    return nuclei


def _scaled(nucleus: Nucleus, scale: float) -> Nucleus:
    fields = {**nucleus.__dict__}
    fields["long_um"] *= scale
    fields["short_um"] *= scale
    return Nucleus(**fields)
