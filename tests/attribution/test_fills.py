"""Fills: what is shown where a tile is covered, and how far what is inpainted is smooth."""

import pytest
import torch

from napari_smoothsal.attribution.baselines import BASELINES
from napari_smoothsal.attribution.fills import INPAINTED, Covering, checked_fill, filled, inpainted
from napari_smoothsal.attribution.perturbation import PerturbedTile
from napari_smoothsal.core.errors import SettingError, UnknownNameError

MEAN = torch.tensor([0.5, 0.4, 0.6]).double().reshape(3, 1, 1)
STD = torch.tensor([0.2, 0.3, 0.25]).double().reshape(3, 1, 1)


def normalised(colours: torch.Tensor) -> torch.Tensor:
    return (colours - MEAN) / STD


def tile_of(colours: torch.Tensor) -> PerturbedTile:
    return PerturbedTile(normalised(colours), colours, normalised, 0.5, 0)


def random_tile() -> PerturbedTile:
    return tile_of(torch.rand(3, 40, 30, generator=torch.Generator().manual_seed(0)).double())


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_is_a_fill(name: str) -> None:
    tile = random_tile()
    expected = BASELINES[name].make(tile.colours[None], MEAN[None]).expand(1, 3, 40, 30)[0]
    assert torch.allclose(filled(tile, name), normalised(expected), atol=1e-12)


def test_a_colour() -> None:
    expected = torch.tensor([255.0, 0, 51]).double().reshape(3, 1, 1) / 255
    found = filled(random_tile(), "#ff0033")
    assert torch.allclose(found, normalised(expected).expand(3, 40, 30))


@pytest.mark.parametrize("fill", [*BASELINES, INPAINTED, "#123456"])
def test_only_what_is_covered_changes(fill: str) -> None:
    tile = random_tile()
    amount = torch.zeros(4, 40, 30, dtype=torch.bool)
    amount[1, 3:9, :7], amount[2, 30:, 20:], amount[3] = True, True, True
    covering = Covering(tile, fill)
    for hidden in (~amount[:3], amount.flip(0), amount):  # what was covered before is restored
        images = covering.images(len(hidden), hidden.flatten().nonzero()[:, 0])
    assert images.shape == (4, 3, 40, 30)
    for image, hidden in zip(images, amount, strict=True):
        assert torch.equal(image[:, ~hidden], tile.image[:, ~hidden])
    if fill != INPAINTED:
        assert torch.equal(images[3], filled(tile, fill))


def test_a_gradient_continues_into_a_hole() -> None:
    y, x = torch.meshgrid(torch.arange(96), torch.arange(80), indexing="ij")
    ramp = torch.stack([x / 80, y / 96, (x + y) / 176]).double()
    hidden = torch.zeros(3, 96, 80, dtype=torch.bool)
    hidden[0, 30:62, 20:52], hidden[1, 40:44, 10:60] = True, True
    hidden[2, 10:20, 10:20] = hidden[2, 70:80, 60:70] = True
    assert (inpainted(ramp, hidden) - ramp).abs().max() < 0.02


def test_what_is_inpainted_is_near_laplaces_equation() -> None:
    image = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(1)).double()
    hidden = torch.zeros(24, 24, dtype=torch.bool)
    hidden[6:18, 8:17] = True
    exact = torch.where(hidden, 0.5, image)
    for _ in range(2000):
        near = sum(exact.roll(by, axis) for by in (1, -1) for axis in (1, 2)) / 4
        exact = torch.where(hidden, near, image)
    found = inpainted(image, hidden[None])[0]
    assert (found - exact)[:, hidden].square().mean().sqrt() < 0.04
    assert found.min() >= image.min() and found.max() <= image.max()


def test_a_hole_is_filled_alike_whatever_else_is_asked_for() -> None:
    image = torch.rand(3, 50, 60, generator=torch.Generator().manual_seed(2)).double()
    hidden = torch.zeros(4, 50, 60, dtype=torch.bool)
    hidden[0, 5:9, 5:9], hidden[1, 20:45, 3:50], hidden[2, 30:, 50:] = True, True, True
    together = inpainted(image, hidden)
    for number in range(4):
        assert torch.allclose(together[number], inpainted(image, hidden[number, None])[0])


def test_where_all_is_covered_the_mean_colour_shows() -> None:
    image = random_tile().image
    assert inpainted(image, torch.ones(1, 40, 30, dtype=torch.bool)).abs().max() == 0


def test_what_is_no_fill() -> None:
    assert checked_fill("white") == "white" and checked_fill(INPAINTED) == INPAINTED
    with pytest.raises(UnknownNameError, match="blurred"):
        checked_fill("blured")
    with pytest.raises(SettingError, match=r"inpainted.*depends on what is covered"):
        filled(random_tile(), INPAINTED)
