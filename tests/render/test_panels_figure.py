"""Pictures of a tile's maps: each value lies where its pixel is, in the colour of its sign."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from napari_smoothsal.evaluation.panels import Panel, TilePanels
from napari_smoothsal.render.panels_figure import panel_limit, panels_figure, write_panels
from napari_smoothsal.render.words import RESEARCH_ONLY

SIDE = 64
FOR, AGAINST, WHITE = (204, 91, 0), (0, 91, 102), (255, 255, 255)


def panel(values: np.ndarray, denoising: str = "original", moved: float = 0.0) -> Panel:
    return Panel("layer1", denoising, values, (16, 8), (7.5 - moved, 3.5), (moved, 0.0), 1.234)


def tile(*panels: Panel, name: str = "case_7", label: str = "tumour") -> TilePanels:
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    said = f"the model gives {label} a probability of 0.93"
    return TilePanels(
        1, "painted", name, label, "gradient", ("raises", "lowers"), said, grey, panels
    )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k))
    )
    return figures


def colour_at(path: Path, axis: Axes, x: float, y: float) -> tuple[int, ...]:
    """Of a picture, at a px of the tile that a panel shows."""
    picture = np.asarray(Image.open(path).convert("RGB"))
    across, up = axis.transData.transform((x, y))
    return tuple(int(c) for c in picture[picture.shape[0] - 1 - int(up), int(across)])


def axis_of(figure: Figure, row: int, column: int) -> Axes:
    return next(axis for axis in figure.axes if axis.get_label() == f"{row} {column}")


def test_each_value_lies_on_its_pixel_of_the_tile(drawn: list[Figure], tmp_path: Path) -> None:
    values = np.zeros((4, 8))
    values[1, 5], values[3, 0] = 2.0, -2.0
    path = tmp_path / "new" / "p.png"
    panels_figure(tile(panel(values)), path)
    axis = axis_of(drawn[0], 0, 1)
    # A layer px is 16 px high and 8 px wide: rows 16 to 31, columns 40 to 47.
    for y, x in ((16.5, 40.5), (30.5, 46.5), (23.5, 43.5)):
        assert colour_at(path, axis, x, y) == FOR
    for y, x in ((14, 43.5), (33, 43.5), (23.5, 38.5), (23.5, 48.5)):
        assert colour_at(path, axis, x, y) == WHITE
    assert colour_at(path, axis, 3.5, 55.5) == AGAINST


def test_the_picture_shows_the_tile_and_nothing_beyond(drawn: list[Figure], tmp_path: Path) -> None:
    # Moved up by one layer px: the first row leaves the tile, the last one has no value.
    values = np.zeros((4, 8))
    values[1, 5] = 1.0
    path = tmp_path / "p.png"
    panels_figure(tile(panel(values, moved=16)), path)
    axis = axis_of(drawn[0], 0, 1)
    assert axis.get_xlim() == (-0.5, 63.5) and axis.get_ylim() == (63.5, -0.5)
    assert colour_at(path, axis, 43.5, 7.5) == FOR
    beyond = colour_at(path, axis, 43.5, 55.5)
    assert beyond[0] == beyond[1] == beyond[2] < 230
    assert axis.get_xlabel() == "TV 1.23 *"


def test_a_map_of_zeros_is_neutral(drawn: list[Figure], tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    panels_figure(tile(panel(np.zeros((4, 8)))), path)
    axis = axis_of(drawn[0], 0, 1)
    assert {colour_at(path, axis, x, y) for x in (1, 30, 62) for y in (1, 30, 62)} == {WHITE}
    assert axis.get_xlabel() == "zero everywhere"


def test_over_the_tile_no_influence_leaves_the_tile(drawn: list[Figure], tmp_path: Path) -> None:
    values = np.zeros((4, 8))
    values[1, 5] = 1.0
    path = tmp_path / "p.png"
    panels_figure(tile(panel(values)), path, overlaid=True)
    axis = axis_of(drawn[0], 0, 1)
    red, green, blue = colour_at(path, axis, 10, 10)
    assert red == green == blue == pytest.approx(255 - 0.6 * (255 - 128), abs=1)
    red, green, blue = colour_at(path, axis, 43.5, 23.5)
    assert red > green > blue


@pytest.mark.parametrize(
    ("values", "limit"),
    [
        (np.zeros((9, 9)), 1.0),
        (np.eye(1, 1000)[None, 0], 1.0),  # more than 99 % are zero
        (3 * np.eye(1, 1000)[None, 0], 3.0),
        (np.linspace(-100, 0, 101)[None], 99.0),
        (np.full((2, 2), np.nan), 1.0),
        (np.array([[np.inf, 2.0]]), 2.0),
    ],
)
def test_full_colour_is_of_the_panel_alone(values: np.ndarray, limit: float) -> None:
    assert panel_limit(values) == pytest.approx(limit)


@pytest.mark.parametrize("columns", [1, 5])
@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("case_7", "tumour"),
        ("a$b_{$ \\frac %s\n[x](y)|`z`\ud800", "in situ / invasive $1$"),
        ("long_" * 60, "adenocarcinoma of the large intestine " * 4),
    ],
)
def test_any_name_is_drawn_within_the_picture(
    drawn: list[Figure], tmp_path: Path, columns: int, name: str, label: str
) -> None:
    panels = [panel(np.ones((4, 8)), f"denoising_{i}") for i in range(columns)]
    report = "\n\n".join(write_panels([tile(*panels, name=name, label=label)], tmp_path))
    report.encode()
    pictures = sorted((tmp_path / "panels").iterdir())
    assert len(pictures) == 2
    assert all(f"](panels/{picture.name})" in report for picture in pictures)
    figure = drawn[0]
    renderer = figure.canvas.get_renderer()
    texts = [t for t in figure.texts if t.get_text()]
    assert RESEARCH_ONLY in texts[-1].get_text().replace("\n", " ")
    legend = next(axis for axis in figure.axes if axis.get_label() == "legend")
    ends = [t.get_window_extent(renderer) for t in legend.get_xticklabels()]
    assert all(one.x1 < other.x0 for one, other in pairwise(ends))
    for box in [*ends, *(t.get_window_extent(renderer) for t in texts)]:
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height
    # The title ends above the panels, the caption below the legend.
    title, caption = (t.get_window_extent(renderer) for t in texts)
    assert title.y0 > axis_of(figure, 0, 0).title.get_window_extent(renderer).y1
    assert caption.y1 < min(box.y0 for box in ends)


def test_two_tiles_of_one_name_have_two_pictures(tmp_path: Path) -> None:
    first = tile(panel(np.ones((4, 8))))
    second = TilePanels(**{**first.__dict__, "number": 2})
    write_panels([first, second], tmp_path)
    assert len(list((tmp_path / "panels").iterdir())) == 4
