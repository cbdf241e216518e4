"""Which tile a place belongs to: the nearest whose map reaches it, as asking each tile says."""

from __future__ import annotations

import numpy as np
import pytest

from napari_smoothsal.runs.tile_lattice import TileLattice

RNG = np.random.default_rng(0)


def lattice(kept: float, rows: int = 5, columns: int = 6, missing: float = 0.3) -> TileLattice:
    there = RNG.random((rows, columns)) >= missing
    numbers = np.zeros((rows, columns), np.int32)
    numbers[there] = np.arange(1, there.sum() + 1)
    return TileLattice(numbers, (13.5, -7.25), (kept, 1.1 * kept), (40.0, 44.0))


def boxes(found: TileLattice) -> dict[int, tuple[float, float]]:
    """(y, x) where the map of each tile begins."""
    return {
        int(found.tiles[i, j]): (
            found.corner_px[0] + i * found.step_px[0],
            found.corner_px[1] + j * found.step_px[1],
        )
        for i, j in np.argwhere(found.tiles)
    }


@pytest.mark.parametrize("kept", [40.0, 48.0, 53.3, 80.0, 100.0, 160.0])
def test_a_place_belongs_to_a_tile_that_reaches_it_and_to_none_where_none_does(kept: float) -> None:
    found = lattice(kept)
    begin = boxes(found)
    present = RNG.random(len(begin)) < 0.7
    owners = found.owners(present)
    y, x = np.linspace(-90, 330, 137), np.linspace(-110, 380, 141)
    owned = found.at(owners, y, x)
    height, width = found.kept_px
    reached = np.zeros((len(y), len(x)), bool)
    for number, (top, left) in begin.items():
        inside = ((y >= top) & (y < top + height))[:, None] & ((x >= left) & (x < left + width))
        assert not (owned == number)[~inside].any()
        if present[number - 1]:
            reached |= inside
        else:
            assert not (owned == number).any()
    assert np.array_equal(owned > 0, reached)


@pytest.mark.parametrize("kept", [40.0, 53.3, 80.0, 110.0])
def test_in_its_own_cell_a_tile_has_the_first_word(kept: float) -> None:
    found = lattice(kept)
    begin = boxes(found)
    owners = found.owners(np.ones(len(begin), bool))
    for number, (top, left) in begin.items():
        middle = np.add((top, left), np.divide(found.kept_px, 2))
        for dy, dx in RNG.uniform(-0.5, 0.5, (20, 2)):
            place = middle + (dy, dx) * np.array(found.step_px)
            assert found.at(owners, place[:1], place[1:])[0, 0] == number


def test_alone_a_tile_owns_its_whole_map_and_beside_another_half_of_what_they_share() -> None:
    one = TileLattice(np.array([[1]], np.int32), (0.0, 0.0), (50.0, 50.0), (40.0, 40.0))
    y = np.arange(-10, 60) + 0.5
    assert (one.at(one.owners(np.ones(1, bool)), y, y) > 0).sum() == 50 * 50
    two = TileLattice(np.array([[1, 2]], np.int32), (0.0, 0.0), (50.0, 50.0), (40.0, 40.0))
    across = two.at(two.owners(np.ones(2, bool)), y[35:36], np.arange(0, 90) + 0.5)[0]
    assert list(across) == [1] * 45 + [2] * 45
    across = two.at(two.owners(np.array([True, False])), y[35:36], np.arange(0, 90) + 0.5)[0]
    assert list(across) == [1] * 50 + [0] * 40


def test_without_overlap_there_are_no_parts() -> None:
    found = lattice(40.0)
    assert found.cuts == ((), ()) and found.beyond == (0, 0)
    assert np.array_equal(found.owners(np.ones(found.tiles.max(), bool)), found.tiles)
