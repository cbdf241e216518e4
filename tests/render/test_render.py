"""Pictures and words: colours at known values, maps sampled where they lie, legends by method."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_smoothsal import SaliencySpec, Tiling, explain_slide
from napari_smoothsal.models import Model
from napari_smoothsal.render.colour_bar import draw_colour_bar
from napari_smoothsal.render.colours import AMBER_TEAL, NOT_COMPUTED, coloured, over
from napari_smoothsal.render.figure import (
    _said,
    _title,
    _uncertain,
    add_legend,
    comparison_figure,
    panels,
    sampled,
)
from napari_smoothsal.render.tables import total_variation_table
from napari_smoothsal.render.tissue import write_tissue_picture
from napari_smoothsal.render.words import legend, map_title
from napari_smoothsal.runs import Run
from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.slides.tissue import find_tissue


@pytest.fixture(scope="module")
def slide() -> ArraySlide:
    pixels = np.full((260, 300, 3), 242, np.uint8)
    rng = np.random.default_rng(0)
    pixels[40:220, 50:250] = rng.integers(0, 2, (180, 200, 1)) * [60, 110, 30] + [140, 60, 160]
    return ArraySlide([pixels], mpp=(0.5, 0.5), name="case")


@pytest.fixture
def run(slide: ArraySlide, classifier: Model, tmp_path: Path) -> Run:
    specs = [
        SaliencySpec(layer="layer1", method="gradient", samples=2, denoising="original"),
        SaliencySpec(layer="layer2", samples=0, method="activation_x_gradient", target="auto"),
    ]
    return explain_slide(
        slide, classifier, specs, tmp_path / "s.zarr", tiling=Tiling(tissue="all"), progress=False
    )


def test_zero_is_clear_nan_veiled_and_the_ends_opposite() -> None:
    rgba = coloured(np.array([[0.0, np.nan, 1.0, -1.0, 9.0, 0.5, -0.5]]), 1.0)[0]
    assert rgba[0, 3] == 0 and tuple(rgba[1]) == NOT_COMPUTED
    assert rgba[2, 3] == rgba[3, 3] == 1 and np.array_equal(rgba[4], rgba[2])
    assert np.allclose(rgba[5, :3], AMBER_TEAL.supports)
    assert np.allclose(rgba[6, :3], AMBER_TEAL.against)


def test_a_transparent_overlay_leaves_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    assert np.array_equal(over(picture, coloured(np.zeros((5, 6)), 1.0)), picture)
    covered = over(picture, coloured(np.full((5, 6), 2.0), 1.0))
    assert (covered == covered[0, 0]).all()


def test_sampling_follows_the_placement(run: Run) -> None:
    run_map = run.maps["layer1.original.gradient.tumour"]
    level = run_map.levels[0][:]
    # One picture pixel per level-0 px: pixel p shows layer pixel round(p / 4).
    values = sampled(run_map, run.mpp, (40, 60, 100, 80), (80, 100))
    for y, x in ((0, 0), (37, 51), (79, 99)):
        assert values[y, x] == level[round((60 + y) / 4), round((40 + x) / 4)]
    outside = sampled(run_map, run.mpp, (-50, -50, 40, 40), (40, 40))
    assert np.isnan(outside).all()


def test_the_figure_and_the_tissue_picture_are_written(
    run: Run, slide: ArraySlide, tmp_path: Path
) -> None:
    keys = list(run.maps)
    comparison_figure(slide, run, [keys, keys], (40, 40, 160, 160), tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as figure:
        assert figure.width > 1000
    write_tissue_picture(slide, find_tissue(slide), tmp_path / "t.png")
    shown = np.asarray(Image.open(tmp_path / "t.png"))
    teal = np.abs(shown - np.rint(255 * np.array(AMBER_TEAL.against))).max(-1) < 2
    rows, columns = np.nonzero(teal)
    # The outline runs around the tissue, which spans 40..220 and 50..250.
    assert abs(rows.min() - 40) < 15 and abs(rows.max() - 220) < 15
    assert abs(columns.min() - 50) < 15 and abs(columns.max() - 250) < 15


def test_a_figure_has_room_for_all_its_words(tmp_path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for name, lines in (("short", 1), ("long", 9)):
        figure, _ = panels(1, 2, 2, lines)
        add_legend(figure, ("supports", "against"), AMBER_TEAL, ["words " * 15] * lines, "zero")
        FigureCanvasAgg(figure)
        figure.savefig(tmp_path / f"{name}.png")
    short, long = (
        np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")) for name in ("short", "long")
    )
    assert len(long) > len(short) + 100
    for picture in (short, long):
        assert (picture[-3:] == 255).all() and (picture[-60:-3] < 100).any()


def test_maps_with_other_words_have_their_own_above_them(
    run: Run, slide: ArraySlide, tmp_path: Path
) -> None:
    """Of a map that raises and one that supports; and each is told its own limits."""
    first, second = run.maps.values()
    assert _title(first, alike=False).endswith("+ raises tumour, \u2212 lowers tumour")
    lines = _title(second, alike=False).split("\n")
    assert lines[-2:] == [
        "+ supports the predicted class, \u2212 speaks",
        "against the predicted class",
    ]
    assert "raises" not in _title(first, alike=True)
    words = {key: [number] for key, number in zip(run.maps, ("one", "two"), strict=True)}
    assert _said(words, run, 3)[:2] == [
        "layer1, original, gradient: one",
        "layer2, centred hook, activation x gradient: two",
    ]
    assert _said({key: ["one"] for key in run.maps}, run, 3)[0] == "one"
    # What they have in common is said once.
    words = {key: ["both", *own] for key, own in zip(run.maps, ([], ["two"]), strict=True)}
    assert _said(words, run, 3)[:2] == [
        "both",
        "layer2, centred hook, activation x gradient: two",
    ]


def test_a_figure_tells_how_much_of_a_map_is_chance(run: Run) -> None:
    """Of two noise samples that is much; the other map has none."""
    drawn, still = run.maps
    (said,) = _uncertain(run, drawn)
    error = run.tiles[f"se_{drawn}"].median()
    assert error > 0.1 and f"by about {100 * error:.0f} %" in said
    assert _uncertain(run, still) == []


def test_words_say_layer_denoising_method_and_sign(run: Run) -> None:
    first, second = run.maps.values()
    assert map_title(first) == "layer1 | original | gradient | raises tumour / lowers"
    assert legend(second) == (
        "supports the predicted class",
        "speaks against the predicted class",
    )


def test_a_map_without_a_negative_side_has_a_bar_without_one() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for ends, low in ((("raises tumour", "lowers tumour"), -1), (("decides tumour", ""), 0)):
        figure = Figure(figsize=(6, 1), dpi=100)
        canvas = FigureCanvasAgg(figure)
        bar = draw_colour_bar(figure.add_axes((0.1, 0.5, 0.8, 0.3)), ends, "no influence").ax
        canvas.draw()
        row = np.asarray(canvas.buffer_rgba())[35, 62:538, :3].astype(int)
        assert bar.get_xlim() == (low, 1)
        said = [name.get_text() for name in bar.get_xticklabels()]
        assert said == [*filter(None, ends[::-1][:1]), "no influence", ends[0]]
        full = np.rint(255 * np.array(AMBER_TEAL.supports_fully))
        assert np.abs(row[-1] - full).max() < 6
        if low == 0:
            assert row[0].min() > 245 and (row[:, 0] >= row[:, 2]).all()  # no teal anywhere
        else:
            assert np.abs(row[0] - np.rint(255 * np.array(AMBER_TEAL.against_fully))).max() < 6


def test_what_a_map_has_no_values_for_is_not_in_its_name(
    slide: ArraySlide, classifier: Model, tmp_path: Path
) -> None:
    spec = SaliencySpec(layer="layer2", method="gradient", samples=0, reduction="absolute")
    run = explain_slide(slide, classifier, [spec], tmp_path / "s.zarr", progress=False)
    (run_map,) = run.maps.values()
    assert legend(run_map) == ("raises or lowers tumour", "")
    assert map_title(run_map).endswith("| gradient | raises or lowers tumour")


def test_the_table_has_a_row_per_layer_and_a_column_per_denoising_and_method(run: Run) -> None:
    table = total_variation_table(run)
    assert table.row_count == 2 and len(table.columns) == 3


def test_no_map_is_missing_from_the_table_whatever_the_maps_differ_in(
    slide: ArraySlide, classifier: Model, tmp_path: Path
) -> None:
    specs = [
        SaliencySpec(layer="layer1", samples=samples, sigma=sigma, denoising_options=options)
        for samples, sigma, options in (
            (0, 0.2, {}),
            (0, 0.2, {"strength": 0.5}),
            (2, 0.1, {}),
        )
    ]
    tiling = Tiling(tissue="all")
    run = explain_slide(slide, classifier, specs, tmp_path / "o.zarr", tiling=tiling)
    table = total_variation_table(run)
    assert [column.header for column in table.columns] == [
        "layer",
        "centred hook\nactivation x gradient, tumour",
        "centred hook strength=0.5\nactivation x gradient, tumour",
    ]
    counts = [next(iter(column.cells)).count("+-") for column in table.columns]
    assert counts == [0, 2, 1]
    assert [map_title(m).split(" | ")[1] for m in run.maps.values()][1:] == [
        "centred hook strength=0.5",
        "centred hook",
    ]


@pytest.mark.parametrize("target", ["tumour", "the predicted class", "invasive carcinoma, grade 3"])
@pytest.mark.parametrize("sides", [1, 2])
def test_captions_of_a_bar_do_not_meet(target: str, sides: int) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 1), dpi=150)
    canvas = FigureCanvasAgg(figure)
    ends = (f"supports {target}", f"speaks against {target}" if sides == 2 else "")
    bar = draw_colour_bar(figure.add_axes((0.1, 0.5, 0.8, 0.3)), ends, "no influence").ax
    canvas.draw()
    spans = [name.get_window_extent() for name in bar.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in pairwise(spans))
