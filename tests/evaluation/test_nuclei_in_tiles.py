"""Maps of single tiles against nuclei whose place is known by hand."""

import math

import pytest
import shapely
import torch
from placed_maps import outlines

from napari_smoothsal.evaluation.followed_tile import Places
from napari_smoothsal.evaluation.nuclei_in_tiles import NucleiInTiles
from napari_smoothsal.slides import Box

# 0.25 um per px down and 0.5 to the right: tiles of 32 um, whose maps have 8 x 8 pixels of 4 um.
MPP = (0.25, 0.5)
BOXES = [Box(120, 200, 64, 128), Box(300, 200, 64, 128)]
PLACES = Places((4.0, 4.0), (1.5, 1.5))


def square(row: float, column: float, height: float = 4) -> shapely.Polygon:
    """A nucleus 4 um wide in the first tile; where its corner lies, in um."""
    top, left = 200 + row / MPP[0], 120 + column / MPP[1]
    return shapely.box(left, top, left + 4 / MPP[1], top + height / MPP[0])


def in_tiles(*of_class: shapely.Polygon) -> NucleiInTiles:
    found = outlines(tumour_nucleus=list(of_class), normal_nucleus=[square(20, 4)])
    return NucleiInTiles(found, BOXES, MPP, tile_px=32)


def peak(row: int, column: int) -> torch.Tensor:
    values = torch.zeros(8, 8)
    values[row, column] = 1
    return values


def test_a_map_that_is_on_the_nucleus_alone_has_all_of_it() -> None:
    known = in_tiles(square(8, 20))
    assert known.auroc(0, "tumour", peak(2, 5), PLACES) == 1
    assert known.auroc(0, "tumour", -peak(2, 5), PLACES) == 0
    assert known.auroc(0, "tumour", torch.ones(8, 8), PLACES) == 0.5
    # Anywhere else, be it on a nucleus of another class, one pixel of 63 is wrongly above.
    for place in ((5, 2), (5, 1), (2, 4)):
        found = known.auroc(0, "tumour", peak(*place), PLACES)
        assert found == pytest.approx((62 / 2) / 63)
    assert known.auroc(0, "normal", peak(5, 1), PLACES) == 1


def test_a_pixel_counts_by_how_much_of_it_is_nucleus() -> None:
    found = in_tiles(square(8, 20, height=2)).auroc(0, "tumour", peak(2, 5), PLACES)
    # Half of the peak is nucleus, half is not: against itself it is neither above nor below.
    assert found == pytest.approx((63 + 0.5 / 2) / 63.5)


def test_a_map_is_where_its_pixels_are_centred() -> None:
    known = in_tiles(square(8, 20))
    moved = Places((4.0, 4.0), (1.5, 5.5))  # one pixel to the right
    assert known.auroc(0, "tumour", peak(2, 4), moved) == 1
    assert known.auroc(0, "tumour", peak(2, 5), moved) < 0.5
    fine = torch.zeros(16, 16)
    fine[4:6, 10:12] = 1
    assert known.auroc(0, "tumour", fine, Places((2.0, 2.0), (0.5, 0.5))) == 1


def test_where_nothing_is_known_there_is_no_score() -> None:
    known = in_tiles(square(8, 20))
    assert math.isnan(known.auroc(1, "tumour", peak(2, 5), PLACES))  # no nucleus in that tile
    assert math.isnan(known.auroc(0, "stroma", peak(2, 5), PLACES))  # no such class of outlines
