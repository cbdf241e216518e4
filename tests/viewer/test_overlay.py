"""Map layers: placement, growth, updates in place; on a viewer without a window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image

from napari_smoothsal.render.colours import NOT_COMPUTED, PALETTES, coloured
from napari_smoothsal.viewer.map_picture import MapPicture
from napari_smoothsal.viewer.overlay import Overlay
from napari_smoothsal.viewer.placement import placement_on, resolution_of
from napari_smoothsal.viewer.stored_pixels import StoredPixels
from napari_smoothsal.viewer.ways import TINT, colormap_of

SHAPE = (60, 88)


def stored(folder: Path, **changes: Any) -> MapPicture:
    """A store of two levels, half written."""
    values = np.full((64, 96), np.nan, np.float32)
    values[:32] = np.linspace(-1, 1, 96)
    root = zarr.create_group(folder, overwrite=True)
    for name, level in (("0", values), ("1", values[::2, ::2])):
        root.create_array(name, data=level, chunks=(16, 16))
    fields: dict[str, Any] = {
        "store": str(folder),
        "paths": ("0", "1"),
        "shape": SHAPE,
        "scale_um": (2.0, 2.0),
        "translate_um": (101.25, 51.25),
        "key": "layer1.original.gradient.tumour",
        "title": "layer1 | original | gradient | supports tumour / speaks against",
        "legend": ("supports tumour", "speaks against tumour"),
        "limit": 1.0,
        "limit_of": "normal tissue",
        "stretched": 0.5,
        "palette": "amber and teal",
        "target": "tumour",
        "model": "tiny",
        **changes,
    }
    return MapPicture(**fields)


@pytest.fixture
def viewer() -> Any:
    return ViewerModel()


def add_slide(viewer: Any, **options: Any) -> Any:
    picture = np.zeros((500, 700, 3), np.uint8)
    return viewer.add_layer(Image(picture, rgb=True, **options))


PLACES: dict[str, dict[str, Any]] = {
    "our slide": {"scale": (0.5, 0.5), "units": ("um", "um")},
    "in pixels": {},
    "in millimetres": {"scale": (5e-4, 5e-4), "units": ("mm", "mm")},
    "moved": {"scale": (0.5, 0.5), "translate": (30.0, -7.0), "units": ("um", "um")},
    "turned": {"rotate": 30, "translate": (3.0, 4.0)},
    "sheared": {"shear": [0.3], "scale": (2.0, 3.0)},
    "affine": {"affine": [[0.0, 2.0, 5.0], [-2.0, 0.0, 1.0], [0, 0, 1]], "translate": (1.0, 2.0)},
}


@pytest.mark.parametrize("name", PLACES)
def test_a_map_lies_on_the_pixels_it_was_computed_from(
    viewer: Any, tmp_path: Path, name: str
) -> None:
    slide = add_slide(viewer, **PLACES[name])
    picture = stored(tmp_path / "m")
    mpp = (0.5, 0.5)
    map_layer = viewer.add_layer(
        Image(np.zeros(SHAPE), **placement_on(slide, picture, mpp), contrast_limits=(-1, 1))
    )
    for pixel in ((0, 0), (59, 87), (13.5, 40.25)):
        level0 = (np.array(picture.translate_um) + np.array(pixel) * picture.scale_um) / mpp
        np.testing.assert_allclose(
            map_layer.data_to_world(pixel), slide.data_to_world(level0), atol=1e-6
        )
    assert map_layer.units == slide.units


def test_resolution_comes_from_units_of_length_only(viewer: Any) -> None:
    assert resolution_of(add_slide(viewer, **PLACES["our slide"])) == (0.5, 0.5)
    assert resolution_of(add_slide(viewer, **PLACES["in millimetres"])) == pytest.approx((0.5, 0.5))
    assert resolution_of(add_slide(viewer)) is None


@pytest.mark.parametrize("palette", PALETTES)
def test_colours_are_those_of_the_figures_and_nan_is_veiled(palette: str) -> None:
    colormap = colormap_of(TINT, palette)
    values = np.array([-1.0, -0.6, -0.2, 0.0, 0.3, 0.8, 1.0])
    want = coloured(values[None], 1.0, PALETTES[palette])[0]
    np.testing.assert_allclose(colormap.map((values + 1) / 2), want, atol=0.02)
    np.testing.assert_allclose(colormap.map(np.array([np.nan]))[0], NOT_COMPUTED, atol=1e-6)
    assert colormap.map(np.array([0.5]))[0, 3] < 0.01


def test_the_coarsest_level_grows_in_place(tmp_path: Path) -> None:
    picture = stored(tmp_path / "m")
    pixels = StoredPixels(picture)
    finer, coarsest = pixels.data
    assert pixels.multiscale and isinstance(coarsest, np.ndarray)
    assert np.isnan(coarsest[16:]).all() and not np.isnan(coarsest[:16]).any()
    zarr.open_array(str(tmp_path / "m" / "1"), mode="r+")[16:] = 0.5
    zarr.open_array(str(tmp_path / "m" / "0"), mode="r+")[32:] = 0.25
    pixels.reload()
    assert pixels.data[1] is coarsest
    assert (coarsest[16:] == 0.5).all() and (np.asarray(finer[32:]) == 0.25).all()


def test_explaining_again_updates_the_same_layer(viewer: Any, tmp_path: Path) -> None:
    slide = add_slide(viewer, **PLACES["our slide"])
    Overlay(viewer, slide, (0.5, 0.5), part="view").show(stored(tmp_path / "a"))
    (_, layer) = viewer.layers
    layer.opacity = 0.3
    told = "layer1 | original | gradient baseline=white | supports tumour"
    moved = stored(tmp_path / "b", translate_um=(7.0, 9.0), shape=(20, 30), limit=2.0, title=told)
    Overlay(viewer, slide, (0.5, 0.5), part="view").show(moved)
    assert list(viewer.layers) == [slide, layer]
    assert layer.name == f"{told} (view)"
    assert layer.data.shape == (20, 30)
    assert tuple(layer.translate) == (7.0, 9.0)
    assert layer.opacity == 0.3
    assert tuple(layer.contrast_limits) == (-2, 2)
    layer.name = "mine"
    Overlay(viewer, slide, (0.5, 0.5), part="view").show(stored(tmp_path / "a"))
    assert layer.name == "mine"


def test_a_partial_map_says_so_until_it_is_complete(viewer: Any, tmp_path: Path) -> None:
    slide = add_slide(viewer, **PLACES["our slide"])
    overlay = Overlay(viewer, slide, (0.5, 0.5), part="slide")
    picture = stored(tmp_path / "a")
    overlay.show(picture, complete=False)
    assert overlay.layer.name == f"{picture.title} (partial)"
    overlay.show(picture)
    assert overlay.layer.name == picture.title
    region = Overlay(viewer, slide, (0.5, 0.5), part="region")
    region.show(picture, complete=False)
    assert region.layer.name == f"{picture.title} (region, partial)"


def test_limits_that_the_user_set_stay(viewer: Any, tmp_path: Path) -> None:
    slide = add_slide(viewer, **PLACES["our slide"])
    overlay = Overlay(viewer, slide, (0.5, 0.5), part="slide")
    overlay.show(stored(tmp_path / "a"))
    overlay.layer.contrast_limits = (-0.4, 0.4)
    overlay.show(stored(tmp_path / "a", limit=3.0))
    assert tuple(overlay.layer.contrast_limits) == (-0.4, 0.4)


def test_another_map_hides_the_one_before_and_a_deleted_one_stays_deleted(
    viewer: Any, tmp_path: Path
) -> None:
    slide = add_slide(viewer, **PLACES["our slide"])
    other = Overlay(viewer, add_slide(viewer), (0.5, 0.5), part="view")
    other.show(stored(tmp_path / "o"))
    first = Overlay(viewer, slide, (0.5, 0.5), part="view")
    first.show(stored(tmp_path / "a"))
    second = Overlay(viewer, slide, (0.5, 0.5), part="slide")
    second.show(stored(tmp_path / "b", key="layer2.original.gradient.tumour"))
    assert not first.layer.visible and second.layer.visible
    assert other.layer.visible and slide.visible
    viewer.layers.remove(second.layer)
    second.show(stored(tmp_path / "b", key="layer2.original.gradient.tumour"))
    assert second.layer not in viewer.layers
