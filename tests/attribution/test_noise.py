"""Noise belongs to the place: of a tile, or of a pixel of the global grid."""

import pytest
import torch

from napari_smoothsal.attribution.noise import add_noise


def noise(place, size=(40, 50), seed=3, sample=1, shared=True) -> torch.Tensor:
    return add_noise(torch.zeros(1, 3, *size), [place], 2.0, seed, [sample], shared=shared)[0]


@pytest.mark.parametrize("shift", [(0, 7), (13, 0), (13, 7)])
@pytest.mark.parametrize("origin", [(0, 0), (250, 240), (-30, -260)])
def test_shared_noise_is_that_of_the_pixel(origin, shift) -> None:
    here = noise(origin)
    there = noise((origin[0] + shift[0], origin[1] + shift[1]))
    dy, dx = shift
    assert torch.equal(here[:, dy:, dx:], there[:, : 40 - dy, : 50 - dx])
    assert 1.9 < here.std() < 2.1 and abs(here.mean()) < 0.1
    large = noise((origin[0] - 5, origin[1] - 300), (300, 700))
    assert torch.equal(large[:, 5:45, 300:350], here)


def test_a_tile_of_its_own_has_noise_of_its_own() -> None:
    assert not torch.equal(
        noise((0, 0), shared=False)[:, :, 7:], noise((0, 7), shared=False)[:, :, :-7]
    )
    # An image without a place on a grid is its own place.
    assert torch.equal(noise((4,)), noise((4,), shared=False))


def test_seeds_and_samples_are_independent() -> None:
    base = noise((0, 0)).flatten()
    for other in (noise((0, 0), seed=4), noise((0, 0), sample=2), noise((0, 256))):
        assert abs(torch.corrcoef(torch.stack([base, other.flatten()]))[0, 1]) < 0.05
    assert torch.equal(base, noise((0, 0)).flatten())
