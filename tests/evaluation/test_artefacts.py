"""Artefacts are found where they were drawn, and not in tissue without."""

import numpy as np
import pytest
import torch
from artefact_tiles import TILES, plain, tiles_with

from napari_smoothsal.evaluation.artefacts import ARTEFACTS, found_in
from napari_smoothsal.sample_data import artefacts as drawn_artefacts

NAMES = list(ARTEFACTS)


def test_what_can_be_drawn_can_be_found() -> None:
    assert list(drawn_artefacts.ARTEFACTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_artefact_is_found_and_no_other(name: str) -> None:
    shown = found_in(tiles_with(name)).any((2, 3)).mean(0)
    assert shown[NAMES.index(name)] >= 0.4
    others = [share for other, share in zip(NAMES, shown, strict=True) if other != name]
    assert max(others) <= 0.2


def test_tissue_is_no_artefact() -> None:
    shown = found_in(torch.from_numpy(plain()).movedim(-1, 1)).any((2, 3))
    assert shown.sum() <= 0.05 * shown.size


@pytest.mark.parametrize("name", ["ink", "text", "stripe"])
def test_it_is_found_at_its_place(name: str) -> None:
    images = tiles_with(name)
    changed = (images.movedim(1, -1).numpy() != plain()).any(-1)
    found = found_in(images)[:, NAMES.index(name)]
    near = np.stack([np.pad(c, 2) for c in changed])
    near = np.lib.stride_tricks.sliding_window_view(near, (5, 5), (1, 2)).any((3, 4))
    assert (found & ~near).mean() < 0.002
    assert (found & changed).sum() > 0.25 * changed.sum()


def test_a_line_is_one_whichever_way_it_runs() -> None:
    images = tiles_with("stripe")
    upright, lying = (found_in(x)[:, NAMES.index("stripe")] for x in (images, images.mT))
    assert upright.any() and (upright == lying.swapaxes(1, 2)).all()


def test_a_flat_or_black_tile_shows_nothing_strange() -> None:
    for grey in (0, 128, 255):
        shown = found_in(torch.full((1, 3, 32, 32), grey, dtype=torch.uint8))[0].any((1, 2))
        assert {n for n, s in zip(NAMES, shown, strict=True) if s} <= {"text"}, grey
    assert len(plain()) == TILES
