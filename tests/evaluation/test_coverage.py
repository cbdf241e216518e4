"""Covered fractions against exact areas: squares, disks, holes, seams and shifts."""

import numpy as np
import pytest
import shapely
import shapely.affinity
from placed_maps import nuclei

from napari_smoothsal.evaluation import coverage as module
from napari_smoothsal.evaluation.coverage import Placement, Zone, coverage

PLACED = Placement((2.0, 2.0), (-1.0, 0.5), (40, 50))
DISK = shapely.Point(51.3, 42.7).buffer(12.0, quad_segs=128)


def covered(placed: Placement, of_class, others=(), rim_um: float = 1.0):
    return coverage(placed, np.ones(placed.shape, bool), nuclei(of_class, others), rim_um)


def pixel_boxes(placed: Placement) -> np.ndarray:
    y, x = np.indices(placed.shape).reshape(2, -1)
    (sy, sx), (top, left) = placed.scale_um, placed.corner_um
    x0, y0 = left + x * sx, top + y * sy
    return shapely.box(x0, y0, x0 + sx, y0 + sy)


def test_placement_of_a_store() -> None:
    # Level-0 pixel (0, 0) is centred at 0 for the store and half a pixel in for outlines.
    same = Placement.of((0.5, 0.5), (0.0, 0.0), (9, 9), (0.5, 0.5))
    assert same.corner_um == (0, 0)
    # A layer of stride 4 whose first pixel averages level-0 pixels 0 to 3 is centred at 1.5.
    four = Placement.of((1.0, 2.0), (1.5 * 0.25, 1.5 * 0.5), (9, 9), (0.25, 0.5))
    assert four.corner_um == (0, 0)


@pytest.mark.parametrize("shift", [0.0, 0.37])
def test_fractions_are_areas(shift: float) -> None:
    shape = shapely.affinity.rotate(shapely.box(20.2, 15.1, 61.7, 44.3), 17)
    shape = shapely.affinity.translate(shape, shift, shift)
    found = covered(PLACED, [shape])
    exact = shapely.area(shapely.intersection(pixel_boxes(PLACED), shape)) / 4
    on = found.zones[Zone.CLASS_INNER_RIM] + found.zones[Zone.CLASS_INTERIOR]
    # A straight edge through a pixel is wrong by at most half a part of 8 in a row.
    assert np.abs(on - exact).max() < 0.08
    assert on.sum() == pytest.approx(exact.sum(), rel=1e-3)
    assert found.areas == pytest.approx(exact.sum(), rel=1e-3)
    assert found.nuclei.toarray()[0] == pytest.approx(on, abs=1e-6)
    # Placed elsewhere by one pixel it would be far off.
    moved = np.roll(exact.reshape(PLACED.shape), 1, axis=1).ravel()
    assert np.abs(on - moved).max() > 0.9


def test_every_pixel_is_shared_out() -> None:
    rng = np.random.default_rng(0)
    disks = [shapely.Point(*rng.uniform(-5, 90, 2)).buffer(rng.uniform(2, 6)) for _ in range(60)]
    found = covered(PLACED, disks[:30], disks[30:])
    assert found.zones.sum(axis=0) == pytest.approx(1, abs=1e-6)
    assert (found.zones >= 0).all()
    assert found.centres_um[0].tolist() == [0.0, 1.5]


@pytest.mark.parametrize("scale", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("rim", [1.0, 2.5])
def test_rim_and_interior_of_a_disk(scale: float, rim: float) -> None:
    n = int(100 / scale)
    found = covered(Placement((scale, scale), (0.0, 0.0), (n, n)), [DISK], rim_um=rim)
    area = found.zones.sum(axis=1) * scale**2
    ring = {
        Zone.CLASS_INTERIOR: (0, 12 - rim),
        Zone.CLASS_INNER_RIM: (12 - rim, 12),
        Zone.CLASS_OUTER_RIM: (12, 12 + rim),
    }
    for zone, (inner, outer) in ring.items():
        assert area[zone] == pytest.approx(np.pi * (outer**2 - inner**2), rel=0.01), zone


def test_windows_have_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    disks = [shapely.Point(*rng.uniform(0, 100, 2)).buffer(rng.uniform(2, 9)) for _ in range(20)]
    whole = covered(PLACED, disks[:9], disks[9:])
    monkeypatch.setattr(module, "WINDOW", 100)
    parts = covered(PLACED, disks[:9], disks[9:])
    assert np.array_equal(whole.zones, parts.zones)
    assert (abs(whole.nuclei - parts.nuclei) > 1e-12).nnz == 0


def test_holes_parts_and_overlaps() -> None:
    placed = Placement((1.0, 1.0), (0.0, 0.0), (40, 40))
    ring = shapely.box(2, 2, 14, 14) - shapely.box(6, 6, 10, 10)
    two = shapely.MultiPolygon([shapely.box(20, 2, 24, 6), shapely.box(26, 2, 30, 6)])
    under, over = shapely.box(2, 20, 12, 30), shapely.box(8, 20, 18, 30)
    found = covered(placed, [ring, two, over], [under], rim_um=0.5)
    assert found.areas.tolist() == [144 - 16, 32, 100, 100]
    zone = found.zones.argmax(axis=0).reshape(placed.shape)
    assert zone[8, 8] == Zone.ELSEWHERE and zone[4, 4] == Zone.CLASS_INTERIOR
    assert zone[25, 10] == Zone.CLASS_INTERIOR, "the explained class is drawn over others"


def test_only_explained_pixels_count() -> None:
    explained = np.zeros(PLACED.shape, bool)
    explained[:, :25] = True
    found = coverage(PLACED, explained, nuclei([DISK]), 1.0)
    assert found.zones.shape == (7, explained.sum())
    whole = covered(PLACED, [DISK])
    assert np.array_equal(whole.zones[:, explained.ravel()], found.zones)
    same = whole.restricted(explained.ravel())
    assert np.array_equal(same.zones, found.zones) and same.areas == found.areas
    far = coverage(PLACED, explained, nuclei([shapely.box(900, 900, 910, 910)]), 1.0)
    assert far.areas == 0 and (far.zones[Zone.ELSEWHERE] == 1).all()
