"""Masks of synthetic tiles say what was painted; those of real patches leave doubt out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from skimage.color import rgb2hed
from skimage.draw import polygon2mask

from napari_smoothsal.evaluation.overlap import IGNORED
from napari_smoothsal.sample_data.masks import (
    BACKGROUND,
    CLASS_NAMES,
    NORMAL,
    TUMOUR,
    nuclei_mask,
)
from napari_smoothsal.sample_data.nuclei import FIBROBLAST, LYMPHOCYTE, VESICULAR, Nucleus
from napari_smoothsal.sample_data.patches import Patch
from napari_smoothsal.sample_data.pseudo_masks import inner, pseudo_masked
from napari_smoothsal.sample_data.segmentation_tiles import render_masked_tile, render_masked_tiles

MPP = 0.5
FLAT = ((0.0, 0.0),) * 4
BUMPY = ((0.06, 0.4), (0.04, 2.0), (0.03, 1.0), (0.02, 5.0))


def nucleus(kind=LYMPHOCYTE, y=20.0, x=20.0, long=4.0, short=3.0, angle=0.7, bumps=BUMPY):
    return Nucleus(kind, y, x, long, short, angle, bumps, 0.8, 0)


@pytest.mark.parametrize("kind", [LYMPHOCYTE, FIBROBLAST, VESICULAR])
@pytest.mark.parametrize(("long", "short"), [(4.0, 3.0), (9.0, 2.0), (7.0, 6.0)])
def test_a_mask_is_the_polygon_of_its_outline(kind, long, short):
    one = nucleus(kind, y=20.3, x=23.1, long=long, short=short)
    theta = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    radius = one.radius(theta)
    ring = np.stack([one.y_um + radius * np.sin(theta), one.x_um + radius * np.cos(theta)], 1)
    # skimage's pixel k has its centre at k.
    polygon = polygon2mask((80, 96), ring / MPP - 0.5)
    mask = nuclei_mask([one], (80, 96), MPP)
    assert set(np.unique(mask)) == {BACKGROUND, TUMOUR if kind.tumour else NORMAL}
    assert ((mask > 0) != polygon).sum() <= 2


def test_area_and_place_of_an_ellipse():
    mask = nuclei_mask([nucleus(long=6, short=4, bumps=FLAT)], (80, 80), MPP) > 0
    assert mask.sum() * MPP**2 == pytest.approx(np.pi * 6 * 4, rel=0.03)
    centre = (np.argwhere(mask).mean(axis=0) + 0.5) * MPP
    assert centre == pytest.approx((20, 20), abs=0.05)


def test_of_overlapping_nuclei_the_later_is_seen():
    lower, upper = nucleus(LYMPHOCYTE), nucleus(VESICULAR, long=2.0, short=2.0)
    assert nuclei_mask([lower, upper], (80, 80), MPP)[40, 40] == TUMOUR
    assert nuclei_mask([upper, lower], (80, 80), MPP)[40, 40] == NORMAL


@pytest.mark.parametrize(("y", "x"), [(0, 20), (39.9, 20), (20, 0), (20, 39.9), (-1, -1)])
def test_a_nucleus_at_the_edge_is_cut(y, x):
    one = nucleus(y=y, x=x)
    wide = nuclei_mask([replace(one, y_um=y + 10, x_um=x + 10)], (120, 120), MPP)
    assert np.array_equal(nuclei_mask([one], (80, 80), MPP), wide[20:100, 20:100])


@pytest.mark.parametrize(("y", "x"), [(-30, 20), (20, 90), (90, 90)])
def test_a_nucleus_outside_leaves_no_trace(y, x):
    assert not nuclei_mask([nucleus(y=y, x=x)], (80, 80), MPP).any()


def test_tiles_show_dark_nuclei_where_the_mask_says():
    images, masks = render_masked_tiles(3_000_000, 8)
    assert set(np.unique(masks)) == set(range(len(CLASS_NAMES)))
    for image, mask in zip(images, masks, strict=True):
        dye = rgb2hed(image)[..., 0]
        inside = mask > 0
        if not inside.any():
            continue
        here = dye[inside].mean()
        assert here > 1.3 * dye[~inside].mean()
        for shift, axis in ((4, 0), (-4, 0), (4, 1), (-4, 1)):
            assert dye[np.roll(inside, shift, axis)].mean() < here


def test_masked_tiles_are_deterministic_and_of_mixed_tissue():
    image, mask = render_masked_tile(5, 64)
    again, same_mask = render_masked_tile(5, 64)
    assert image.shape == (64, 64, 3)
    assert mask.shape == (64, 64)
    assert np.array_equal(image, again)
    assert np.array_equal(mask, same_mask)
    assert not np.array_equal(image, render_masked_tile(6, 64)[0])


def patch_of_discs(label: int, discs: list[tuple[int, int, int]]) -> Patch:
    """Blue discs (row, column, radius) on pink, at 0.25 um per pixel."""
    image = np.full((256, 256, 3), (235, 190, 215), np.uint8)
    rows, columns = np.mgrid[:256, :256]
    for row, column, radius in discs:
        image[np.hypot(rows - row, columns - column) < radius] = (80, 60, 140)
    return Patch("made_up_0_0", label, "made_up", (0, 0), image)


@pytest.mark.parametrize(("label", "radius"), [(0, 14), (1, 24)])
def test_pseudo_masks_find_discs_and_leave_the_doubtful_rim_out(label, radius):
    discs = [(70, 70, radius), (70, 190, radius), (190, 120, radius)]
    image, mask = pseudo_masked(patch_of_discs(label, discs))
    assert image.shape == (256, 256, 3)
    mask = inner(mask[None])[0]
    assert mask.shape == (128, 128)
    assert set(np.unique(mask)) <= {BACKGROUND, label + 1, IGNORED}
    for row, column, _ in discs:
        assert mask[row // 2, column // 2] == label + 1
    found = (mask == label + 1).sum()
    assert found == pytest.approx(3 * np.pi * (radius / 2) ** 2, rel=0.15)
    assert mask[5, 5] == BACKGROUND
    assert 0 < (mask == IGNORED).mean() < 0.1


def test_small_nuclei_of_a_tumour_patch_have_no_class():
    _, mask = pseudo_masked(patch_of_discs(1, [(70, 70, 12), (180, 180, 24)]))
    mask = inner(mask[None])[0]
    assert mask[35, 35] == IGNORED
    assert mask[90, 90] == TUMOUR
