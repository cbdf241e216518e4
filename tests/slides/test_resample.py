"""The arithmetic against closed forms and a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_smoothsal.slides.resample import (
    area_taps,
    choose_level,
    covering,
    level_scale,
    reflected,
    resample,
)

LEVELS = (1.0, 2.0, 4.0, 16.0)


@pytest.mark.parametrize(
    ("needed", "level"),
    [
        (0.5, 0),
        (1.0, 0),
        (1.97, 0),
        (1.985, 1),  # within 1 %: not worth four times the pixels
        (2.0, 1),
        (2.0005, 1),
        (3.9, 1),
        (15.0, 2),
        (100.0, 3),
    ],
)
def test_coarsest_level_that_is_fine_enough(needed: float, level: int) -> None:
    assert choose_level(LEVELS, needed) == level


def test_a_level_of_a_fractional_downsample_serves_the_whole_number() -> None:
    assert choose_level((1.0, 2.0005), 2.0) == 1
    assert choose_level((1.0, 2.05), 2.0) == 0


def test_level_order_does_not_matter() -> None:
    assert choose_level((4.0, 1.0, 2.0), 2.5) == 2


@pytest.mark.parametrize(
    ("full", "level", "scale"),
    [
        ((1201, 1001), (600, 500), (2.0, 2.0)),  # remainder dropped
        ((1201, 1001), (601, 501), (2.0, 2.0)),  # remainder kept
        ((1201, 1001), (300, 250), (4.0, 4.0)),
        ((1000, 1000), (400, 400), (2.5, 2.5)),
        ((1000, 900), (400, 300), (2.5, 3.0)),
    ],
)
def test_scale_a_level_was_made_with(full, level, scale) -> None:
    assert level_scale(full, level) == scale


@pytest.mark.parametrize(
    ("start", "length", "interval"),
    [
        (0, 3, (0, 3)),
        (0.5, 2, (0, 3)),
        (2.999999999, 1, (3, 4)),
        (-0.5, 1, (-1, 1)),
        (1, 0, (1, 2)),
    ],
)
def test_covering_interval(start: float, length: float, interval: tuple[int, int]) -> None:
    assert covering(start, length) == interval


@given(st.integers(-50, 50), st.integers(1, 12), st.integers(-5, 5))
def test_reflection_is_numpys_where_numpy_has_one(overhang: int, size: int, origin: int) -> None:
    values = np.arange(size) + origin
    pad = abs(overhang)
    expected = np.pad(values, pad, mode="reflect") if size > 1 else np.full(2 * pad + 1, origin)
    index = np.arange(origin - pad, origin + size + pad)
    assert reflected(index, origin, origin + size).tolist() == expected.tolist()


def slow_mean(image: np.ndarray, x: float, y: float, step_x: float, step_y: float, n: int):
    """Area means pixel by pixel, from nothing but the definition of overlap."""

    def overlap(low: float, high: float, size: int) -> np.ndarray:
        i = np.arange(size)
        return np.clip(np.minimum(high, i + 1) - np.maximum(low, i), 0, None)

    out = np.empty((n, n, image.shape[2]))
    for row in range(n):
        for column in range(n):
            down = overlap(y + row * step_y, y + (row + 1) * step_y, image.shape[0])
            across = overlap(x + column * step_x, x + (column + 1) * step_x, image.shape[1])
            weight = np.outer(down, across)
            out[row, column] = np.tensordot(weight, image, 2) / weight.sum()
    return out


@settings(max_examples=60, deadline=None)
@given(
    st.floats(1.0, 5.0),
    st.floats(1.0, 5.0),
    st.floats(0.0, 3.0),
    st.floats(0.0, 3.0),
    st.integers(0, 9),
)
def test_area_means_equal_the_definition(step_x, step_y, x, y, seed) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    got = resample(image, area_taps(6, y, step_y), area_taps(6, x, step_x)).astype(float)
    expected = slow_mean(image, x, y, step_x, step_y, 6)
    # Half a grey value of rounding; steps within 1e-6 of a whole number count as whole.
    assert np.abs(got - expected).max() <= 0.5 + 0.02


@given(st.floats(0.05, 8.0), st.floats(-4.0, 4.0), st.integers(1, 20))
def test_weights_sum_to_one_and_a_constant_stays(step: float, start: float, n: int) -> None:
    taps = area_taps(n, start, step)
    assert np.allclose(taps.weight.sum(axis=1), 1, atol=1e-6)
    assert (taps.weight >= 0).all()


@given(st.floats(0.05, 8.0), st.floats(-4.0, 4.0), st.integers(1, 20))
def test_a_ramp_is_sampled_at_the_intervals_middles(step: float, start: float, n: int) -> None:
    """The mean of a line over an interval is its value in the middle: no shift at any step."""
    taps = area_taps(n, start, step)
    means = (taps.weight * (taps.index + 0.5)).sum(axis=1)
    middles = start + (np.arange(n) + 0.5) * step
    # A partly covered pixel is constant, so the staircase is off by at most 1/8 / step.
    assert np.abs(means - middles).max() <= 0.125 / max(step, 1) + 1e-4
    if step <= 1:
        assert np.allclose(means, middles, atol=1e-4)


def test_whole_pixels_are_copied() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    got = resample(image, area_taps(4, 2.0, 1.0), area_taps(5, 3.0000000001, 1.0))
    assert np.array_equal(got, image[2:6, 3:8])
    assert area_taps(4, 2.0, 1.0).weight.shape == (4, 1)


@given(
    st.lists(st.floats(1.0, 64.0), min_size=1, max_size=7),
    st.floats(0.05, 100.0),
)
def test_the_level_read_is_the_coarsest_that_blurs_nothing(downsamples, needed) -> None:
    chosen = downsamples[choose_level(downsamples, needed)]
    enough = [d for d in downsamples if d <= needed * 1.01]
    assert chosen == (max(enough) if enough else min(downsamples))


@given(
    st.integers(4000, 200_000),  # smaller ones may have several factors that explain them
    st.integers(4000, 200_000),
    st.integers(1, 32),
    st.booleans(),
    st.booleans(),
)
def test_any_size_halved_any_way_has_its_whole_factor(w, h, factor, up_w, up_h) -> None:
    level = tuple(
        -(-side // factor) if up else side // factor for side, up in ((w, up_w), (h, up_h))
    )
    assert level_scale((w, h), level) == (factor, factor)


@given(st.floats(0.05, 8.0), st.floats(-500.0, 500.0), st.integers(1, 400))
def test_taps_reach_no_further_than_what_they_average(step, start, n) -> None:
    taps = area_taps(n, start, step)
    first, end = covering(start, n * step)
    spare = 1 if step < 1 else 0  # interpolation looks at a neighbour
    assert first - spare <= taps.start and taps.stop <= end + spare
