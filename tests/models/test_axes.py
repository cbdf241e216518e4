"""Rows and columns through reshaping: against tensors that hold their own places."""

from __future__ import annotations

import pytest
import torch
from cards import model_of
from torch import nn

from napari_smoothsal.models import Model
from napari_smoothsal.models.axes import Digit, map_dimensions, reshaped

H, W, C = 8, 12, 6


def test_reshaping_cuts_and_joins_digits() -> None:
    tokens = reshaped(map_dimensions((1, C, H, W)), (1, C, H * W))
    assert tokens is not None and tokens[2] == (Digit(0, H), Digit(1, W))
    assert reshaped(tokens, (1, C, H, W)) == map_dimensions((1, C, H, W))
    windows = reshaped(map_dimensions((1, C, H, W)), (1, C, 2, 4, 3, 4))
    assert windows is not None
    assert windows[2:] == ((Digit(0, 2, 4),), (Digit(0, 4),), (Digit(1, 3, 4),), (Digit(1, 4),))
    assert reshaped(windows, (1, C, H, W)) == map_dimensions((1, C, H, W))


def test_uneven_cuts_lose_places() -> None:
    assert reshaped(map_dimensions((1, C, H, W)), (1, C, 3, 32)) is None


class Rearranged(nn.Module):
    """A map by a function of a map, after a patchify stem."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.stem, self.function, self.there = nn.Conv2d(3, 16, 4, 4), function, nn.Identity()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.there(self.function(self.stem(image)))
        return x.flatten(1)[:, :2]


def rearranged(function: object, size: int = 64) -> Model:
    return model_of(Rearranged(function), size)


def windows(x: torch.Tensor) -> torch.Tensor:
    """Windows of 4 x 4 and back, as in Swin."""
    parts = x.view(1, 16, 4, 4, 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(16, 16, 16)
    parts = torch.softmax(parts @ parts.transpose(1, 2), -1) @ parts
    return parts.view(1, 4, 4, 4, 4, 16).permute(0, 5, 1, 3, 2, 4).reshape(1, 16, 16, 16)


def merging(x: torch.Tensor) -> torch.Tensor:
    """Patches of 2 x 2, as in Swin."""
    phases = [x[:, :, i::2, j::2] for j in (0, 1) for i in (0, 1)]
    return torch.cat(phases, 1)


def shuffled(x: torch.Tensor) -> torch.Tensor:
    return x.view(1, 4, 4, 16, 16).transpose(1, 2).reshape(1, 16, 16, 16)


def rolled_back(x: torch.Tensor) -> torch.Tensor:
    return x.roll((-3, 2), (2, 3)).relu().roll((3, -2), (2, 3))


def last(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1)


@pytest.mark.parametrize(
    ("function", "order", "stride", "centre", "field"),
    [
        (last, "BHWC", 4, 1.5, 4),
        (lambda x: x.flatten(2), "BCN", 4, 1.5, 4),
        (lambda x: x.flatten(2).transpose(1, 2), "BNC", 4, 1.5, 4),
        (lambda x: last(x).contiguous().permute(0, 3, 1, 2), "BCHW", 4, 1.5, 4),
        (lambda x: x.flatten(2).transpose(1, 2) @ torch.ones(16, 5), "BNC", 4, 1.5, 4),
        (shuffled, "BCHW", 4, 1.5, 4),
        (lambda x: torch.cat(x.chunk(2, 1)[::-1], 1), "BCHW", 4, 1.5, 4),
        (rolled_back, "BCHW", 4, 1.5, 4),
        (windows, "BCHW", 4, 1.5, 4 + 2 * 3 * 4),
        (merging, "BCHW", 8, 3.5, 8),
        (lambda x: x.view(1, 16, 8, 2, 8, 2).mean((3, 5)), "BCHW", 8, 3.5, 8),
        (lambda x: x[:, :, 3:, 3:], "BCHW", 4, 13.5, 4),
    ],
)
def test_places_follow(
    function: object, order: str, stride: float, centre: float, field: float
) -> None:
    info = rearranged(function).layer("there")
    assert info.layout.order == order
    assert (info.stride, info.centre) == ((stride, stride), (centre, centre))
    assert info.receptive_field == (field, field)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.roll(1, 2),
        lambda x: x.flip(2),
        lambda x: x.transpose(1, 2),  # rows become channels
        lambda x: x.reshape(1, 64, 16, 4),
        lambda x: x[:, :, torch.randperm(16)],
    ],
)
def test_what_has_lost_its_place_is_not_listed(function: object) -> None:
    assert [info.name for info in rearranged(function).layers()] == ["input", "stem"]
