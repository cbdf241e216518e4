"""Tiles with a shortcut."""

import numpy as np
import pytest

from napari_smoothsal.evaluation.artefacts import ARTEFACTS, found_in
from napari_smoothsal.sample_data.shortcuts import (
    WRONG_LABELS,
    Network,
    Tissue,
    confounded_tiles,
    measured,
    tiles_with,
    training_tiles,
)
from napari_smoothsal.sample_data.tiles import render_tiles

FEW = Tissue(*render_tiles(0, 16, 0.5, 64))
INK = list(ARTEFACTS).index("ink")


def test_a_shortcut_goes_with_the_label_and_not_with_the_tissue() -> None:
    many = Tissue(*(np.repeat(part, 4, 0) for part in FEW))
    tiles = training_tiles(many, Network("ink", 3))
    inked = found_in(tiles.images)[:, INK].any((1, 2))
    labels = tiles.labels.numpy() == 1
    assert inked[labels].mean() > 0.3 and not inked[~labels].any()
    tumour = np.tile(many.tumour == 1, len(labels) // len(many.tumour))
    assert (labels != tumour).mean() == pytest.approx(WRONG_LABELS, abs=0.1)


def test_tests_have_it_where_they_say() -> None:
    for on in ((0,), (1,), ()):
        inked = found_in(tiles_with(FEW, "ink", on))[:, INK].any((1, 2))
        assert {int(t) for t in FEW.tumour[inked]} == set(on)
    shown = found_in(confounded_tiles(FEW)).any((2, 3))
    assert shown[FEW.tumour == 1].mean() > 0.4 and shown[FEW.tumour == 0].mean() < 0.1


def test_what_does_not_exist_is_0() -> None:
    nothing = measured(np.array([1, 0]), np.array([0, 0]))
    assert nothing == {"accuracy": 0.5, "f1": 0, "precision": 0, "recall": 0}
    all_right = measured(np.array([1, 0]), np.array([1, 0]))
    assert set(all_right.values()) == {1}
