"""The picture of a comparison: each column named and measured, on one scale where that is true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from napari_smoothsal import (
    Comparison,
    SaliencySpec,
    SmoothsalError,
    Tiling,
    columns_figure,
    compare,
    variants,
)
from napari_smoothsal.models import Model
from napari_smoothsal.render import columns_figure as drawing
from napari_smoothsal.render.columns_scale import columns_scale
from napari_smoothsal.slides import ArraySlide

SPEC = SaliencySpec(layer="layer2", samples=0, method="gradient")


@pytest.fixture(scope="module")
def slide() -> ArraySlide:
    pixels = np.random.default_rng(0).integers(60, 220, (200, 260, 3), dtype=np.uint8)
    return ArraySlide([pixels], mpp=(0.5, 0.5), name="case")


def compared(slide: ArraySlide, model: Model, folder: Path, varied: str, *values: str) -> Any:
    specs = variants(SPEC, varied, values)
    return compare(slide, model, specs, folder, tiling=Tiling(tissue="all"))


def drawn(
    monkeypatch: pytest.MonkeyPatch,
    slide: ArraySlide,
    comparison: Comparison,
    path: Path,
    **how: Any,
) -> tuple[Figure, list[float]]:
    """The figure, and the magnitude of full colour of each column."""
    figures: list[Figure] = []
    limits: list[float] = []
    save, colour = Figure.savefig, drawing.coloured

    def saved(self: Figure, *given: Any, **named: Any) -> None:
        figures.append(self)
        save(self, *given, **named)

    def coloured(values: Any, limit: float, palette: Any) -> Any:
        limits.append(limit)
        return colour(values, limit, palette)

    with monkeypatch.context() as patched:
        patched.setattr(Figure, "savefig", saved)
        patched.setattr(drawing, "coloured", coloured)
        columns_figure(slide, comparison, path, **how)
    return figures[0], limits


def test_columns_are_named_measured_and_on_one_scale(
    slide: ArraySlide, classifier: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = compared(slide, classifier, tmp_path, "denoising", "original", "centred_hook")
    scale = columns_scale(found)
    assert scale.comparable and scale.shared == max(limit.value for limit in scale.limits)
    assert scale.limits[0].value != scale.limits[1].value
    figure, limits = drawn(monkeypatch, slide, found, tmp_path / "one" / "c.png")
    assert limits == [scale.shared] * 2
    titles = [axis.get_title() for axis in figure.axes[:3]]
    assert titles[0] == "slide"
    for title, label, column in zip(titles[1:], found.labels, found.columns, strict=True):
        assert title.startswith(label)
        assert f"{column.total_variation:.2f}" in title
    with Image.open(tmp_path / "one" / "c.png") as picture:
        assert picture.width > 2 * picture.height * 0.8
    own = drawn(monkeypatch, slide, found, tmp_path / "c.pdf", one_scale=False)[1]
    assert own == [limit.value for limit in scale.limits]


def test_layers_have_scales_of_their_own_whatever_is_asked(
    slide: ArraySlide, classifier: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = compared(slide, classifier, tmp_path, "layer", "layer1", "layer2", "layer3")
    figure, limits = drawn(monkeypatch, slide, found, tmp_path / "c.png", one_scale=True)
    assert limits == [limit.value for limit in columns_scale(found).limits]
    assert len(set(limits)) == 3
    said = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "do not compare" in said and "layer" in said


def test_nothing_compared_yet_is_said(slide: ArraySlide, tmp_path: Path) -> None:
    with pytest.raises(SmoothsalError, match="nothing is compared yet"):
        columns_figure(slide, Comparison(()), tmp_path / "c.png")
