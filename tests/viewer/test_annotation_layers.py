"""Annotations as layers over slides of any resolution, and back to what the file said."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Layer

from napari_smoothsal.annotations import Annotation, Annotations, read_annotations
from napari_smoothsal.core.errors import AnnotationError
from napari_smoothsal.viewer.annotation_files import (
    get_annotation_reader,
    read_annotation_layers,
    write_annotation_layers,
)
from napari_smoothsal.viewer.annotation_layers import CLASS, annotation_layers
from napari_smoothsal.viewer.annotation_paths import area_of, path_of
from napari_smoothsal.viewer.slide_on_show import slide_on_show
from napari_smoothsal.viewer.slide_source import METADATA, SlideSource

HOLED = shapely.box(100, 200, 300, 420).difference(shapely.box(150, 250, 200, 300))
PARTS = shapely.MultiPolygon([HOLED, shapely.box(400.25, 500.5, 450, 560)])
FILE = Annotations(
    (
        Annotation(HOLED, "Tumor", (200, 0, 0), "first", "a", {"id": "a", "more": [1]}),
        Annotation(shapely.Point(33.3, 44.4), "Mitosis", (0, 0, 200), "", "b"),
        Annotation(PARTS, "Stroma", None, "", "c"),
        Annotation(shapely.MultiPoint([(5, 6), (7, 8)]), "Mitosis", (0, 0, 200), "", "d"),
        Annotation(shapely.LineString([(0, 0), (9.5, 9), (20, 3)]), "", None, "ruler", "e"),
    ),
    "geojson",
)


@pytest.fixture(params=[0.25, (0.5, 0.503), None], ids=str)
def slide_viewer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A viewer with a slide of some resolution, or of none; it is napari's current one."""
    viewer = ViewerModel()
    mpp = request.param if isinstance(request.param, tuple | None) else (request.param,) * 2
    source = SlideSource(Path("case.svs"), mpp, (700, 900))
    placed = {"scale": mpp, "units": ("um", "um")} if mpp else {}
    data = np.full((700, 900, 3), 200, np.uint8)
    viewer.add_image(data, rgb=True, metadata={METADATA: source}, **placed)
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    return viewer


def opened(viewer: Any, annotations: Annotations = FILE) -> list[Any]:
    slide = slide_on_show(viewer)
    made = [Layer.create(*x) for x in annotation_layers(annotations, "case", slide)]
    for layer in made:
        viewer.add_layer(layer)
    return made


def saved(layers: list[Any], path: Path) -> Annotations:
    write_annotation_layers(str(path), [layer.as_layer_data_tuple() for layer in layers])
    return read_annotations(path)


def same(one: Annotation, other: Annotation) -> bool:
    return one.geometry.equals_exact(other.geometry, 0.0) and (
        (one.class_name, one.colour, one.name, one.id)
        == (other.class_name, other.colour, other.name, other.id)
    )


def test_they_lie_on_the_pixels_that_they_name(slide_viewer: Any) -> None:
    areas, points = opened(slide_viewer)
    slide = slide_viewer.layers[0]
    # The centre of level-0 pixel k is k + 1/2 in a file, and k in napari.
    for layer, row, at in ((areas, 0, (300, 200)), (points, 0, (33.3, 44.4))):
        corners = np.atleast_2d(layer.data[row])
        world = [layer.data_to_world(corner) for corner in corners]
        pixels = np.array([slide.world_to_data(w)[:2] for w in world])[:, ::-1] + 0.5
        assert np.abs(pixels - at).sum(axis=1).min() < 1e-3
    assert list(areas.features[CLASS]) == ["Tumor", "Stroma", ""]
    assert list(points.features[CLASS]) == ["Mitosis"] * 3
    assert areas.edge_color[0] == pytest.approx([200 / 255, 0, 0, 1])
    assert str(areas.units[0]) == str(slide.units[0])


def test_what_nobody_has_touched_goes_back_as_it_was(slide_viewer: Any, tmp_path: Path) -> None:
    back = saved(opened(slide_viewer), tmp_path / "b.geojson")
    assert len(back) == len(FILE) and all(map(same, FILE, back))
    first = json.loads((tmp_path / "b.geojson").read_text())["features"][0]
    assert first["more"] == [1]


