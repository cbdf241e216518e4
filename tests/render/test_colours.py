"""Palettes stand out from the stains they are laid over; limits say what they were measured on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from skimage.color import hed2rgb

from napari_smoothsal.core.errors import UnknownNameError
from napari_smoothsal.render.colours import AMBER_TEAL, LIME_MAGENTA, PALETTES, palette_named
from napari_smoothsal.render.limits import colour_limit, stretched_limit
from napari_smoothsal.render.standing_out import (
    LEAST_DIFFERENCE,
    difference_from,
    standing_out,
)
from napari_smoothsal.slides import open_slide
from napari_smoothsal.slides.sample import sample_slide_path


def stained(dyes: list[tuple[float, float, float]]) -> Any:
    """Pixels with amounts of haematoxylin, eosin and DAB (colours of Ruifrok and Johnston)."""
    shades = np.linspace(0.2, 1.0, 9)[:, None] * np.array(dyes)[:, None]
    return np.rint(255 * hed2rgb(shades)).astype(np.uint8)


def test_the_palette_stands_out_from_the_sample_slide() -> None:
    with sample_slide_path() as path, open_slide(path) as slide:
        picture = slide.thumbnail(512)
    assert difference_from(AMBER_TEAL, picture) >= LEAST_DIFFERENCE
    assert standing_out(picture) is AMBER_TEAL


def test_the_palette_stands_out_from_a_real_slide(real_slides: Path) -> None:
    with open_slide(real_slides / "CMU-1-Small-Region.svs") as slide:
        picture = slide.thumbnail(512)
    assert difference_from(AMBER_TEAL, picture) >= LEAST_DIFFERENCE
    assert standing_out(picture) is AMBER_TEAL


def test_brown_stains_get_another_palette() -> None:
    picture = stained([(0.1, 0.0, 0.0), (0.0, 0.0, 0.12), (0.05, 0.0, 0.08)])
    assert difference_from(AMBER_TEAL, picture) < LEAST_DIFFERENCE
    assert standing_out(picture) is LIME_MAGENTA


def test_glass_has_no_colours_to_stand_out_from() -> None:
    picture = np.full((20, 20, 3), 243, np.uint8)
    assert difference_from(AMBER_TEAL, picture) == float("inf")
    assert standing_out(picture) is AMBER_TEAL


def test_a_palette_by_name() -> None:
    assert all(palette_named(name) is palette for name, palette in PALETTES.items())
    with pytest.raises(UnknownNameError, match="amber and teal"):
        palette_named("rainbow")


@pytest.mark.parametrize(
    ("normal", "largest", "value", "of"),
    [
        (0.3, 9.0, 0.3, "normal tissue"),
        (None, 9.0, 9.0, "this map"),
        (None, 0.0, 1.0, "this map"),
    ],
)
def test_limits_are_those_of_normal_tissue_where_there_is_some(
    normal: float | None, largest: float, value: float, of: str
) -> None:
    shown: Any = SimpleNamespace(
        normal_magnitude=normal, largest_magnitude=lambda _: largest, calibration=None
    )
    limit = colour_limit(shown)
    assert (limit.value, limit.of) == (value, of)
    assert limit.in_words.startswith("full colour: ")
    assert stretched_limit(shown).value == (largest or 1.0)
