"""Hotspots of maps whose values are known, and verdicts that are kept beside their store."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from cluster_models import small_model
from small_runs import ALL

from napari_smoothsal import SaliencySpec, explain_slide
from napari_smoothsal.annotations import read_annotations
from napari_smoothsal.core.errors import AnnotationError, SettingError, UnknownNameError
from napari_smoothsal.runs import Run, open_run
from napari_smoothsal.runs.hotspots import hotspot_at, hotspots, measured_place, outline
from napari_smoothsal.runs.verdicts import (
    COLUMNS,
    add_verdict,
    change_verdict,
    export_verdicts,
    read_verdicts,
    remove_verdict,
    verdicts_path,
)
from napari_smoothsal.runs.zarr_io import open_root
from napari_smoothsal.slides import ArraySlide

STRONG, WEAK, AGAINST = (slice(4, 8), slice(6, 12)), (20, 3), (slice(12, 14), slice(20, 22))


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose map is painted over: zero but for two regions that count, and one pixel."""
    pixels = np.full((200, 260, 3), 180, np.uint8)
    run = explain_slide(
        ArraySlide([pixels], mpp=(0.5, 0.5)),
        small_model(),
        [SaliencySpec(layer="layer1", samples=0)],
        tmp_path_factory.mktemp("store") / "case.smoothsal.zarr",
        tiling=ALL,
        progress=False,
    )
    (key,) = run.maps
    array = open_root(run.path, "r+")[f"maps/{key}/0"]
    h, w = run.maps[key].shape
    values = np.zeros(array.shape, np.float32)
    values[h:], values[:, w:] = np.nan, np.nan
    values[STRONG] = 2.0
    values[6, 8] = 0.0  # a hole
    values[5, 10] = 5.0
    values[AGAINST] = -3.0
    values[WEAK] = 0.001
    array[:] = values
    return open_run(run.path)


def key_of(run: Run) -> str:
    return next(iter(run.maps))


def box_of(run: Run, rows: slice, columns: slice) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of map pixels in level-0 px, by the map's own placement."""
    shown = run.maps[key_of(run)]
    step, first = np.divide(shown.scale_um, 0.5), np.divide(shown.translate_um, 0.5)
    # A pixel reaches half a step around its centre, and a centre at 0 is that of [0, 1].
    top, left = first + 0.5 + (np.array((rows.start, columns.start)) - 0.5) * step
    return (
        left,
        top,
        left + (columns.stop - columns.start) * step[1],
        top + (rows.stop - rows.start) * step[0],
    )


def test_hotspots_are_where_the_map_is_strong_with_its_mean_and_peak(painted: Run) -> None:
    found = hotspots(painted, key_of(painted), percentile=10)
    assert [round(spot.mean, 3) for spot in found] == [2.13, -3.0]
    strong, against = found
    assert strong.peak == 5.0 and against.peak == -3.0
    assert strong.geometry.bounds == pytest.approx(box_of(painted, *STRONG))
    assert against.geometry.bounds == pytest.approx(box_of(painted, *AGAINST))
    pixel = (painted.maps[key_of(painted)].scale_um[0]) ** 2
    assert strong.area_um2 == pytest.approx(23 * pixel)  # the hole is not part of it
    assert len(strong.polygons[0]) == 2
    assert strong.geometry.is_valid and strong.percentile == 10
    assert len(hotspots(painted, key_of(painted), percentile=0)) == 3
    assert len(hotspots(painted, key_of(painted), percentile=0, most=1)) == 1


def test_a_place_belongs_to_its_hotspot_or_has_a_circle_of_its_own(painted: Run) -> None:
    key = key_of(painted)
    (strong, against) = hotspots(painted, key, percentile=10)
    left, top, right, bottom = against.geometry.bounds
    assert hotspot_at(painted, key, ((left + right) / 2, (top + bottom) / 2), 10) == against
    inside_the_hole = shapely.Polygon(strong.polygons[0][1]).centroid
    alone = hotspot_at(painted, key, (inside_the_hole.x, inside_the_hole.y), 10)
    assert alone.percentile is None
    middle = shapely.Point(inside_the_hole.x, inside_the_hole.y)
    assert middle.distance(alone.geometry.centroid) < 1e-6
    _, _, w, h = alone.box
    assert (w, h) == pytest.approx((100, 100))  # 50 um at 0.5
    beside = hotspot_at(painted, key, (1e6, 1e6))
    assert beside.mean is None and beside.peak is None


def test_a_drawn_place_has_the_mean_of_the_pixels_in_it(painted: Run) -> None:
    key = key_of(painted)
    for part, mean in ((STRONG, (22 * 2 + 5) / 24), (AGAINST, -3.0)):
        found = measured_place(painted, key, shapely.box(*box_of(painted, *part)))
        assert found.mean == pytest.approx(mean)
    both = shapely.MultiPolygon([shapely.box(*box_of(painted, *p)) for p in (STRONG, AGAINST)])
    found = measured_place(painted, key, both)
    assert found.mean == pytest.approx((49 - 12) / 28)
    # Smaller than a pixel: the one that it is in.
    x, y, _, _ = shapely.Polygon(both.geoms[1].exterior).bounds
    tiny = measured_place(painted, key, shapely.box(x + 0.1, y + 0.1, x + 0.2, y + 0.2))
    assert tiny.mean == -3.0


