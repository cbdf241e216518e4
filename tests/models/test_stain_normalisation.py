"""Tiles brought to a card's stain: torchstain's pixels, and none where there is no stain."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tissue_pictures import tissue
from torchstain.torch.normalizers import TorchMacenkoNormalizer, TorchReinhardNormalizer

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models import Model
from napari_smoothsal.models.stain_normalisation import StainNormaliser, stain_target_of

METHODS = ("reinhard", "macenko")


def picture(seed: int = 0, strength=(1.0, 1.0)) -> torch.Tensor:
    return torch.from_numpy(tissue(96, 13, seed, strength)).permute(2, 0, 1)


def by_torchstain(method: str, target: torch.Tensor, tile: torch.Tensor) -> torch.Tensor:
    normalizer = TorchReinhardNormalizer() if method == "reinhard" else TorchMacenkoNormalizer()
    normalizer.fit(target)
    found = normalizer.normalize(tile)
    return (found if method == "reinhard" else found[0]).permute(2, 0, 1).to(torch.uint8)


@pytest.fixture(scope="module")
def patches() -> torch.Tensor:
    folder = Path(os.environ.get("SMOOTHSAL_DATA", "")) / "patches"
    files = sorted(folder.glob("*/*.png"))[::4]
    if not os.environ.get("SMOOTHSAL_DATA") or not files:
        pytest.skip("set SMOOTHSAL_DATA to a folder with patches/*/*.png of H&E-stained tissue")
    pixels = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("method", METHODS)
def test_real_patches_are_torchstains_bit_for_bit(method: str, patches: torch.Tensor) -> None:
    found = StainNormaliser(stain_target_of(patches[0], method))(patches)
    assert found.as_they_were == 0
    for tile, got in zip(patches, found.images, strict=True):
        assert torch.equal(got, by_torchstain(method, patches[0], tile))
    assert (found.images[1:].float() - patches[1:].float()).abs().mean() > 5


@pytest.mark.parametrize("method", METHODS)
def test_made_up_tissue_is_torchstains_bit_for_bit(method: str) -> None:
    target, tiles = picture(9), torch.stack([picture(s, (1.4, 0.9)) for s in range(3)])
    found = StainNormaliser(stain_target_of(target, method))(tiles).images
    for tile, got in zip(tiles, found, strict=True):
        assert torch.equal(got, by_torchstain(method, target, tile))


@pytest.mark.parametrize("method", METHODS)
def test_a_tile_is_its_own_target(method: str) -> None:
    tile = picture()
    (got,) = StainNormaliser(stain_target_of(tile, method))(tile[None]).images
    # torchstain cuts off where it could round; Macenko's gives what is brighter than its glass.
    assert (got.int() - tile.int()).abs().float().mean() < 2


@pytest.mark.parametrize("method", METHODS)
def test_two_stainings_of_one_tissue_become_alike(method: str) -> None:
    pair = torch.stack([picture(1, (1.0, 1.4)), picture(1, (1.5, 0.9))])
    one, two = StainNormaliser(stain_target_of(picture(5), method))(pair).images.float()
    before = (pair[0].float() - pair[1].float()).abs().mean()
    assert (one - two).abs().mean() < before / 4


@pytest.mark.parametrize("method", METHODS)
def test_what_has_no_stain_stays_as_it_is_and_is_counted(method: str) -> None:
    noise = np.random.default_rng(0).normal(243, 1, (96, 96, 3))
    ramp = np.broadcast_to(np.arange(40, 136)[:, None, None], (96, 96, 3))
    blank = [np.full((96, 96, 3), value) for value in (255, 243, 128, 0)]
    tiles = torch.from_numpy(np.stack([*blank, noise, ramp]).clip(0, 255).astype(np.uint8))
    tiles = torch.cat([tiles.permute(0, 3, 1, 2), picture(2)[None]])
    found = StainNormaliser(stain_target_of(picture(5), method))(tiles)
    assert found.as_they_were == 6
    assert torch.equal(found.images[:6], tiles[:6])
    assert not torch.equal(found.images[6], tiles[6])


@pytest.mark.parametrize("method", METHODS)
def test_a_margin_is_changed_and_not_measured(method: str) -> None:
    normaliser = StainNormaliser(stain_target_of(picture(5), method))
    wide = torch.stack([picture(3), picture(4)])
    wide[:, :, :, -8:] = 0
    inner = wide[:, :, 8:-8, 8:-8]
    found = normaliser(wide, margin=8).images
    assert torch.equal(found[:, :, 8:-8, 8:-8], normaliser(inner).images)
    assert not torch.equal(found, normaliser(wide).images)


def test_floats_are_the_same_as_their_bytes() -> None:
    normaliser = StainNormaliser(stain_target_of(picture(5), "macenko"))
    tiles = torch.stack([picture(3), picture(4)])
    assert torch.equal(normaliser(tiles.float() / 255).images, normaliser(tiles).images)
    assert normaliser(tiles[:0]).images.shape == (0, 3, 96, 96)


def test_a_target_without_stain_is_refused() -> None:
    glass = torch.full((3, 64, 64), 250, dtype=torch.uint8)
    for method in METHODS:
        with pytest.raises(SettingError, match="too little stain"):
            stain_target_of(glass, method)
    with pytest.raises(SettingError, match="'reinhard' or 'macenko'"):
        stain_target_of(picture(), "vahadane")
    with pytest.raises(SettingError, match="uint8"):
        stain_target_of(picture().float(), "macenko")


def test_behind_the_stain_is_the_same_network_and_normal_tissue_of_that_stain(
    classifier: Model,
) -> None:
    assert classifier.behind_stain is classifier
    target = stain_target_of(picture(5), "macenko")
    card = classifier.card.model_copy(update={"stain_normalisation": target})
    normal = np.stack([tissue(64, 13, 3), tissue(64, 13, 4)])
    model = Model(classifier.module, card, normal_tissue=normal)
    behind = model.behind_stain
    assert behind.module is model.module and behind.card.stain_normalisation is None
    assert behind.behind_stain is behind and model.card.stain_normalisation is target
    expected = model.stain_normalised(torch.from_numpy(normal).permute(0, 3, 1, 2)).images
    assert np.array_equal(behind.normal_tissue, expected.permute(0, 2, 3, 1).numpy())
    assert model.parameters_sha256 == behind.parameters_sha256


@pytest.mark.parametrize("method", METHODS)
def test_a_changed_tile_is_brought_to_the_stain_as_it_was_before(method: str) -> None:
    normaliser = StainNormaliser(stain_target_of(picture(5), method))
    before = torch.stack([picture(3), picture(4)])
    after = before.clone()
    after[:, :, 20:60, 30:70] = 20
    got = normaliser(after, measured=before).images
    kept = torch.ones(96, 96, dtype=torch.bool)
    kept[20:60, 30:70] = False
    assert torch.equal(got[:, :, kept], normaliser(before).images[:, :, kept])
    assert not torch.equal(got[:, :, kept], normaliser(after).images[:, :, kept])
