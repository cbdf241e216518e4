"""The backward hook: the paper's figure 1, the definition by rolls, and what it must not touch."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.denoise import DENOISINGS, denoised, options_of
from napari_smoothsal.denoise.filters import mean_of_four_rolls

HOOK = DENOISINGS["backward_hook"]
OPTIONS = options_of(HOOK, {})


def conv(kernel: torch.Tensor, **settings) -> nn.Conv2d:
    shape = kernel.shape
    made = nn.Conv2d(shape[1], shape[0], shape[2:], bias=False, **settings).double()
    made.weight.data = kernel.double()
    return made.requires_grad_(False)


def input_gradient(module: nn.Module, image: torch.Tensor, names=("0",), denoising=HOOK):
    image = image.clone().requires_grad_()
    with denoised(module, denoising, names, options_of(denoising, {})):
        module(image).sum().backward()
    return image.grad


FIGURE_1 = torch.tensor([[[[1.0, 1.0], [1.0, -1.0]]]])


def test_figure_1_of_the_paper() -> None:
    net = nn.Sequential(conv(FIGURE_1, stride=2))
    ones = torch.ones(1, 1, 16, 16, dtype=torch.float64)
    raw = input_gradient(net, ones, denoising=DENOISINGS["original"])
    expected = torch.ones(16, 16, dtype=torch.float64)
    expected[1::2, 1::2] = -1
    assert torch.equal(raw[0, 0], expected)
    # Every pixel gets the mean of all four weights: the checkerboard is gone.
    assert torch.equal(input_gradient(net, ones), torch.full_like(ones, 0.5))


def test_it_is_the_mean_of_four_rolls() -> None:
    gradient = torch.randn(2, 3, 7, 8, dtype=torch.float64)
    shifts = product((0, 1), repeat=2)
    plain = torch.stack([gradient.roll(s, dims=(2, 3)) for s in shifts]).mean(0)
    assert torch.allclose(mean_of_four_rolls(gradient), plain, atol=1e-15)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_no_component_of_period_2_is_left_after_a_strided_convolution(kernel: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(conv(torch.randn(4, 3, kernel, kernel), stride=2, padding=kernel // 2))
    ones = torch.ones(1, 3, 32, 32, dtype=torch.float64)
    gradient = input_gradient(net, ones)[:, :, 8:24, 8:24]
    assert gradient.std((2, 3)).max() < 1e-12
    raw = input_gradient(net, ones, denoising=DENOISINGS["original"])[:, :, 8:24, 8:24]
    assert raw.std((2, 3)).min() > 0.1


def test_an_impulse_moves_by_half_a_pixel() -> None:
    gradient = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    gradient[0, 0, 4, 4] = 1
    smooth = mean_of_four_rolls(gradient)[0, 0]
    assert (smooth.sum(1) * torch.arange(9)).sum().item() == pytest.approx(4.5)


class Shortcut(nn.Module):
    """A strided convolution beside a plain branch that reads the same tensor."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.strided = conv(torch.randn(2, 2, 3, 3), stride=2, padding=1)
        self.sibling = conv(torch.randn(2, 2, 3, 3), stride=2, padding=1)
        self.skip = conv(torch.randn(2, 2, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.strided(x).sum() + self.sibling(x).sum() + self.skip(x).square().sum()


def test_only_the_convolutions_own_branch_is_filtered() -> None:
    net = Shortcut()
    image = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    parts = {}
    for name in ("strided", "sibling", "skip"):
        leaf = image.clone().requires_grad_()
        out = getattr(net, name)(leaf)
        (out.square() if name == "skip" else out).sum().backward()
        parts[name] = leaf.grad
    expected = mean_of_four_rolls(parts["strided"]) + parts["sibling"] + parts["skip"]
    assert torch.allclose(input_gradient(net, image, ["strided"]), expected, atol=1e-12)


class InPlaceNeighbour(nn.Module):
    """In-place operations right before and after the convolution, as in torchvision's blocks."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = conv(torch.randn(2, 2, 1, 1))
        self.strided = conv(torch.randn(2, 2, 3, 3), stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x), inplace=True)
        low = self.strided(x)
        low += self.strided(x)
        return F.relu(low, inplace=True).sum() + x.sum()


def test_an_in_place_neighbour_is_no_obstacle() -> None:
    net = InPlaceNeighbour()
    image = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    gradient = input_gradient(net, image, ["strided"])
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def hooks_of(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


def test_hooks_are_gone_afterwards_also_after_an_error_and_when_nested() -> None:
    net = Shortcut()
    with denoised(net, HOOK, ["strided", "sibling"], OPTIONS):
        assert hooks_of(net) == 2
        with denoised(net, HOOK, ["strided"], OPTIONS):
            assert hooks_of(net) == 3
    assert hooks_of(net) == 0
    with pytest.raises(ZeroDivisionError), denoised(net, HOOK, ["strided"], OPTIONS):
        raise ZeroDivisionError
    with pytest.raises(AttributeError), denoised(net, HOOK, ["strided", "missing"], OPTIONS):
        pass
    assert hooks_of(net) == 0


def test_the_forward_pass_is_untouched() -> None:
    net = nn.Sequential(conv(FIGURE_1, stride=2))
    image = torch.randn(1, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    with denoised(net, HOOK, ["0"], OPTIONS):
        assert torch.equal(net(image), net[0]._conv_forward(image, net[0].weight, None))


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(SettingError, match="strength"):
        options_of(HOOK, {"strength": 2})