def test_wrong_questions_are_refused(painted: Run) -> None:
    with pytest.raises(SettingError, match="percentile = 100"):
        hotspots(painted, key_of(painted), percentile=100)
    with pytest.raises(UnknownNameError, match="no map"):
        hotspots(painted, "layer9")


@pytest.mark.parametrize("seed", range(5))
def test_the_outline_of_a_mask_is_the_mask(seed: int) -> None:
    mask = np.random.default_rng(seed).random((12, 9)) < 0.5
    outlined = outline(mask)
    assert outlined.area == mask.sum()
    y, x = np.indices(mask.shape) + 0.5
    assert (shapely.contains_xy(outlined, x, y) == mask).all()


@pytest.fixture
def judged(painted: Run) -> Any:
    key = key_of(painted)
    strong, against = hotspots(painted, key, percentile=10)
    first = add_verdict(painted, key, strong, "agree", "mitoses, with commas; and \u00e9")
    second = add_verdict(painted, key, against, "artefact", "=ink")
    yield first, second
    verdicts_path(painted.path).unlink()


def test_verdicts_come_back_with_their_store(painted: Run, judged: Any) -> None:
    path = verdicts_path(painted.path)
    assert path.parent == painted.path.parent and path.name == "case.smoothsal-verdicts.json"
    found = read_verdicts(open_run(painted.path))
    assert found.verdicts == judged
    assert found.verdicts[0].mean == pytest.approx((44 + 5) / 23)
    assert found.verdicts[0].class_name == "tumour"
    said = path.read_text(encoding="utf-8")
    assert str(painted.path.parent) not in said and "case" not in said
    after = change_verdict(painted, judged[0].id, "wrong", "stroma")
    assert [(v.said, v.note) for v in after.verdicts] == [("wrong", "stroma"), ("artefact", "=ink")]
    assert after.verdicts[0].polygons == judged[0].polygons
    assert remove_verdict(painted, judged[1].id) == read_verdicts(painted)
    assert len(read_verdicts(painted).verdicts) == 1
    with pytest.raises(SettingError, match="no such verdict"):
        change_verdict(painted, judged[1].id, "agree", "")
    assert [p.suffix for p in path.parent.iterdir()].count(".part") == 0


def test_another_window_s_verdicts_are_not_lost(painted: Run, judged: Any) -> None:
    one, other = open_run(painted.path), open_run(painted.path)
    place = measured_place(painted, key_of(painted), shapely.box(0, 0, 9, 9))
    add_verdict(one, key_of(one), place, "wrong")
    add_verdict(other, key_of(other), place, "agree")
    assert [v.said for v in read_verdicts(one).verdicts] == ["agree", "artefact", "wrong", "agree"]


def test_verdicts_are_exported_for_qupath_and_as_a_table(
    painted: Run, judged: Any, tmp_path: Path
) -> None:
    found = read_verdicts(painted)
    there = read_annotations(export_verdicts(found, tmp_path / "v.geojson"))
    assert [(a.class_name, a.id) for a in there] == [(v.said, v.id) for v in judged]
    assert there[0].geometry.equals(judged[0].geometry)
    (first, second) = json.loads((tmp_path / "v.geojson").read_text())["features"]
    assert first["properties"]["measurements"]["peak saliency"] == 5.0
    assert second["properties"]["note"] == "=ink"
    with export_verdicts(found, tmp_path / "v.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["note"] == judged[0].note and float(rows[1]["mean_saliency"]) == -3.0
    left, top, right, bottom = judged[1].geometry.bounds
    assert float(rows[1]["x_um"]) == pytest.approx((left + right) / 2 * 0.5)
    assert float(rows[1]["h_px"]) == pytest.approx(bottom - top)
    with pytest.raises(AnnotationError, match=r"v\.txt"):
        export_verdicts(found, tmp_path / "v.txt")
    with pytest.raises(AnnotationError, match="cannot be written"):
        export_verdicts(found, tmp_path / "nowhere" / "v.csv")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[:40], "no file of verdicts"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 2'), "schema_version"),
        (lambda text: text.replace('"artefact"', '"perhaps"'), "perhaps"),
        (lambda text: "[" * 100_000, "no file of verdicts"),
        (lambda text: text.replace('"slide_fingerprint": "', '"slide_fingerprint": "f'), "another"),
    ],
)
def test_a_damaged_file_is_neither_read_nor_replaced(
    painted: Run, judged: Any, change: Any, said: str
) -> None:
    path = verdicts_path(painted.path)
    damaged = change(path.read_text(encoding="utf-8"))
    path.write_text(damaged, encoding="utf-8")
    for use in (
        lambda: read_verdicts(painted),
        lambda: remove_verdict(painted, judged[0].id),
    ):
        with pytest.raises(AnnotationError, match=said):
            use()
    assert path.read_text(encoding="utf-8") == damaged
    with pytest.raises(SettingError, match="maybe"):
        place = measured_place(painted, key_of(painted), shapely.box(0, 0, 9, 9))
        add_verdict(painted, key_of(painted), place, "maybe")  # type: ignore[arg-type]
