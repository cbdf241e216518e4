"""Total variation against its closed forms (METHODS: white noise, checkerboard, stripes)."""

import math

import pytest
import torch

from napari_smoothsal import total_variation


@pytest.mark.parametrize("side", [14, 56, 192])
def test_white_noise_gives_two_root_two(side: int) -> None:
    noise = torch.randn(4, 64, side, side, generator=torch.Generator().manual_seed(0))
    expected = 2 * math.sqrt(math.pi) / math.sqrt(math.pi / 2) * (1 - 1 / side)
    assert expected == pytest.approx(2.83 * (1 - 1 / side), rel=1e-3)
    assert total_variation(noise).mean().item() == pytest.approx(expected, rel=0.02)


def test_a_checkerboard_and_stripes() -> None:
    y, x = torch.meshgrid(torch.arange(56), torch.arange(56), indexing="ij")
    checkerboard = (1.0 - 2 * ((y + x) % 2))[None, None]
    stripes = (1.0 - 2 * (x % 2))[None, None]
    assert total_variation(checkerboard).item() == pytest.approx(4 * (1 - 1 / 56))
    assert total_variation(stripes).item() == pytest.approx(2 * (1 - 1 / 56))


def test_it_depends_on_neither_offset_nor_scale_of_a_channel() -> None:
    maps = torch.randn(2, 3, 8, 9, dtype=torch.float64)
    changed = maps * torch.tensor([2.0, 0.1, 30.0])[None, :, None, None] - 5
    assert torch.allclose(total_variation(maps), total_variation(changed))


def test_a_constant_map_has_none_and_tiles_are_independent() -> None:
    maps = torch.cat([torch.full((1, 2, 8, 8), 3.0), torch.randn(1, 2, 8, 8)])
    values = total_variation(maps)
    assert values[0] == 0 and values[1] == total_variation(maps[1:])[0]
    assert total_variation(maps.sum(1)).shape == (2,)
