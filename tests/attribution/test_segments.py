"""Superpixels and nuclei: labels without gaps, what they follow, and how many nuclei are found."""

import numpy as np
import pytest
import torch
from skimage.draw import polygon

from napari_smoothsal.attribution.segments import nuclei, superpixels
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.slides.opening import open_slide
from napari_smoothsal.slides.outlines import read_outlines
from napari_smoothsal.slides.sample import sample_outlines_path, sample_slide_path

SIDE, MPP = 224, 0.5


def sample_tiles(count: int, seed: int = 0) -> list[tuple[torch.Tensor, np.ndarray]]:
    """Tiles of the sample slide with ten nuclei at least, and the number of each pixel's."""
    draw = np.random.default_rng(seed)
    with sample_outlines_path() as path:
        outlines = read_outlines(path)
    known = [
        np.array(shape.exterior.coords)
        for shape, name in zip(outlines.shapes, outlines.names, strict=True)
        if name.endswith("nucleus")
    ]
    ends = np.array([[*ring.min(0), *ring.max(0)] for ring in known])
    found = []
    with sample_slide_path() as path:
        slide = open_slide(path)
        while len(found) < count:
            x, y = (int(draw.integers(0, side - SIDE)) for side in (slide.width, slide.height))
            inside = (ends[:, :2] < (x + SIDE, y + SIDE)).all(1) & (ends[:, 2:] > (x, y)).all(1)
            if inside.sum() < 10:
                continue
            truth = np.zeros((SIDE, SIDE), np.int64)
            for number, which in enumerate(np.nonzero(inside)[0], 1):
                ring = known[which] - (x, y) - 0.5
                truth[polygon(ring[:, 1], ring[:, 0], truth.shape)] = number
            pixels = torch.from_numpy(slide.read_region(x, y, SIDE, SIDE))
            found.append((pixels.movedim(-1, 0) / 255, truth))
        slide.close()
    return found


@pytest.mark.parametrize("size", [8, 20.5, 32, 64])
def test_every_superpixel_is_somewhere_and_they_are_about_as_large_as_asked(size: float) -> None:
    for tile, _ in sample_tiles(3):
        labels = superpixels(tile, size)
        assert labels.shape == (SIDE, SIDE) and labels.dtype == torch.int64
        areas = labels.flatten().bincount()
        assert (areas > 0).all() and areas.sum() == SIDE**2
        assert 0.8 * size < areas.double().mean().sqrt() < 1.4 * size
        assert torch.equal(labels, superpixels(tile, size))


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_superpixels_keep_to_edges(channels: int) -> None:
    tile = torch.full((channels, 48, 48), 0.2)
    tile[:, :, 21:] = 0.8
    labels = superpixels(tile, 12)
    left, right = (set(labels[:, part].flatten().tolist()) for part in (slice(21), slice(21, 48)))
    assert len(left) >= 4 and len(right) >= 4 and not left & right


@pytest.mark.parametrize("size", [0, -3, 41])
def test_superpixels_larger_than_the_tile_are_refused(size: float) -> None:
    with pytest.raises(SettingError, match=rf"{size} px do not part.*48 x 40 px.*from 2 to 40 px"):
        superpixels(torch.rand(3, 40, 48), size)


def test_most_nuclei_of_the_sample_slide_are_found() -> None:
    right = found = there = 0
    for tile, truth in sample_tiles(10):
        labels = nuclei(tile, MPP).numpy()
        assert set(np.unique(labels)) == set(range(labels.max() + 1))
        both = np.zeros((labels.max() + 1, truth.max() + 1))
        np.add.at(both, (labels.ravel(), truth.ravel()), 1)
        either = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
        right += int((both / either)[1:, 1:].__gt__(0.5).sum())
        found += len(both) - 1
        there += int((both.sum(0)[1:] * MPP**2 >= 8).sum())
    assert right / found > 0.75 and right / there > 0.75


def test_size_counts_in_micrometres() -> None:
    y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    tile = torch.tensor([225.0, 150, 190]).reshape(3, 1, 1).repeat(1, 96, 96) / 255
    disc = (y - 48) ** 2 + (x - 48) ** 2 <= 12**2
    tile[:, disc] = torch.tensor([90.0, 60, 130])[:, None] / 255
    for mpp, count in ((0.5, 1), (2.0, 0), (0.1, 0)):  # 12, 48 and 2.4 um across
        labels = nuclei(tile, mpp)
        assert labels.max() == count
    labels = nuclei(tile, 0.5) > 0
    assert (labels & disc).sum() / (labels | disc).sum() > 0.9


@pytest.mark.parametrize("colour", [(255, 255, 255), (242, 240, 243), (225, 150, 190)])
@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_glass_and_eosin_have_none(colour, noise: float) -> None:
    draw = torch.Generator().manual_seed(3)
    tile = torch.tensor(colour).float().reshape(3, 1, 1).repeat(1, 128, 128)
    tile = (tile + noise * torch.randn(tile.shape, generator=draw)).clamp(0, 255) / 255
    assert nuclei(tile, MPP).max() == 0


def test_nuclei_need_colours() -> None:
    with pytest.raises(SettingError, match="4 channels; choose other pieces"):
        nuclei(torch.rand(4, 32, 32), MPP)
