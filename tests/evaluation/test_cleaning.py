"""Cleaned tiles have lost the artefact, or all look alike in it."""

import pytest
import torch
from artefact_tiles import plain, tiles_with

from napari_smoothsal.core.errors import SettingError, UnknownNameError
from napari_smoothsal.evaluation.artefacts import ARTEFACTS, found_in
from napari_smoothsal.evaluation.cleaning import cleaned

NAMES = list(ARTEFACTS)
BEFORE = torch.from_numpy(plain()).movedim(-1, 1)


@pytest.mark.parametrize("name", ["ink", "text", "stripe"])
def test_what_is_at_a_place_is_painted_over_and_the_rest_left_alone(name: str) -> None:
    images = tiles_with(name)
    after = cleaned(images, name)
    had, has = (found_in(x)[:, NAMES.index(name)].any((1, 2)).sum() for x in (images, after))
    assert had >= 12 and has <= had / 4
    # Nearer to the tissue as it was where the artefact is, and unchanged where nothing was.
    drawn = (images != BEFORE).any(1, keepdim=True)
    off_after, off_before = ((x - BEFORE.float()).abs() * drawn for x in (after, images))
    assert off_after.mean() < 0.8 * off_before.mean()
    assert (after != images).any(1).float().mean() < 0.35


@pytest.mark.parametrize(("name", "most"), [("blurred_rim", 2.5), ("tint", 2.0)])
def test_what_is_everywhere_cannot_be_told_any_more(name: str, most: float) -> None:
    one, other = (cleaned(x, name).float() for x in (BEFORE, tiles_with(name)))
    assert (one - other).abs().mean() < most
    assert (one - other).abs().mean() < (BEFORE - tiles_with(name).float()).abs().mean() / 2


def test_all_are_compressed() -> None:
    shown = found_in(cleaned(BEFORE, "compression"))[:, NAMES.index("compression")]
    with_it = found_in(tiles_with("compression"))[:, NAMES.index("compression")]
    assert shown.any((1, 2)).sum() >= with_it.any((1, 2)).sum()


def test_an_unknown_artefact_is_told() -> None:
    with pytest.raises(UnknownNameError, match="ink"):
        cleaned(BEFORE, "inc")


def test_a_tile_that_is_ink_all_over_is_told() -> None:
    ink = torch.tensor([5, 60, 200], dtype=torch.uint8).reshape(1, 3, 1, 1).expand(1, 3, 32, 32)
    with pytest.raises(SettingError, match="image 0 is 'ink' all over"):
        cleaned(ink.contiguous(), "ink")
