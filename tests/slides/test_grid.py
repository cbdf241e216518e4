"""The grid's arithmetic: kept parts cover a region, and pixels lie where their centres say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_smoothsal.core.errors import (
    MissingResolutionError,
    SettingError,
    SlideTooCoarseError,
)
from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.slides.grid import (
    LayerShape,
    map_grid,
    model_scale,
    plan_grid,
    tiles_in_tissue,
    window_weights,
)
from napari_smoothsal.slides.tissue import TissueMask


@st.composite
def grids(draw):
    tile = draw(st.integers(48, 320))
    layers = {}
    for i in range(draw(st.integers(1, 3))):
        stride = 2 ** draw(st.integers(0, 4))
        centre = draw(st.sampled_from([0.0, (stride - 1) / 2, 1.0, stride * 0.75]))
        layers[str(i)] = LayerShape(
            (stride, stride), (centre, centre), (-(-tile // stride), -(-tile // stride))
        )
    scale = (draw(st.floats(0.8, 5)), draw(st.floats(0.8, 5)))
    region = (
        draw(st.integers(0, 3000)),
        draw(st.integers(0, 3000)),
        draw(st.integers(1, 2000)),
        draw(st.integers(1, 2000)),
    )
    overlap = draw(st.sampled_from([0.25, 0.0, 0.5]))
    return region, scale, tile, layers, min(16, tile // 8), overlap


@given(grids())
@settings(max_examples=150, deadline=None)
def test_the_kept_parts_cover_every_pixel_of_every_map(case) -> None:
    region, scale, tile, layers, halo, overlap = case
    grid = plan_grid(region, scale, tile, layers, halo, overlap)
    for window in grid.windows.values():
        target = map_grid(region, scale, window)
        for axis in (0, 1):
            covered = np.zeros(target.shape[axis], bool)
            for origin in np.unique(grid.origins[:, axis]):
                assert origin % window.stride[axis] == 0  # no tile falls between layer pixels
                start = origin // window.stride[axis] + window.first[axis] - target.origin[axis]
                covered[max(0, start) : max(0, start + window.count[axis])] = True
            assert covered.all()


@given(grids())
@settings(max_examples=100, deadline=None)
def test_the_map_covers_the_region_and_its_pixels_lie_on_their_centres(case) -> None:
    region, scale, tile, layers, halo, overlap = case
    grid = plan_grid(region, scale, tile, layers, halo, overlap)
    for window in grid.windows.values():
        target = map_grid(region, scale, window)
        for axis, (start, size) in enumerate(((region[1], region[3]), (region[0], region[2]))):
            d, s, c = scale[axis], window.stride[axis], window.centre[axis]
            # By hand: layer pixel g is centred on model pixel g s + c, whose centre lies at
            # (g s + c + 1/2) d in continuous level-0 coordinates.
            first = (target.origin[axis] * s + c + 0.5) * d - 0.5
            assert target.translate_px[axis] == pytest.approx(first)
            low = target.translate_px[axis] + 0.5 - target.scale_px[axis] / 2
            high = low + target.shape[axis] * target.scale_px[axis]
            assert low <= start + 1e-6 and high >= start + size - 1e-6


def test_a_view_uses_the_tiles_of_the_slide() -> None:
    layer = {"l": LayerShape((4, 4), (0, 0), (56, 56))}
    whole = plan_grid((0, 0, 5000, 4000), (1.0, 1.0), 224, layer, 16, 0.25)
    view = plan_grid((1234, 987, 600, 500), (1.0, 1.0), 224, layer, 16, 0.25)
    slide = {tuple(o) for o in whole.origins}
    assert {tuple(o) for o in view.origins} <= slide


def test_tiles_of_299_px_leave_no_gap() -> None:
    layers = {
        "a": LayerShape((8, 8), (13, 13), (35, 35)),
        "b": LayerShape((32, 32), (37, 37), (8, 8)),
    }
    grid = plan_grid((0, 0, 3000, 3000), (1.0, 1.0), 299, layers)
    assert grid.step % 32 == 0 and grid.step <= 8 * 32


@pytest.mark.parametrize(
    ("tile", "halo", "stride"), [(16, 2, 32), (64, 40, 4), (64, 32, 16), (33, 0, 64)]
)
def test_a_tile_too_small_for_the_layer_is_refused(tile, halo, stride) -> None:
    layers = {"deep": LayerShape((stride, stride), (0, 0), (max(1, tile // stride),) * 2)}
    with pytest.raises(SettingError, match="tile"):
        plan_grid((0, 0, 500, 500), (1.0, 1.0), tile, layers, halo)


def test_weights_are_positive_symmetric_and_flat_where_tiles_do_not_overlap() -> None:
    layer = {"l": LayerShape((4, 4), (0, 0), (56, 56))}
    grid = plan_grid((0, 0, 900, 900), (1.0, 1.0), 224, layer, 16, 0.25)
    weights = window_weights(grid.windows["l"], grid.step)
    assert weights.shape == (48, 48) and weights.min() > 0
    assert np.allclose(weights, weights[::-1]) and np.allclose(weights, weights.T)
    middle = weights[12:36, 12:36]
    assert np.all(middle == 1)
    alone = window_weights(grid.windows["l"], 192)
    assert np.all(alone == 1)


def slide_of(mpp) -> ArraySlide:
    return ArraySlide([np.zeros((32, 32, 3), np.uint8)], mpp=mpp, name="case")


def test_scale() -> None:
    assert model_scale(slide_of((0.25, 0.25)), 0.5) == (2, 2)
    assert model_scale(slide_of((0.499, 0.499)), 0.5) == (1, 1)  # within 1 %: read as it is
    assert model_scale(slide_of((0.24253, 0.24265)), 0.5) == pytest.approx((2.0616, 2.0606), 1e-4)
    assert model_scale(slide_of((0.55, 0.55)), 0.5) == pytest.approx((0.909, 0.909), 1e-3)
    with pytest.raises(SlideTooCoarseError, match="--upsample"):
        model_scale(slide_of((1.0, 1.0)), 0.5)
    assert model_scale(slide_of((1.0, 1.0)), 0.5, upsample=True) == (0.5, 0.5)
    with pytest.raises(MissingResolutionError, match=r"case.*mpp"):
        model_scale(slide_of(None), 0.5)
    with pytest.raises(MissingResolutionError, match="input_mpp"):
        model_scale(slide_of((1.0, 1.0)), None)


@given(grids())
@settings(max_examples=100, deadline=None)
def test_every_place_of_the_region_is_in_the_kept_cell_of_exactly_one_tile(case) -> None:
    """A tile's cell is what lies before its next neighbour's: cells cover without overlap."""
    region, scale, tile, layers, halo, overlap = case
    for stitched in (layers, {}):
        grid = plan_grid(region, scale, tile, stitched, halo, overlap)
        for axis, (start, size) in enumerate(((region[1], region[3]), (region[0], region[2]))):
            begins = np.unique(grid.origins[:, axis])
            assert (np.diff(begins) == grid.step).all()
            # Kept pixels begin behind the halo, to within a layer pixel.
            first = begins[0] + grid.halo
            slack = max((max(w.stride) for w in grid.windows.values()), default=0)
            assert first * scale[axis] <= start + slack * scale[axis] + 1e-6
            end = begins[-1] + tile - grid.halo + slack  # the last one has no next neighbour
            assert end * scale[axis] >= start + size - 1e-6
        assert len(grid) == len(np.unique(grid.origins, axis=0))


@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.02, 0.6),
    st.sampled_from([1.0, 2.0, 2.0005, 1.37, 0.9]),
    st.integers(40, 300),
)
@settings(max_examples=60, deadline=None)
def test_tiles_side_by_side_hold_every_piece_of_tissue_once(seed, share, d, tile) -> None:
    rng = np.random.default_rng(seed)
    mask = TissueMask(rng.random((30, 40)) < share * rng.random((30, 40)), (16.5, 16.25), "all")
    width, height = round(40 * 16.25), 30 * 33 // 2
    grid = plan_grid((0, 0, width, height), (d, d), tile, {}, 0, 0.0)
    boxes = grid.boxes()
    shares = mask.fractions(boxes[:, 0], boxes[:, 1], boxes[0, 2], boxes[0, 3])
    kept = grid.selected(tiles_in_tissue(shares, 0.0))
    # The tissue of the tiles that are kept adds up to all that there is: none twice, none missed.
    found = mask.fractions(*kept.boxes()[:, :2].T, boxes[0, 2], boxes[0, 3]) if len(kept) else 0.0
    assert np.sum(found) * boxes[0, 2] * boxes[0, 3] == pytest.approx(mask.area, rel=1e-6, abs=1e-3)
