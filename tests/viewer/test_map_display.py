"""Ways of showing, limits, hatching: what a viewer without a window holds of them."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from test_overlay import PLACES, add_slide, stored

from napari_smoothsal.runs.tile_lattice import TileLattice
from napari_smoothsal.runs.tile_states import TileStates
from napari_smoothsal.viewer.contour_lines import BANDS, BandedLevel, banded_levels, bands
from napari_smoothsal.viewer.first_limits import FirstLimits
from napari_smoothsal.viewer.map_display import MapDisplay
from napari_smoothsal.viewer.marked_tiles import NotExplained, OtherClass, said_at
from napari_smoothsal.viewer.overlay import Overlay
from napari_smoothsal.viewer.packed_states import PackedStates, packed
from napari_smoothsal.viewer.ways import CONTOURS, SPOTLIGHT, TINT

MPP = (0.5, 0.5)


def shown(viewer: Any, folder: Path, place: str = "our slide", **changes: Any) -> Overlay:
    overlay = Overlay(viewer, add_slide(viewer, **PLACES[place]), MPP, part="slide")
    overlay.show(stored(folder, **changes))
    return overlay


def test_limits_are_fixed_or_stretched_and_the_legend_says_which(
    viewer: Any, display: MapDisplay, tmp_path: Path
) -> None:
    overlay = shown(viewer, tmp_path / "a", limit=4.0, stretched=0.5, limit_of="first map")
    display.bring_up_to_date(overlay.layer)
    assert tuple(overlay.layer.contrast_limits) == (-4, 4)
    assert "of the first map" in display.text
    display.stretched.setChecked(True)
    assert tuple(overlay.layer.contrast_limits) == (-0.5, 0.5)
    assert "stretched" in display.text and "first map" not in display.text
    # The next map is shown as this one is.
    overlay.show(stored(tmp_path / "b", limit=4.0, stretched=0.25))
    display.bring_up_to_date(overlay.layer)
    assert tuple(overlay.layer.contrast_limits) == (-0.25, 0.25)
    display.stretched.setChecked(False)
    assert tuple(overlay.layer.contrast_limits) == (-4, 4)
    # What the user set is the user's.
    overlay.layer.contrast_limits = (-1, 3)
    assert "as set in the layer controls" in display.text
    display.stretched.setChecked(True)
    assert tuple(overlay.layer.contrast_limits) == (-1, 3)
    assert "as set in the layer controls" in display.text


def test_a_spotlight_is_dark_without_influence_and_clear_with_it(
    viewer: Any, display: MapDisplay, tmp_path: Path
) -> None:
    overlay = shown(viewer, tmp_path / "a")
    display.bring_up_to_date(overlay.layer)
    display.way.setCurrentText(SPOTLIGHT)
    alpha = overlay.layer.colormap.map(np.array([0.0, 0.5, 1.0]))[:, 3]
    assert alpha[0] < 0.01 and alpha[1] > 0.6 and alpha[2] < 0.01
    assert "dark: no influence" in display.text
    display.way.setCurrentText(TINT)
    assert overlay.layer.colormap.map(np.array([0.5]))[0, 3] < 0.01


@pytest.mark.parametrize("place", PLACES)
def test_contour_lines_lie_on_the_map(
    viewer: Any, display: MapDisplay, tmp_path: Path, place: str
) -> None:
    overlay = shown(viewer, tmp_path / "a", place)
    display.bring_up_to_date(overlay.layer)
    display.way.setCurrentText(CONTOURS)
    slide, layer, lines = viewer.layers
    for corner in ((-0.5, -0.5), (63.5, 95.5), (3.5, 9.5)):
        enlarged = 4 * (np.array(corner) + 0.5) - 0.5
        np.testing.assert_allclose(
            lines.data_to_world(enlarged), layer.data_to_world(corner), atol=1e-6
        )
    assert layer.colormap.map(np.array([0.0, 0.9]))[:, 3].max() == 0
    layer.visible = False
    assert not lines.visible
    layer.visible = True
    assert lines.visible
    display.way.setCurrentText(TINT)
    assert list(viewer.layers) == [slide, layer]


def test_lines_go_with_their_map(viewer: Any, display: MapDisplay, tmp_path: Path) -> None:
    overlay = shown(viewer, tmp_path / "a")
    display.bring_up_to_date(overlay.layer)
    display.way.setCurrentText(CONTOURS)
    viewer.layers.remove(overlay.layer)
    assert len(viewer.layers) == 1


def test_bands_are_thirds_of_the_limit_on_both_sides() -> None:
    values = np.repeat(np.array([0.0, 0.4, 0.7, 1.1, -0.4, -0.7, -1.1]), 40)[None].repeat(30, 0)
    found = bands(values, 1.0)[15, 20::40]
    assert list(found) == [0, 1, 2, 3, 1 + BANDS, 2 + BANDS, 3 + BANDS]
    assert not bands(np.full((9, 9), np.nan), 1.0).any()


def test_a_part_of_a_level_is_that_part_of_the_whole() -> None:
    values = np.random.default_rng(0).normal(size=(70, 90)).cumsum(0).cumsum(1) / 40
    values[20:25, 30:60] = np.nan
    whole = bands(values, 1.0, 4)
    level = BandedLevel(values, 1.0, 4)
    assert level.shape == whole.shape == (280, 360)
    for part in (np.s_[100:181, 3:99], np.s_[0:280, 0:360], np.s_[277:, ::3], np.s_[5]):
        want = whole[part] if isinstance(part, tuple) else None
        if want is not None:
            assert (np.asarray(level[part]) == want).mean() > 0.999  # rounding of the filter
    assert [np.shape(x) for x in banded_levels([values], 1.0)] == [(280, 360), (140, 180), (70, 90)]


def test_opacity_is_that_of_all_maps(viewer: Any, display: MapDisplay, tmp_path: Path) -> None:
    first = shown(viewer, tmp_path / "a").layer
    display.opacity.setValue(40)
    second = shown(viewer, tmp_path / "b").layer
    assert first.opacity == second.opacity == 0.4
    other = viewer.add_layer(Image(np.zeros((4, 4))))
    display.opacity.setValue(60)
    assert other.opacity == 1.0 and first.opacity == 0.6


def states(
    predicted: list[str], step: float = 100.0, target: str = "tumour", left_out: Any = ()
) -> TileStates:
    """Tiles in a row, of 128 px, each so many px from the next; some are not explained."""
    names = ("normal", "tumour")
    count = len(predicted)
    not_explained = np.isin(np.arange(count), left_out)
    return TileStates(
        TileLattice(
            np.arange(1, count + 1, dtype=np.int32)[None], (50.0, 0.0), (128.0,) * 2, (step,) * 2
        ),
        explained=~not_explained,
        not_explained=not_explained,
        predicted=np.array([names.index(name) for name in predicted], np.int16),
        probability=np.full(count, 0.25, np.float32),
        outcomes=names,
        target=target,
        one_class=target in names,
        choice="where p(tumour) > 0.5" if len(left_out) else "",
    )


def test_tiles_of_another_class_are_hatched_and_say_so(
    viewer: Any, display: MapDisplay, tmp_path: Path
) -> None:
    overlay = shown(viewer, tmp_path / "a", translate_um=(0.75, 0.75))
    slide = viewer.layers[0]
    overlay.mark(states(["normal", "tumour", "normal"]))
    display.bring_up_to_date(overlay.layer)
    assert "hatched: the model predicts another class" in display.text
    (hatching,) = [layer for layer in viewer.layers if layer.name.startswith("hatched")]
    for number, said in enumerate(("says normal, p(tumour) = 0.25", "", "model says normal")):
        # The middle of a tile of 128 px; tiles are 100 px apart.
        place = slide.data_to_world((50 + 63.5, 100 * number + 63.5))
        assert said in said_at(viewer, place) and (said or not said_at(viewer, place))
    spots = np.argwhere(np.asarray(hatching.data[3]) > 0) * hatching.downsample_factors[3]
    places = np.array([slide.world_to_data(hatching.data_to_world(spot)) for spot in spots])
    # To the edges of the maps, where no tile follows.
    assert np.all(abs(places.min(0) - (49.5, -0.5)) < 3)
    assert np.all(abs(places.max(0) - (177.5, 327.5)) < 3)
    across = places[:, 1]
    assert not ((across > 63.5 + 51) & (across < 263.5 - 51)).any()  # nothing on the middle tile
    overlay.mark(states(["tumour"]))
    display.bring_up_to_date(overlay.layer)
    assert not hatching.visible and "hatched" not in display.text
    overlay.layer.visible = False
    overlay.layer.visible = True
    assert not hatching.visible


@pytest.mark.parametrize("target", ["auto", "tumour-normal", "unit:layer3:1"])
def test_only_of_a_class_it_can_be_said(viewer: Any, tmp_path: Path, target: str) -> None:
    overlay = shown(viewer, tmp_path / "a")
    overlay.mark(states(["normal", "tumour"], target=target))
    assert len(viewer.layers) == 2


def test_tiles_that_are_not_explained_are_dotted_and_say_so(
    viewer: Any, display: MapDisplay, tmp_path: Path
) -> None:
    overlay = shown(viewer, tmp_path / "a", translate_um=(0.75, 0.75))
    slide = viewer.layers[0]
    overlay.mark(states(["normal", "normal", "tumour"], left_out=(1, 2)))
    display.bring_up_to_date(overlay.layer)
    left_out = "dotted: predicted, not explained (2 of 3 tiles; explained: where p(tumour) > 0.5)"
    assert escape(left_out) in display.text and "hatched" in display.text
    hatching, dots = viewer.layers[-2:]
    assert dots.name == "dotted: predicted, not explained"
    expected = (
        "explains tumour, model says normal, p(tumour) = 0.25",
        "not explained: predicted normal, p(tumour) = 0.25",
        "not explained: predicted tumour, p(tumour) = 0.25",
    )
    for number, said in enumerate(expected):
        place = slide.data_to_world((50 + 63.5, 100 * number + 63.5))
        assert said_at(viewer, place) == said
    # The explained one keeps all of its map: what is dotted begins where it ends.
    spots = np.argwhere(np.asarray(dots.data[3]) > 0) * dots.downsample_factors[3]
    across = np.array([slide.world_to_data(dots.data_to_world(spot))[1] for spot in spots])
    assert abs(across.min() - 127.5) < 2 and across.max() > 315
    overlay.layer.visible = False
    assert not dots.visible and not hatching.visible
    overlay.layer.visible = True
    overlay.mark(states(["tumour", "normal"], left_out=(1,)))
    assert dots.visible and not hatching.visible
    overlay.mark(states(["tumour", "tumour"]))
    assert not dots.visible and not hatching.visible


def test_marks_are_finer_than_the_slide_and_lie_on_their_cells() -> None:
    for kind in (OtherClass, NotExplained):
        told = states(["normal", "tumour", "normal"], left_out=(1,))
        found, lattice = kind(told, MPP), told.lattice
        finest = found.levels[0]
        assert max(found.scale_um) <= MPP[0] / 8
        for axis in (0, 1):
            first = found.translate_um[axis] - found.scale_um[axis] / 2
            assert first == pytest.approx((lattice.start_px[axis] - 0.5) * MPP[axis])
            size = finest.shape[axis] * found.scale_um[axis]
            cells = lattice.tiles.shape[axis] + 2 * lattice.beyond[axis]
            assert size == pytest.approx(cells * lattice.step_px[axis] * MPP[axis])


def test_states_of_many_tiles_travel_in_a_small_message() -> None:
    rng = np.random.default_rng(0)
    side = 600
    told = TileStates(
        TileLattice(
            np.arange(1, side**2 + 1, dtype=np.int32).reshape(side, side),
            (1.5, -2.0),
            (56.0, 56.0),
            (40.0, 40.0),
        ),
        explained=rng.random(side**2) < 0.03,
        not_explained=np.ones(side**2, bool),
        predicted=(rng.random(side**2) < 0.03).astype(np.int16),
        probability=rng.random(side**2).astype(np.float32),
        outcomes=("normal", "tumour"),
        target="tumour",
        one_class=True,
        choice="at most 9",
    )
    message = packed(told)
    assert len(message.model_dump_json()) < 4e6
    back = PackedStates.model_validate_json(message.model_dump_json()).unpacked()
    assert np.array_equal(back.owners, told.owners) and back.lattice.cuts == told.lattice.cuts
    assert np.array_equal(back.predicted, told.predicted) and back.choice == told.choice
    assert np.allclose(back.probability, told.probability, atol=1e-3)


def test_the_first_finished_map_of_a_setting_fixes_the_limit_of_the_next() -> None:
    from types import SimpleNamespace

    from napari_smoothsal import SaliencySpec

    def a_run(
        largest: float,
        layer: str = "layer1",
        model: str = "1",
        normal: Any = None,
        mpp: float = 0.5,
    ) -> Any:
        found = SimpleNamespace(
            normal_magnitude=normal,
            calibration=None,
            largest_magnitude=lambda _=99.0: largest,
            spec=SaliencySpec(layer=layer),
        )
        about = {"parameters_sha256": model, "input_mpp": mpp}
        return SimpleNamespace(provenance={"model": about}, maps={"map": found})

    limits = FirstLimits()

    def limit(run: Any) -> Any:
        return limits.limit_of(run, run.maps["map"])

    limits.remember(a_run(0.0))  # an empty map says nothing
    assert (limit(a_run(1.0)).value, limit(a_run(1.0)).of) == (1.0, "this map")
    limits.remember(a_run(2.0))
    limits.remember(a_run(5.0))
    assert (limit(a_run(9.0)).value, limit(a_run(9.0)).of) == (2.0, "first map")
    assert limit(a_run(9.0, "layer2")).value == 9.0
    assert limit(a_run(7.0, model="2")).value == 7.0
    assert limit(a_run(6.0, mpp=0.25)).value == 6.0
    assert limit(a_run(9.0, normal=0.5)).value == 0.5


def test_the_map_of_a_view_says_when_settings_have_changed(
    viewer: Any, display: MapDisplay, tmp_path: Path
) -> None:
    slide = add_slide(viewer, **PLACES["our slide"])
    maps = {}
    for part in ("slide", "view"):
        overlay = Overlay(viewer, slide, MPP, part=part, settings=(1, "a"))
        overlay.show(stored(tmp_path / part))
        display.bring_up_to_date(overlay.layer)
        maps[part] = overlay.layer
    title = maps["slide"].name
    display.mark_stale((2, "a"))
    assert maps["view"].name == f"{title} (view, earlier settings)"
    assert maps["slide"].name == title  # it is kept, and says of what it is
    assert "of earlier settings" in display.text
    display.mark_stale((1, "b"))
    assert "earlier settings" in maps["view"].name
    display.mark_stale((1, "a"))
    assert maps["view"].name == f"{title} (view)" and "earlier settings" not in display.text


def test_hatching_is_hidden_moved_and_removed_with_its_map(
    viewer: Any, display: MapDisplay, tmp_path: Path
) -> None:
    def hatchings() -> list[Any]:
        hatched = [layer for layer in viewer.layers if layer.name.startswith("hatched")]
        return [layer for layer in hatched if layer.visible]

    slide = add_slide(viewer, **PLACES["our slide"])
    view = Overlay(viewer, slide, MPP, part="view")
    view.show(stored(tmp_path / "a"))
    view.mark(states(["normal", "tumour"]))
    (first,) = hatchings()
    assert list(viewer.layers) == [slide, view.layer, first]  # on top of the map
    before = first.data[0].shape
    # Another map of the slide hides the view's, and its hatching.
    Overlay(viewer, slide, MPP, part="slide").show(stored(tmp_path / "b"))
    assert not first.visible
    # The view, moved, begins anew: what was hatched was of another place.
    again = Overlay(viewer, slide, MPP, part="view")
    again.show(stored(tmp_path / "c"), complete=False)
    assert hatchings() == []
    again.mark(states(["normal"]))
    assert hatchings() == [first] and first.data[0].shape != before  # one tile in place of two
    viewer.layers.remove(again.layer)
    assert first not in viewer.layers
    again.mark(states(["normal"]))
    assert hatchings() == []  # of a map that the user has deleted


def test_lines_follow_limits_and_leave_with_the_dock(
    viewer: Any, display: MapDisplay, tmp_path: Path, qtbot: Any
) -> None:
    layer = shown(viewer, tmp_path / "a").layer
    display.bring_up_to_date(layer)
    display.way.setCurrentText(CONTOURS)
    lines = viewer.layers[-1]
    before = np.asarray(lines.data[-1]).max()
    layer.contrast_limits = (-0.1, 0.1)
    assert np.asarray(lines.data[-1]).max() >= before
    assert (np.asarray(lines.data[-1]) > 0).sum() > 0
    lines.visible = False
    display.bring_up_to_date(layer)
    assert not lines.visible  # the user hid them
    display.disconnect_viewer()
    assert lines not in viewer.layers
    assert layer.colormap.map(np.array([0.9]))[0, 3] > 0.5  # a tint again
    other = MapDisplay(viewer)
    qtbot.addWidget(other)
    other.way.setCurrentText(CONTOURS)
    assert len([x for x in viewer.layers if x.name.startswith("lines")]) == 1
    # Once more, for the fixture.
    viewer.layers.events.inserted.connect(display._on_inserted)
    viewer.layers.events.removed.connect(display._on_removed)
    viewer.layers.selection.events.active.connect(display._on_active)
    layer.events.contrast_limits.connect(display._on_limits)
    other.disconnect_viewer()
