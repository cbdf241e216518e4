"""The class map in napari: outlined, named, in place, updated as the store grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Layer
from unets import PositiveUNet, segmenter

from napari_smoothsal import SaliencySpec, Tiling, explain_slide
from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.viewer.class_layer import ClassOverlay
from napari_smoothsal.viewer.map_picture import ClassPicture
from napari_smoothsal.viewer.readers import read_stores
from napari_smoothsal.viewer.reading_panel import ReadingPanel
from napari_smoothsal.viewer.told import Reading


def stored(folder: Path, **changes: Any) -> ClassPicture:
    """A store of two levels, its lower half not written."""
    values = np.zeros((64, 96), np.uint8)
    values[:32] = 1
    values[8:24, 40:60] = 3
    root = zarr.create_group(folder, overwrite=True)
    for name, level in (("0", values), ("1", values[::2, ::2])):
        root.create_array(name, data=level, chunks=(16, 16))
    fields: dict[str, Any] = {
        "store": str(folder),
        "paths": ("0", "1"),
        "shape": (60, 88),
        "scale_um": (0.5, 0.5),
        "translate_um": (100.0, 50.0),
        "outcomes": ("background", "normal", "tumour"),
        "colours": ("#000000", "#0072b2", "#d55e00"),
        "background": "background",
        **changes,
    }
    return ClassPicture(**fields)


@pytest.fixture
def viewer() -> Any:
    return ViewerModel()


def add_slide(viewer: Any) -> Any:
    picture = np.zeros((500, 700, 3), np.uint8)
    return viewer.add_layer(Image(picture, rgb=True, scale=(0.5, 0.5), units=("um", "um")))


@pytest.mark.parametrize("part", ["view", "slide"])
def test_it_is_outlined_named_and_in_place(viewer: Any, tmp_path: Path, part: Any) -> None:
    slide = add_slide(viewer)
    over = viewer.add_image(np.zeros((4, 4)), scale=(0.5, 0.5), units=("um", "um"))
    ClassOverlay(viewer, slide, (0.5, 0.5), part=part).show(stored(tmp_path / "c"))
    assert list(viewer.layers[:2]) == [slide, over]
    assert viewer.layers.selection.active is over
    layer = viewer.layers[2]
    assert layer.multiscale == (part == "slide") and layer.contour == 2 and not layer.editable
    assert tuple(layer.translate) == (100, 50) and tuple(layer.scale) == (0.5, 0.5)
    colours = layer.colormap.color_dict
    assert colours[0][3] == 0 and colours[1][3] == 0
    assert tuple(layer.get_color(3)) == pytest.approx((0xD5 / 255, 0x5E / 255, 0, 1), abs=0.01)
    assert list(layer.features["class"]) == ["not computed", "background", "normal", "tumour"]
    # On a pixel of the tumour, the status names it.
    assert "tumour" in str(layer.get_status((100 + 12 * 0.5, 50 + 50 * 0.5), world=True))


def test_it_grows_with_the_store_and_keeps_what_the_user_chose(viewer: Any, tmp_path: Path) -> None:
    slide = add_slide(viewer)
    picture = stored(tmp_path / "c")
    overlay = ClassOverlay(viewer, slide, (0.5, 0.5), part="view")
    overlay.show(picture)
    layer = viewer.layers[1]
    zarr.open_array(str(tmp_path / "c" / "0"), mode="r+")[32:] = 2
    overlay.show(picture)
    assert viewer.layers[1] is layer and (layer.data[40] == 2).all()
    layer.visible, layer.contour, layer.opacity = False, 0, 0.2
    ClassOverlay(viewer, slide, (0.5, 0.5), part="view").show(stored(tmp_path / "d"))
    assert len(viewer.layers) == 2
    again = viewer.layers[1]
    assert (again.visible, again.contour, again.opacity) == (False, 0, 0.2)
    viewer.layers.remove(again)
    overlay.show(picture)
    assert list(viewer.layers) == [slide]


def test_the_reading_says_which_colour_is_which_class(qtbot: Any, tmp_path: Path) -> None:
    panel = ReadingPanel()
    qtbot.addWidget(panel)
    reading = Reading(
        tiles=4,
        failed=0,
        target="tumour",
        empty=3,
        total_variation=1.5,
        standard_error=0.02,
        samples=20,
        counted="noise samples",
        displaced_um=7.04,
        probabilities={"background": 0.8, "normal": 0.15, "tumour": 0.05},
        predicted={"normal": 3, "tumour": 1},
        weak=2,
        otherwise=1,
    )
    panel.show_reading("This slide", reading, stored(tmp_path / "c").shown)
    assert '#d55e00">&#9632;</span> tumour <b>0.05</b>, 1 of 4' in panel.text
    assert "nbsp;background" in panel.text  # it is not outlined
    assert "In 3 of them no pixel is predicted as tumour: the map is zero there" in panel.text
    assert "coarse structure lies up to 7.0 \u00b5m beside what it shows" in panel.text
    assert "2 tiles weakly predicted</b> (below 0.8)" in panel.text
    assert "1 tile</b> predicted as another class than the explained tumour: hatched" in panel.text
    assert "fine structure" not in panel.text
    fine = reading.model_copy(update={"fine_displaced_um": 1.0})
    panel.show_reading("This slide", fine)
    assert "beside what it shows, its fine structure up to 1.0 \u00b5m;" in panel.text
    update = {"displaced_um": 0.0, "weak": 0, "otherwise": 0}
    panel.show_reading("This slide", reading.model_copy(update=update))
    assert not any(word in panel.text for word in ("beside", "weakly", "hatched"))


def test_a_finished_store_opens_with_its_classes(tmp_path: Path) -> None:
    pixels = np.zeros((300, 300, 3), np.uint8)
    pixels[100:104, 60:64] = 255
    slide = ArraySlide([pixels], mpp=(0.5, 0.5), background=(0, 0, 0))
    model = segmenter(PositiveUNet(), "nothing", "dot")
    spec = SaliencySpec(layer="stem", samples=0, denoising="original")
    out = tmp_path / "s.smoothsal.zarr"
    explain_slide(slide, model, [spec], out, tiling=Tiling(tissue="all"), progress=False)
    layers = [Layer.create(*found) for found in read_stores(str(out))]
    assert [type(layer).__name__ for layer in layers] == ["Image", "Labels", "Image"]
    classes = layers[1]
    assert classes.data[102, 62] == 2 and classes.data[10, 10] == 1
    assert not classes.visible  # one overlay at a time
    assert tuple(classes.scale) == (0.5, 0.5)
