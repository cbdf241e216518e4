"""The forward hook: the mean of four convolutions of the rolled input, in one."""

from itertools import product

import pytest
import torch
from torch import nn

from napari_smoothsal.denoise import DENOISINGS, denoised, options_of

HOOK = DENOISINGS["forward_hook"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bias": False},
        {"groups": 2},
        {"dilation": 2, "padding": 2},
        {"padding_mode": "reflect"},
        {"padding_mode": "circular"},
        {"padding_mode": "replicate", "groups": 4},
        {"kernel_size": 1, "padding": 0},
        {"kernel_size": 4, "padding": 0, "stride": 4},
        {"stride": (1, 2)},
    ],
)
def test_it_equals_the_mean_of_four_convolutions(settings: dict) -> None:
    torch.manual_seed(0)
    given = {"kernel_size": 3, "stride": 2, "padding": 1, **settings}
    conv = nn.Conv2d(4, 8, **given).double()
    image = torch.randn(2, 4, 12, 11, dtype=torch.float64)
    rolls = [image.roll(shift, dims=(2, 3)) for shift in product((0, 1), repeat=2)]
    plain = torch.stack([conv(rolled) for rolled in rolls]).mean(0)
    with denoised(nn.Sequential(conv), HOOK, ["0"], options_of(HOOK, {})):
        assert torch.allclose(conv(image), plain, atol=1e-14)
    assert not conv._forward_pre_hooks


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_no_period_of_two_is_left(gradient_of, strided, kernel: int) -> None:
    ones = torch.ones(1, 4, 32, 32, dtype=torch.float64)
    gradient = gradient_of(strided(kernel, 2), ones, ["0"], "forward_hook")[:, :, 8:24, 8:24]
    assert gradient.std((2, 3)).max() < 1e-12


def test_its_gradient_is_the_backward_hooks_one_pixel_up_and_left(gradient_of, strided) -> None:
    net, image = strided(3, 2), torch.randn(1, 4, 12, 12, dtype=torch.float64)
    weight = torch.randn(1, 4, 6, 6, dtype=torch.float64)
    forward = gradient_of(net, image, ["0"], "forward_hook", weight)
    backward = gradient_of(net, image, ["0"], "backward_hook", weight)
    assert torch.allclose(forward, backward.roll((-1, -1), dims=(2, 3)), atol=1e-14)


def test_nobody_else_sees_the_averaged_input() -> None:
    class Siblings(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = (nn.Conv2d(2, 2, 3, 2, 1).double() for _ in range(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.a(x), self.b(x), x[:, :, ::2, ::2]], 1)

    net, image = Siblings(), torch.randn(1, 2, 8, 8, dtype=torch.float64)
    before = net(image)
    with denoised(net, HOOK, ["a"], options_of(HOOK, {})):
        after = net(image)
    assert not torch.allclose(after[:, :2], before[:, :2])
    assert torch.equal(after[:, 2:], before[:, 2:])
