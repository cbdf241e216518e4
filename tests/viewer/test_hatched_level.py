"""Hatched cells: stripes of one width at every level, nested, and no tile between two of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_smoothsal.viewer.hatched_level import (
    DARK,
    DOTS,
    LIGHT,
    PERIOD,
    STRIPES,
    HatchedLevel,
    hatched_levels,
)

RNG = np.random.default_rng(0)


def test_levels_halve_exactly_and_the_coarsest_is_small() -> None:
    levels = hatched_levels(RNG.random((300, 451)) < 0.5, 64)
    sizes = [np.array(level.shape) for level in levels]
    assert all((2 * coarse == fine).all() for fine, coarse in pairwise(sizes))
    assert sizes[-1].max() <= 128 and sizes[0][0] >= 300 * 64


def test_stripes_are_as_far_apart_in_the_pixels_of_every_level() -> None:
    for level in hatched_levels(np.ones((64, 64), bool), 64)[:-1]:
        row = np.asarray(level[level.shape[0] // 2])
        dark = np.flatnonzero(row[2:-2] == DARK)
        starts = dark[np.diff(dark, prepend=-9) > 1]
        assert set(np.diff(starts)) == {PERIOD}
        # Thin enough to see the map.
        assert (np.asarray(level[2:-2, 2:-2]) > 0).mean() < 0.3


def test_going_nearer_stripes_stay_and_others_come_between() -> None:
    fine, coarse = hatched_levels(np.ones((4, 4), bool), 128)[:2]
    near, far = (np.asarray(level[level.shape[0] // 2])[3:-3] == DARK for level in (fine, coarse))
    of_far = 2 * (np.flatnonzero(far) + 3) + 0.5
    of_near = np.flatnonzero(near) + 3
    assert np.abs(of_far[:, None] - of_near).min(axis=1).max() <= 1.5
    assert near.sum() > 1.5 * far.sum()


def test_single_tiles_are_seen_at_every_level_and_no_other_is() -> None:
    hatched = np.zeros((40, 300), bool)
    hatched[3::9, 2::11] = True
    finest, *coarser = hatched_levels(hatched, 64)
    for level in (finest, *coarser):
        per_cell = 64 * level.shape[1] / finest.shape[1]
        drawn = np.asarray(level[:]) > 0
        for place in np.argwhere(hatched):
            first, last = np.floor(place * per_cell), np.ceil((place + 1) * per_cell)
            rows, columns = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
            assert drawn[rows, columns].any()
        if per_cell >= 1:
            per = int(per_cell)
            cells = drawn[: 40 * per, : 300 * per].reshape(40, per, 300, per).any(axis=(1, 3))
            assert not (cells & ~hatched).any()


@pytest.mark.parametrize("per_cell", [1, 2, 8])
def test_a_part_is_that_part_of_the_whole(per_cell: int) -> None:
    level = HatchedLevel(RNG.random((20, 30)) < 0.5, per_cell)
    whole = np.asarray(level)
    for part in (np.s_[3:17, 5:], np.s_[::2, 4::3], np.s_[7], np.s_[7, 4:9], np.s_[3, 2], ...):
        assert np.array_equal(np.asarray(level[part]), whole[part])
    assert level[4:4, :].shape == (0, level.shape[1])


def test_nothing_is_hatched_beyond_the_bounds() -> None:
    hatched, bounds = np.ones((5, 6), bool), ((100.0, 250.0), (30.0, 300.0))
    levels = hatched_levels(hatched, 64, bounds)
    for number, (level, whole) in enumerate(zip(levels, hatched_levels(hatched, 64), strict=True)):
        (top, bottom), (left, right) = (np.array(ends) / 2**number for ends in bounds)
        inside = np.s_[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
        drawn, want = np.asarray(level[:]), np.zeros(whole.shape)
        want[inside] = np.asarray(whole[:])[inside]
        assert np.array_equal(drawn, want) and drawn.any()


def test_dots_lie_on_a_pale_ground_and_stripes_on_none() -> None:
    assert DOTS.min() == LIGHT and DOTS.max() == DARK and STRIPES.min() == 0
    dark, stripes = DOTS == DARK, STRIPES == DARK
    assert 0.02 < dark.mean() < 0.15
    # Every row and column of stripes has ink; between rows of dots there is none.
    assert stripes.any(axis=0).all() and not dark.any(axis=0).all()


def test_what_is_lined_against_is_not_lost_from_afar() -> None:
    explained = np.zeros((200, 300), bool)
    explained[40:44, 60:64] = explained[101, 201] = True
    levels = hatched_levels(~explained, 32, pattern=DOTS, against=explained)
    for level in levels:
        per_cell = level.shape[1] / levels[0].shape[1] * 32
        y, x = int((101.5) * per_cell), int((201.5) * per_cell)
        assert np.asarray(level[y, x]) == 0  # a hole, whatever lies in the same pixel
    # Lines run where explained ones lie beside, and not around all.
    values = np.asarray(levels[0][:])
    assert (values[: 2 * 32] < DARK).mean() > 0.9 and (values[0] < DARK).any()
    assert (values[44 * 32 : 44 * 32 + 2, 60 * 32 : 64 * 32] == DARK).all()


def test_parts_of_a_cell_are_marked_by_themselves() -> None:
    cuts = ((0.25, 0.75), (0.5,))
    parts = np.zeros((6, 8), bool)
    parts[1, 3] = True  # the middle of the first row of cells, the right of the second column
    (level, *_) = hatched_levels(parts, 16, cuts=cuts)
    assert level.shape == (32, 64)
    rows, columns = np.nonzero(np.asarray(level[:]))
    assert (rows.min(), rows.max()) == (4, 11) and (columns.min(), columns.max()) == (24, 31)
    # From afar a cell is marked if any of its parts is.
    coarse = hatched_levels(np.tile(parts, (60, 60)), 1, cuts=cuts)[-1]
    assert np.asarray(coarse[:]).any()


def test_napari_takes_the_level_of_the_zoom() -> None:
    viewer = ViewerModel()
    levels = hatched_levels(np.ones((100, 100), bool), 256)
    layer = viewer.add_image(levels, multiscale=True, contrast_limits=(0, DARK))
    assert np.allclose(layer.downsample_factors[:, 0], 2.0 ** np.arange(len(levels)))