def test_what_is_moved_classified_deleted_and_drawn_goes_back(
    slide_viewer: Any, tmp_path: Path
) -> None:
    areas, points = opened(slide_viewer)
    data = [np.array(x) for x in areas.data]
    data[1] += (10, 20)
    areas.data = data
    areas.features.loc[0, CLASS] = "Necrosis"
    areas.selected_data = {2}
    areas.remove_selected()
    areas.selected_data = {0}  # what is drawn next has its class, and is not it
    areas.add_rectangles([[600, 600], [620, 640]])
    points.add([[1, 2]])
    back = saved([areas, points], tmp_path / "b.geojson")
    assert back[0].class_name == "Necrosis" and back[0].id == "a"
    assert back[0].geometry.equals_exact(HOLED, 0.0)
    assert same(back[1], FILE[1])
    moved = shapely.affinity.translate(PARTS, 20, 10)
    assert shapely.symmetric_difference(back[2].geometry, moved).area < 1 and back[2].id == "c"
    new = [one for one in back if not one.id]
    assert {one.geometry.geom_type for one in new} == {"Polygon", "Point"}
    (box,) = [one for one in new if one.polygons]
    assert (
        shapely.symmetric_difference(box.geometry, shapely.box(600.5, 600.5, 640.5, 620.5)).area < 1
    )
    (point,) = [one for one in new if not one.polygons]
    assert (point.geometry.x, point.geometry.y) == pytest.approx((2.5, 1.5))
    assert len(back) == 6


def test_a_layer_of_napari_s_own_goes_to_asap(slide_viewer: Any, tmp_path: Path) -> None:
    step = slide_viewer.layers[0].scale
    layer = slide_viewer.add_shapes(
        [[[10, 20], [10, 60], [50, 60], [50, 20]]], shape_type="ellipse", scale=step
    )
    (one,) = saved([layer], tmp_path / "b.xml")
    assert one.geometry.area == pytest.approx(np.pi * 20 * 20, rel=0.01)
    assert (one.geometry.centroid.x, one.geometry.centroid.y) == pytest.approx((40.5, 30.5))


def test_without_a_slide_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slide_viewer: Any
) -> None:
    path = tmp_path / "a.geojson"
    saved(opened(slide_viewer), path)
    reader = get_annotation_reader(str(path))
    assert reader is read_annotation_layers
    assert [kind for *_, kind in reader(str(path))] == ["shapes", "points"]
    layers = [x.as_layer_data_tuple() for x in slide_viewer.layers[1:]]
    slide_viewer.layers.clear()
    with pytest.warns(UserWarning, match="no slide is open"):
        reader(str(path))
    with pytest.raises(AnnotationError, match="no slide is open"):
        write_annotation_layers(str(path), layers)


def test_annotations_of_another_slide_are_refused(slide_viewer: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text('{"type": "Point", "coordinates": [5000, 5000]}')
    with pytest.raises(AnnotationError, match=r"a\.geojson: 1 of 1 annotations lie beside"):
        read_annotation_layers(str(path))
    other = tmp_path / "a.xml"
    other.write_text("<html/>")
    assert get_annotation_reader(str(other)) is None
    assert get_annotation_reader(str(tmp_path / "none.geojson")) is None


large = st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(5, 30)] * 2)
small = st.tuples(*[st.integers(0, 40)] * 2, *[st.integers(1, 6)] * 2)


@settings(max_examples=80, deadline=None)
@example([(0, 0, 20, 20), (30, 0, 9, 9)], [(3, 3, 4, 4), (10, 10, 5, 5)])
@given(st.lists(large, min_size=1, max_size=3), st.lists(small, max_size=5))
def test_any_area_comes_back_from_its_path(added: list[Any], cut: list[Any]) -> None:
    def union(of: list[Any]) -> Any:
        return shapely.union_all([shapely.box(x, y, x + w, y + h) for x, y, w, h in of])

    area = union(added).difference(union(cut)) if cut else union(added)
    if area.is_empty:
        return
    path = path_of(area)
    back = area_of(path)
    assert back is not None and shapely.symmetric_difference(back, area).area == 0
    # Every way over to another ring is walked twice, so that napari draws none of them.
    rings = [r.coords for p in getattr(area, "geoms", [area]) for r in (p.exterior, *p.interiors)]
    corners = [corner for ring in rings for corner in ring[:-1]]
    if len(set(corners)) == len(corners):  # no two rings touch
        walked = Counter(map(frozenset, _steps([*map(tuple, path.tolist()), tuple(path[0])])))
        drawn = {step for step, times in walked.items() if times == 1 and len(step) == 2}
        assert drawn == {frozenset(step) for ring in rings for step in _steps(list(ring))}


def _steps(walked: list[Any]) -> list[tuple[Any, Any]]:
    return list(itertools.pairwise(walked))


def test_paths_around_nothing_are_no_areas() -> None:
    assert area_of(np.array([[0.0, 0], [1, 1]])) is None
    assert area_of(np.array([[0.0, 0], [1, 1], [2, 2]])) is None
    bow = area_of(np.array([[0.0, 0], [2, 2], [2, 0], [0, 2]]))
    assert bow is not None and bow.area == 2
