"""Fills of a part of a view: what each leaves of it, in closed forms."""

from __future__ import annotations

import pytest
import torch

from napari_smoothsal.attribution.region_fills import REGION_FILLS
from napari_smoothsal.core.errors import UnknownNameError


def view() -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.rand(3, 60, 80, generator=draw) * 0.6 + 0.1


def square() -> torch.Tensor:
    hidden = torch.zeros(60, 80, dtype=torch.bool)
    hidden[20:40, 30:55] = True
    return hidden


@pytest.mark.parametrize("name", REGION_FILLS)
def test_a_view_of_one_colour_is_filled_with_it(name: str) -> None:
    colour = torch.tensor([0.7, 0.3, 0.5])[:, None, None].expand(3, 60, 80)
    got = REGION_FILLS[name].make(colour, square())
    assert torch.allclose(got, colour, atol=1e-5)


@pytest.mark.parametrize("name", REGION_FILLS)
def test_structure_goes(name: str) -> None:
    got, hidden = REGION_FILLS[name].make(view(), square()), square()
    assert got.shape == (3, 60, 80)
    assert got[:, hidden].std() < 0.5 * view()[:, hidden].std()


def test_the_mean_is_of_tissue_alone_whatever_is_hidden() -> None:
    colours = view()
    colours[:, :, 40:] = 0.97  # glass
    one, other = (REGION_FILLS["tissue_mean"].make(colours, h) for h in (square(), ~square()))
    assert torch.equal(one, other)
    expected = colours[:, :, :40].mean((1, 2))
    assert torch.allclose(one, expected[:, None, None].expand_as(one), atol=1e-6)


def test_inpainting_knows_nothing_of_what_it_hides_and_has_no_edge() -> None:
    ramp = torch.linspace(0.2, 0.8, 80).expand(3, 60, 80).clone()
    hidden, fill = square(), REGION_FILLS["inpainted"]
    other = ramp.clone()
    other[:, hidden] = 0.0
    got = fill.make(ramp, hidden)
    assert torch.allclose(got, fill.make(other, hidden), atol=1e-6)
    assert torch.equal(got[:, ~hidden], ramp[:, ~hidden])
    # A ramp solves Laplace's equation; a few sweeps come near.
    assert (got - ramp).abs().max() < 0.1
    edge = (got[:, 20:40, 30] - got[:, 20:40, 29]).abs().max()
    assert edge < 0.05


def test_an_unknown_fill_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'inpainted'"):
        REGION_FILLS["inpaint"]
