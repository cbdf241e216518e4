"""What is drawn over maps: hatching of other classes, dots where nothing is explained, words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_smoothsal import SaliencySpec, Tiling, explain_slide
from napari_smoothsal.models import Model
from napari_smoothsal.render.figure import _said, _where, comparison_figure, sampled
from napari_smoothsal.render.marks import Marks, marks_on
from napari_smoothsal.render.words import drawn_in_words, target_in_words
from napari_smoothsal.runs import Run
from napari_smoothsal.runs.tile_states import tile_states
from napari_smoothsal.slides import ArraySlide

REGION = (0, 0, 300, 260)


@pytest.fixture(scope="module")
def slide() -> ArraySlide:
    pixels = np.random.default_rng(0).integers(0, 256, (260, 300, 3), dtype=np.uint8)
    return ArraySlide([pixels], mpp=(0.5, 0.5), name="case")


def explained(slide: ArraySlide, model: Model, out: Path, target: str, top: int | None) -> Run:
    specs = [SaliencySpec(layer=layer, samples=0, target=target) for layer in ("layer1", "layer3")]
    tiling = Tiling(tissue="all", overlap=0.4)
    return explain_slide(slide, model, specs, out, tiling=tiling, top=top, progress=False)


@pytest.mark.parametrize("target", ["normal", "tumour"])
@pytest.mark.parametrize("top", [None, 4])
def test_each_pixel_of_a_map_is_marked_as_its_tile(
    slide: ArraySlide, classifier: Model, tmp_path: Path, target: str, top: int | None
) -> None:
    """To the pixel: a map ends where its marks do, whatever the layer; the rest of the tissue is
    dotted."""
    run = explained(slide, classifier, tmp_path / "s.zarr", target, top)
    # Twice as fine as the slide, so that no pixel's middle lies between two of a map.
    y, x = np.arange(520) / 2 - 0.25, np.arange(600) / 2 - 0.25
    for run_map in run.maps.values():
        values = sampled(run_map, run.mpp, REGION, (520, 600))
        marks = marks_on(tile_states(run, run_map), y, x)
        assert np.array_equal(marks.explained, np.isfinite(values))
        assert not (marks.explained & marks.dotted).any()
        assert marks.dotted.any() == (top is not None)
        # All tiles are predicted as one class here.
        (predicted,) = set(run.tiles.predicted)
        assert np.array_equal(marks.hatched, marks.explained & (predicted != target))
    assert len(run.not_explained) == (0 if top is None else len(run.tiles) - top)
    assert len(run.predicted) == len(run.tiles)


def drawn(hatched: np.ndarray, dotted: np.ndarray) -> np.ndarray:
    explained = np.zeros_like(hatched)
    explained[60:120, 100:160] = True
    figure = Figure(figsize=(3, 3), dpi=150)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.imshow(np.full((200, 200, 3), 255, np.uint8))
    axis.set_axis_off()
    Marks(hatched, dotted, explained, "dots").draw(axis)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown: np.ndarray = np.asarray(canvas.buffer_rgba())[..., :3].min(-1) < 200
    return shown


def test_hatching_and_dots_differ_and_leave_the_map_to_be_seen() -> None:
    none = np.zeros((200, 200), bool)
    mask = none.copy()
    mask[20:180, 20:90] = True
    assert not drawn(none, none).any()
    stripes, dots = drawn(mask, none), drawn(none, mask)
    inside = np.s_[70:380, 60:190]
    for shown in (stripes, dots):
        assert 0.02 < shown[inside].mean() < 0.3 and not shown[:, 380:].any()
    # Stripes go through; dots do not, and what was explained is framed beside them alone.
    assert stripes[inside].any(axis=1).all() and not dots[inside].any(axis=1).all()
    assert dots[135:270, 223:228].any() and not stripes[135:270, 223:228].any()


def test_words_count_what_is_drawn(slide: ArraySlide, classifier: Model, tmp_path: Path) -> None:
    run = explained(slide, classifier, tmp_path / "s.zarr", "auto", 5)
    first = next(iter(run.maps.values()))
    states = tile_states(run, first)
    (line,) = marks_on(states, np.arange(260.0), np.arange(300.0)).in_words
    left = len(run.tiles) - 5
    expected = f"dotted: predicted, not explained ({left} of {len(run.tiles)} tiles"
    assert line == f"{expected}; explained: at most 5)"
    done = run.tiles[run.tiles.status == "done"]
    counts = ", ".join(f"{name} in {n}" for name, n in done.predicted.value_counts().items())
    assert target_in_words(run, first) == f"the predicted class ({counts} tiles)"
    assert drawn_in_words(run, first) == []
    assert _where(run, run.region) == []
    (where,) = _where(run, (10, 2000, 100, 50))
    assert where.endswith("from x = 10, y = 2,000") and "100 x 50 px" in where
    assert _said({key: ["one"] for key in run.maps}, run, 3, "more")[:2] == ["one", "more"]
    comparison_figure(slide, run, [list(run.maps)], REGION, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 10_000


def test_failed_tiles_are_crossed_out_where_no_neighbour_has_a_map(
    slide: ArraySlide, classifier: Model, tmp_path: Path
) -> None:
    run = explained(slide, classifier, tmp_path / "s.zarr", "tumour", None)
    run_map = next(iter(run.maps.values()))
    states = tile_states(run, run_map)
    failed = (run.tiles.y_px < 80).to_numpy()
    assert failed.any() and not failed.all()
    states = replace(states, explained=~failed)
    marks = marks_on(states, np.arange(260.0), np.arange(300.0), failed)
    assert marks.crossed is not None and marks.crossed.any()
    assert not (marks.crossed & marks.explained).any()
    whole = marks_on(tile_states(run, run_map), np.arange(260.0), np.arange(300.0))
    assert np.array_equal(marks.crossed | marks.explained, whole.explained)
    assert whole.crossed is not None and not whole.crossed.any()
    count = f"({failed.sum()} of {len(failed)} tiles)"
    assert f"crossed out: could not be read or computed {count}" in marks.in_words
    assert not any("crossed" in line for line in whole.in_words)


def test_samples_are_told(slide: ArraySlide, classifier: Model, tmp_path: Path) -> None:
    specs = [
        SaliencySpec(layer="layer2", samples=3, method="gradient"),
        SaliencySpec(layer="input", samples=0, method="rise", method_options={"masks": 8}),
    ]
    run = explain_slide(slide, classifier, specs, tmp_path / "s.zarr", progress=False, top=1)
    words = [drawn_in_words(run, run_map) for run_map in run.maps.values()]
    assert words == [["3 noise samples"], ["8 changed images"]]
