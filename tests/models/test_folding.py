"""BatchNorms are folded where nobody can tell, and left alone everywhere else."""

import copy

import pytest
import torch
from torch import nn

from napari_smoothsal.models.folding import fold_batch_norms


def stirred(module: nn.Module) -> nn.Module:
    """With running statistics that are not 0 and 1."""
    torch.manual_seed(2)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None:
            norm.running_mean.uniform_(-0.3, 0.3)
            norm.running_var.uniform_(0.5, 1.5)
            if norm.affine:
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.uniform_(norm.bias, -0.5, 0.5)
    return module.eval().requires_grad_(False)


def folded(module: nn.Module, keep=()) -> tuple[int, nn.Module]:
    image = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    copied = copy.deepcopy(module)
    number = fold_batch_norms(copied, image, keep)
    with torch.no_grad():
        before, after = module(image), copied(image)
    assert torch.allclose(before, after, atol=2e-5 * float(before.abs().max()))
    return number, copied


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("groups", [1, 3])
def test_a_pair_becomes_one_convolution(bias: bool, affine: bool, groups: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 6, 3, 2, 1, bias=bias, groups=groups)
    pair = stirred(nn.Sequential(convolution, nn.BatchNorm2d(6, affine=affine), nn.ReLU(True)))
    number, copied = folded(pair)
    assert number == 1
    with torch.no_grad():
        image = torch.randn(1, 3, 16, 16)
        # The BatchNorm hands on what it gets.
        assert torch.equal(copied[:2](image), copied[0](image))


def test_an_output_that_is_looked_at_stays_what_it_is() -> None:
    pair = stirred(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    number, copied = folded(pair, keep=("0",))
    assert number == 0 and torch.equal(copied[0].weight, pair[0].weight)
    assert folded(pair, keep=("1",))[0] == 1


class ReadTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.norm(y) + y


class RunTwice(ReadTwice):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)) + self.norm(self.conv(x.flip(2)))


class ConvolutionTwice(ReadTwice):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)) + self.conv(x.flip(2))


class Between(ReadTwice):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x).relu_())


class Scaled(nn.Conv2d):
    """A subclass may do anything with its weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 2


def with_hook() -> nn.Module:
    pair = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    pair[0].register_forward_hook(lambda _m, _i, output: output * 2)
    return pair


@pytest.mark.parametrize(
    "make",
    [
        ReadTwice,
        RunTwice,
        ConvolutionTwice,
        Between,
        lambda: nn.Sequential(Scaled(3, 4, 1), nn.BatchNorm2d(4)),
        lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()),
        with_hook,
    ],
)
def test_what_cannot_be_folded_is_left_alone(make) -> None:
    assert folded(stirred(make()))[0] == 0


def test_convolutions_that_share_their_weights_are_folded_apart() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
            self.b.weight = self.a.weight
            self.one, self.two = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.one(self.a(x)) + self.two(self.b(x))

    assert folded(stirred(Shared()))[0] == 2


def test_nothing_is_folded_where_rounding_would_tell() -> None:
    pair = stirred(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    # A large mean that the BatchNorm takes away again: sums in another order lose digits.
    with torch.no_grad():
        pair[0].bias.fill_(1e6)
        pair[1].running_mean.fill_(1e6)
    before = copy.deepcopy(pair.state_dict())
    number, copied = folded_unchecked(pair)
    if number == 0:
        after = copied.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert "forward" not in vars(copied[1])
    assert number == 0


def folded_unchecked(module: nn.Module) -> tuple[int, nn.Module]:
    copied = copy.deepcopy(module)
    return fold_batch_norms(copied, torch.randn(1, 3, 16, 16), ()), copied
