"""A picture of a damaged slide: all that can be read, and no more than that is left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_smoothsal.core.errors import SlideError, TileReadError
from napari_smoothsal.slides.damage import DAMAGE_PX, read_around_damage

GREY = (96, 96, 96)


@given(
    st.tuples(st.integers(1, 150), st.integers(1, 150)),
    st.lists(st.tuples(st.integers(0, 149), st.integers(0, 149)), max_size=4),
)
def test_what_is_near_no_damage_is_read_and_the_rest_is_named(shape, holes) -> None:
    whole = np.random.default_rng(0).integers(100, 256, (*shape, 3), dtype=np.uint8)
    bad = np.zeros(shape, bool)
    for y, x in holes:
        bad[y : y + 1, x : x + 1] = True

    def read(x: int, y: int, w: int, h: int):
        part = np.s_[y : y + h, x : x + w]
        if bad[part].any():
            raise TileReadError("damaged")
        return whole[part]

    picture, damaged = read_around_damage(read, shape, GREY)
    assert damaged[bad].all() and damaged.any() == bad.any()
    assert (picture[damaged] == GREY).all() and np.array_equal(picture[~damaged], whole[~damaged])
    for y, x in np.argwhere(damaged):
        near = np.s_[max(0, y - DAMAGE_PX) : y + DAMAGE_PX, max(0, x - DAMAGE_PX) : x + DAMAGE_PX]
        assert bad[near].any()


def test_any_other_error_is_none_of_the_picture_s() -> None:
    def closed(*_where: int):
        raise SlideError("the slide has been closed")

    with pytest.raises(SlideError, match="closed"):
        read_around_damage(closed, (40, 40), GREY)
