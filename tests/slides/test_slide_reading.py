"""Reading boxes: exact where aligned, the area mean elsewhere, reflected at the bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from slide_pictures import halved, noise

from napari_smoothsal.core.errors import MissingResolutionError, SlideError, TileReadError
from napari_smoothsal.slides import ArraySlide, Box, open_slide
from napari_smoothsal.slides import base as base_module


@pytest.fixture(params=["array", "tiff"])
def pyramid(request, tiff):
    image = noise(300, 260)
    levels = [image, halved(image), halved(halved(image))]
    slide = ArraySlide(levels, mpp=(0.5, 0.5)) if request.param == "array" else None
    slide = slide or open_slide(tiff(levels))
    with slide:
        yield slide, levels


def test_sizes_and_resolution(pyramid) -> None:
    slide, _ = pyramid
    assert (slide.width, slide.height) == (260, 300)
    assert slide.bounds == (0, 0, 260, 300)
    assert slide.level_dimensions == ((260, 300), (130, 150), (65, 75))
    assert slide.level_downsamples == (1.0, 2.0, 4.0)
    assert slide.mpp == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_region_is_the_levels_pixels(pyramid, level: int) -> None:
    slide, levels = pyramid
    d = 2**level
    got = slide.read_region(8 * d, 4 * d, 21, 17, level)
    assert got.dtype == np.uint8
    assert np.array_equal(got, levels[level][4:21, 8:29])


def test_outside_the_slide_is_background(pyramid) -> None:
    slide, levels = pyramid
    got = slide.read_region(-5, 290, 20, 20)
    assert (got[:, :5] == 255).all() and (got[10:] == 255).all()
    assert np.array_equal(got[:10, 5:], levels[0][290:300, :15])
    assert (slide.read_region(5000, 5000, 3, 3) == 255).all()


def test_an_aligned_box_is_the_region_bit_for_bit(pyramid) -> None:
    slide, levels = pyramid
    assert np.array_equal(
        slide.read_box(Box(13, 27, 64, 48), (64, 48)), slide.read_region(13, 27, 64, 48)
    )
    assert np.array_equal(slide.read_box(Box(12, 8, 64, 48), (32, 24)), levels[1][4:28, 6:38])


def test_size_is_width_then_height(pyramid) -> None:
    slide, _ = pyramid
    assert slide.read_box(Box(0, 0, 20, 10), (20, 10)).shape == (10, 20, 3)


def test_a_hairs_breadth_coarser_still_reads_the_2x_level(pyramid) -> None:
    slide, levels = pyramid
    n = 32
    got = slide.read_box(Box(20, 40, n * 2.0005, n * 2.0005), (n, n)).astype(int)
    # Level 1's own pixels, at most 32 * 0.00025 = 0.8 % of a neighbour mixed in.
    assert np.abs(got - levels[1][20:52, 10:42]).max() <= 255 * 0.0085 * 2 + 1


@settings(max_examples=40, deadline=None)
@given(st.floats(1.0, 1.97), st.floats(5.0, 40.0), st.floats(5.0, 40.0), st.floats(1.0, 1.97))
def test_a_float_box_is_the_area_mean(d_x: float, x: float, y: float, d_y: float) -> None:
    image = noise(120, 110)
    n = 8
    got = ArraySlide([image]).read_box(Box(x, y, n * d_x, n * d_y), (n, n)).astype(float)
    table = np.zeros((121, 111, 3))
    table[1:, 1:] = image.cumsum(0, dtype=float).cumsum(1)

    def up_to(v: float, u: float) -> np.ndarray:
        i, j = int(v), int(u)
        a, b = v - i, u - j
        upper = table[i, j] * (1 - b) + table[i, j + 1] * b
        return upper * (1 - a) + (table[i + 1, j] * (1 - b) + table[i + 1, j + 1] * b) * a

    for row in range(n):
        for column in range(n):
            y0, y1 = y + row * d_y, y + (row + 1) * d_y
            x0, x1 = x + column * d_x, x + (column + 1) * d_x
            total = up_to(y1, x1) - up_to(y0, x1) - up_to(y1, x0) + up_to(y0, x0)
            assert np.abs(got[row, column] - total / (d_x * d_y)).max() <= 0.51


def test_beyond_the_border_it_is_reflected(pyramid) -> None:
    slide, levels = pyramid
    padded = np.pad(levels[0], ((10, 10), (10, 10), (0, 0)), mode="reflect")
    assert np.array_equal(slide.read_box(Box(-10, -10, 30, 30), (30, 30)), padded[:30, :30])
    assert np.array_equal(slide.read_box(Box(240, 280, 30, 30), (30, 30)), padded[290:, 250:])


def test_a_box_much_larger_than_the_slide_is_reflected_again_and_again() -> None:
    image = noise(5, 7)
    got = ArraySlide([image]).read_box(Box(-30, -30, 70, 70), (70, 70))
    assert np.array_equal(got, np.pad(image, ((30, 35), (30, 33), (0, 0)), mode="reflect"))
    one = ArraySlide([image[:1, :1]]).read_box(Box(-3, -3, 8, 8), (8, 8))
    assert (one == image[0, 0]).all()


def test_reflection_is_at_the_bounds_not_at_the_canvas() -> None:
    image = noise(60, 60)
    slide = ArraySlide([image], bounds=(10, 20, 30, 25))
    got = slide.read_box(Box(5, 15, 10, 10), (10, 10))
    expected = np.pad(image[20:45, 10:40], ((5, 5), (5, 5), (0, 0)), mode="reflect")[:10, :10]
    assert np.array_equal(got, expected)
    assert slide.thumbnail(60).shape == (60, 60, 3)
    assert np.array_equal(slide.thumbnail(60), image), "a thumbnail shows the whole canvas"


@pytest.mark.parametrize("kind", ["array", "tiff"])
def test_odd_levels_do_not_drift_towards_the_far_edge(kind: str, tiff) -> None:
    """1001 px halved are 500: a ratio of 2.002, which would be a pixel off at the end."""
    # Two grey values per pixel, so that every mean of two is whole again.
    ramp = np.clip((np.arange(1001) - 880) * 2, 0, 255).astype(np.uint8)
    image = np.broadcast_to(ramp[None, :, None], (401, 1001, 3)).copy()
    levels = [image, halved(image)]
    slide = ArraySlide(levels) if kind == "array" else open_slide(tiff(levels))
    with slide:
        got = slide.read_box(Box(940.6, 340.6, 40, 40), (20, 20)).astype(float)
    middle = (940.6 + (np.arange(20) + 0.5) * 2 - 0.5 - 880) * 2
    # Drift would be 0.94 px * 2 = 1.9 grey values.
    assert np.abs(got - middle[None, :, None]).max() < 1.1


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_level_that_cannot_be_addressed_exactly_is_not_shifted(tiff, axis: str) -> None:
    """OpenSlide takes whole level-0 px: level pixel 143 of a 2.0035x level is at 286.5."""
    ramp = np.clip((np.arange(1001) - 250) * 2, 0, 255).astype(np.uint8)
    image = np.broadcast_to(ramp[None, :, None], (401, 1001, 3)).copy()
    image = image if axis == "x" else image.swapaxes(0, 1).copy()
    with open_slide(tiff([image, halved(image)])) as slide:
        assert not slide.level_downsamples[1].is_integer()
        for x in np.arange(276, 296):
            box = Box(x, 100, 40, 40) if axis == "x" else Box(100, x, 40, 40)
            got = slide.read_box(box, (20, 20)).astype(float)
            got = got if axis == "x" else got.swapaxes(0, 1)
            middle = (x + (np.arange(20) + 0.5) * 2 - 0.5 - 250) * 2
            # The quarter of a level pixel would be 1 grey value, on top of rounding.
            assert abs((got - middle[None, :, None]).mean()) < 0.7


def test_enlarging_is_linear_interpolation() -> None:
    image = np.broadcast_to((np.arange(40) * 6)[None, :, None], (40, 40, 3)).astype(np.uint8)
    got = ArraySlide([image]).read_box(Box(10, 10, 5, 5), (20, 20)).astype(float)
    expected = (10 + (np.arange(20) + 0.5) * 0.25 - 0.5) * 6
    assert np.abs(got[:, :, 0] - expected).max() <= 0.51


def test_bands_of_a_large_box_join_without_a_seam(monkeypatch) -> None:
    slide = ArraySlide([noise(200, 180)])
    box = Box(3.3, 4.4, 150.2, 170.7)
    whole = slide.read_box(box, (60, 70)).astype(int)
    monkeypatch.setattr(base_module, "BAND_PIXELS", 2000)
    assert np.abs(slide.read_box(box, (60, 70)).astype(int) - whole).max() <= 1


def test_thumbnail_fits_and_keeps_its_shape(pyramid) -> None:
    slide, levels = pyramid
    assert slide.thumbnail(75).shape == (75, 65, 3)
    assert np.array_equal(slide.thumbnail(75), levels[2])
    assert slide.thumbnail(10_000).shape == levels[0].shape


def test_too_large_a_read_is_refused_before_anything_is_allocated(pyramid) -> None:
    slide, _ = pyramid
    with pytest.raises(SlideError, match="smaller regions"):
        slide.read_region(0, 0, 2**20, 2**20)
    with pytest.raises(SlideError, match="smaller regions"):
        slide.read_box(Box(0, 0, 10, 10), (2**20, 2**20))
    with pytest.raises(SlideError, match="far larger"):
        slide.read_box(Box(0, 0, 1e13, 1e13), (5, 5))
    for empty in (Box(0, 0, 0, 10), Box(0, 0, 10, float("nan")), Box(float("inf"), 0, 1, 1)):
        with pytest.raises(SlideError, match="area"):
            slide.read_box(empty, (5, 5))
    with pytest.raises(SlideError, match="level 9"):
        slide.read_region(0, 0, 5, 5, level=9)


def test_a_closed_slide_says_so(pyramid) -> None:
    slide, _ = pyramid
    slide.close()
    with pytest.raises(SlideError, match="closed"):
        slide.read_region(0, 0, 5, 5)


def test_missing_resolution_names_the_slide_and_the_remedy() -> None:
    slide = ArraySlide([noise(5, 5)], name="anonymous")
    with pytest.raises(MissingResolutionError, match=r"anonymous.*--mpp.*mpp="):
        slide.require_mpp()


def test_arrays_transparency_shows_the_background() -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[1, :, 3] = 255
    rgba[2, :, 3] = 51
    got = ArraySlide([rgba], background=(250, 240, 230)).read_region(0, 0, 4, 4)
    assert got[0, 0].tolist() == [250, 240, 230]
    assert got[1, 0].tolist() == [200, 0, 0]
    assert got[2, 0].tolist() == [240, 192, 184]


@pytest.mark.parametrize(
    "levels",
    [[], [np.zeros((4, 4), np.uint8)], [np.zeros((4, 4, 3))], [noise(4, 4), noise(8, 8)]],
    ids=["none", "grey", "float", "coarse first"],
)
def test_arrays_that_are_no_slide_are_refused(levels) -> None:
    with pytest.raises(SlideError):
        ArraySlide(levels, name="layer")


def test_an_array_that_fails_to_read_is_a_tile_error() -> None:
    class Broken:
        shape, dtype = (50, 50, 3), np.dtype(np.uint8)

        def __getitem__(self, key):
            raise OSError("chunk is gone")

    with pytest.raises(TileReadError, match="cannot be read"):
        ArraySlide([Broken()]).read_region(0, 0, 5, 5)


def test_fingerprint_is_of_the_pixels() -> None:
    image = noise(20, 20)
    other = image.copy()
    other[10, 10] ^= 255
    same = ArraySlide([image.copy()], name="b", mpp=(1, 1)).fingerprint
    assert ArraySlide([image], name="a").fingerprint == same
    assert ArraySlide([other]).fingerprint != same


def test_zarr_and_dask_arrays_are_slides_too() -> None:
    da = pytest.importorskip("dask.array")
    zarr = pytest.importorskip("zarr")
    image = noise(40, 50)
    box = Box(3.5, 4.25, 20, 20)
    expected = ArraySlide([image]).read_box(box, (10, 10))
    lazy = da.from_array(image, chunks=(16, 16, 3))
    stored = zarr.array(image, chunks=(16, 16, 3))
    assert np.array_equal(ArraySlide([lazy]).read_box(box, (10, 10)), expected)
    assert np.array_equal(ArraySlide([stored]).read_box(box, (10, 10)), expected)


FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")


@pytest.mark.parametrize("resampling", FILTERS)
def test_a_box_of_whole_pixels_is_pillows_crop_and_resize_bit_for_bit(pyramid, resampling) -> None:
    slide, levels = pyramid
    picture = Image.fromarray(levels[0])
    by = Image.Resampling[resampling.upper()]
    for box, size in (((13, 27, 175, 175), (112, 112)), ((0, 0, 260, 300), (65, 75))):
        x, y, w, h = box
        expected = np.asarray(picture.crop((x, y, x + w, y + h)).resize(size, by))
        assert np.array_equal(slide.read_box(Box(*box), size, resampling), expected)


@pytest.mark.parametrize("resampling", FILTERS[2:])
def test_a_box_of_fractions_is_within_a_grey_value_of_pillows(pyramid, resampling) -> None:
    _, levels = pyramid
    smooth = ndimage.gaussian_filter(levels[0], (3, 3, 0))
    picture, by = Image.fromarray(smooth), Image.Resampling[resampling.upper()]
    with ArraySlide([smooth]) as slide:
        got = slide.read_box(Box(40.3, 50.7, 99.5, 80.2), (60, 50), resampling).astype(int)
    expected = picture.resize((60, 50), by, box=(40.3, 50.7, 139.8, 130.9))
    inside = np.s_[3:-3, 3:-3]  # where no filter reaches the whole pixels around the box
    assert np.abs(got - np.asarray(expected).astype(int))[inside].max() <= 1


@pytest.mark.parametrize("resampling", FILTERS)
def test_pillow_sees_the_slide_reflected_beyond_its_bounds(pyramid, resampling) -> None:
    slide, levels = pyramid
    padded = np.pad(levels[0], ((40, 40), (40, 40), (0, 0)), mode="reflect")
    by = Image.Resampling[resampling.upper()]
    # Across a corner, across the far end, and wholly outside.
    for x, y, side in ((-30, -20, 70), (240, 270, 50), (-35, 10, 30)):
        cut = padded[y + 40 : y + 40 + side, x + 40 : x + 40 + side]
        expected = np.asarray(Image.fromarray(cut).resize((32, 32), by))
        got = slide.read_box(Box(x, y, side, side), (32, 32), resampling)
        assert np.array_equal(got, expected)


def test_pillow_reads_level_0_where_the_area_mean_reads_a_coarser_one(pyramid) -> None:
    _, levels = pyramid
    black = ArraySlide([levels[0], np.zeros_like(levels[1])])
    box = Box(0, 0, 200, 200)
    assert black.read_box(box, (100, 100)).max() == 0
    assert black.read_box(box, (100, 100), "bilinear").max() > 100


def test_a_box_too_large_for_level_0_is_refused_with_a_way_out() -> None:
    class Huge:
        shape, dtype = (20_000, 20_000, 3), np.uint8

        def __getitem__(self, _key):
            raise AssertionError("nothing may be read")

    with pytest.raises(SlideError, match="'area' in the model's card"):
        ArraySlide([Huge()]).read_box(Box(0, 0, 10_000, 10_000), (100, 100), "bicubic")
    with pytest.raises(SlideError, match="no area"):
        ArraySlide([noise(9, 9)]).read_box(Box(0, 0, 0, 4), (2, 2), "bicubic")
