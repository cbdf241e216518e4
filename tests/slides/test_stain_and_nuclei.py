"""What is measured of tissue: stain as it was put on, nuclei as large as they were drawn."""

import numpy as np
import pytest
from skimage.color import rgb_from_hed
from tissue_pictures import tissue

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.slides.nuclear_size import LEAST_NUCLEI, LEAST_PLACES, nuclear_size
from napari_smoothsal.slides.stain import LEAST_TILES, measured_stain, stain_of, stain_range_of


def test_densities_are_those_that_were_put_on() -> None:
    amounts = (0.5, 0.3, 0.1)
    density = sum(a * row for a, row in zip(amounts, rgb_from_hed, strict=True))
    tile = np.broadcast_to(np.round(255 * 10**-density), (32, 32, 3)).astype(np.uint8)
    # rgb_from_hed's rows are not quite of length one; the residual takes what rounding leaves.
    assert stain_of(tile) == pytest.approx(amounts, abs=0.01)


def test_glass_and_ink_are_no_tissue_and_do_not_dilute_it() -> None:
    whole = tissue(96, 13)[32:]
    mixed = np.concatenate([whole, np.full_like(whole, 245), np.zeros_like(whole)])
    assert stain_of(mixed) == pytest.approx(stain_of(whole))
    assert stain_of(np.full((32, 32, 3), 245, np.uint8)) is None
    assert stain_of(np.zeros((32, 32, 3), np.uint8)) is None
    assert measured_stain([np.full((32, 32, 3), 245, np.uint8)]) is None


def test_a_range_holds_its_own_kind_and_not_twice_the_stain() -> None:
    tiles = [tissue(64, 13, s, (1 + 0.01 * s, 1 - 0.005 * s)) for s in range(LEAST_TILES)]
    found = stain_range_of(tiles)
    assert found.outside(measured_stain(tiles)) == []
    assert found.outside(measured_stain([tissue(64, 13, 0, (2, 2))]))
    with pytest.raises(SettingError, match="19 tiles with tissue say little"):
        stain_range_of([*tiles[1:], np.full((32, 32, 3), 245, np.uint8)])


@pytest.mark.parametrize("diameter_px", [6, 9, 12, 18])
def test_nuclei_are_as_large_as_drawn_whatever_the_stain(diameter_px: int) -> None:
    tiles = [tissue(200, diameter_px, seed) for seed in range(LEAST_PLACES)]
    faint = [tissue(200, diameter_px, seed, (0.5, 0.7)) for seed in range(LEAST_PLACES)]
    for some in (tiles, faint):
        found = nuclear_size(some, 0.5)
        assert found.diameter_um == pytest.approx(diameter_px / 2, rel=0.06)


def test_size_follows_the_stated_resolution() -> None:
    tiles = [tissue(200, 12, seed) for seed in range(LEAST_PLACES)]
    one, other = nuclear_size(tiles, 0.5), nuclear_size(tiles, 0.25)
    assert one.diameter_um == pytest.approx(2 * other.diameter_um)


def test_nothing_is_said_of_too_few() -> None:
    glass = np.full((200, 200, 3), 243, np.uint8)
    assert nuclear_size([], 0.5) is None and nuclear_size([glass] * 8, 0.5) is None
    whole = tissue(200, 18)
    few = np.where(np.arange(200)[:, None, None] < 26, whole, glass)  # one row of nuclei
    assert nuclear_size([whole] * LEAST_PLACES, 0.5).places == LEAST_PLACES
    assert nuclear_size([whole] * (LEAST_PLACES - 1), 0.5) is None
    assert LEAST_NUCLEI > 200 / (1.7 * 18)
    assert nuclear_size([whole, *[few] * LEAST_PLACES], 0.5) is None
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (200, 200, 3), dtype=np.uint8) for _ in range(LEAST_PLACES)]
    assert nuclear_size(noise, 0.5) is None
