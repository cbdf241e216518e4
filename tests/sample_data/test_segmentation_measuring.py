"""The figures of the segmenter's card."""

from __future__ import annotations

import numpy as np
import pytest

from napari_smoothsal.sample_data.masks import CLASS_NAMES
from napari_smoothsal.sample_data.segmentation_measuring import figures


def test_pooled_and_mean_over_tiles_differ_as_they_should():
    # One tile full of tumour nuclei, all found; one with a single pixel of it, missed.
    truth = np.zeros((2, 10, 10), np.uint8)
    truth[0], truth[1, 0, 0], truth[1, 5, 5] = 2, 2, 1
    found = truth.copy()
    found[1, 0, 0] = 0
    said = figures(truth, found)
    tumour = CLASS_NAMES[2]
    assert said["n"] == 2
    assert said["dice"][tumour] == pytest.approx(200 / 201, abs=1e-4)
    assert said["mean_dice_of_tiles"][tumour] == 0.5
    # Of background there is none in the first tile, which does not count for it.
    assert said["mean_dice_of_tiles"][CLASS_NAMES[0]] == pytest.approx(196 / 197, abs=1e-4)
