"""plan_tiles from Python: boxes to iterate over, and their pixels in batches."""

import numpy as np
import pytest

from napari_smoothsal import Tiling, plan_tiles
from napari_smoothsal.core.errors import SettingError, TileReadError
from napari_smoothsal.slides import ArraySlide


def test_boxes_and_their_pixels(noisy, classifier) -> None:
    plan = plan_tiles(noisy, classifier, Tiling(tissue="all"), layers=["layer1"])
    boxes = list(plan)
    assert len(boxes) == len(plan) > 16
    assert np.allclose([(b.x, b.y, b.w, b.h) for b in boxes], plan.boxes)
    batches = list(plan.read(noisy, batch_size=7))
    assert [len(b.images) for b in batches[:-1]] == [7] * (len(plan) // 7)
    images = np.concatenate([b.images for b in batches])
    assert images.shape == (len(plan), 64, 64, 3) and images.dtype == np.uint8
    for index in (0, 5, len(plan) - 1):
        assert np.array_equal(images[index], noisy.read_box(boxes[index], (64, 64)))


def test_what_cannot_be_read_is_told_of_its_tile(noisy, classifier) -> None:
    class Torn(ArraySlide):
        def read_box(self, box, size, resampling="area"):
            if box.x <= 100 < box.x + box.w:
                raise TileReadError("torn")
            return super().read_box(box, size, resampling)

    slide = Torn(noisy._levels, mpp=(0.5, 0.5))
    plan = plan_tiles(slide, classifier, Tiling(tissue="all"))
    errors = [error for batch in plan.read(slide, 5) for error in batch.errors]
    assert [e is not None for e in errors] == [b.x <= 100 < b.x + b.w for b in plan]
    with pytest.raises(SettingError, match="batch_size = 0"):
        next(plan.read(slide, 0))
