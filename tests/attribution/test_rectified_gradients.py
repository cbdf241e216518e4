"""Guided backprop and deconvnet: against Captum, closed forms, and what they refuse."""

import copy
import warnings

import pytest
import torch
from captum.attr import Deconvolution, GuidedBackprop
from networks import Functional, every_model, wrapped
from one_pass import one_pass
from torch import nn
from torch.nn import functional as F

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models import Model

BOTH = ("guided_backprop", "deconvnet")


def tiles(model: Model) -> torch.Tensor:
    size = model.card.input_size
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("method", "oracle"), list(zip(BOTH, (GuidedBackprop, Deconvolution), strict=True))
)
def test_the_image_is_seen_as_captum_sees_it(method: str, oracle) -> None:
    model = every_model()["plain"]
    ours = one_pass(model, tiles(model), ("input",), method, target=1)
    network = copy.deepcopy(model.module).double()
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it hooks ReLUs
        expected = oracle(network).attribute(ours.images, target=1)
    assert expected.abs().max() > 0
    assert torch.allclose(ours.maps["input"], expected, rtol=1e-9, atol=1e-12)


class Bent(nn.Module):
    """Two functions of single values, and a score that is for some and against others."""

    def __init__(self, first, second) -> None:
        super().__init__()
        self.low, self.high = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 1)
        self.first, self.second = first, second
        self.register_buffer("votes", torch.tensor([1.0, -1, 2, -2, 3, -3]).reshape(1, 6, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(self.high(self.first(self.low(x))))
        return (y * self.votes).sum((1, 2, 3))[:, None].expand(-1, 2)


@pytest.mark.parametrize(
    ("rectifier", "limit"),
    [
        (nn.ReLU(), None),
        (nn.ReLU(True), None),
        (torch.relu, None),
        (torch.relu_, None),
        (lambda x: x.clamp(min=0), None),
        (nn.ReLU6(), 6),
        (nn.ReLU6(True), 6),
        (F.relu6, 6),
    ],
)
@pytest.mark.parametrize("method", BOTH)
def test_each_rectifier_passes_on_what_is_positive(method: str, rectifier, limit) -> None:
    torch.manual_seed(0)
    model = wrapped(Bent(rectifier, rectifier), "a", "b", size=8)
    with torch.no_grad():
        model.module.low.weight *= 8  # into the upper limit
    network = copy.deepcopy(model.module).double()
    found = one_pass(model, tiles(model), ("low", "high"), method)
    below = network.low(found.images)
    above = network.high(below.clamp(0, limit))

    def through(gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        passed = gradient.clamp(min=0)
        if method == "deconvnet":
            return passed
        return passed * (x > 0) * (x < (limit or torch.inf))

    weight = network.high.weight[:, :, 0, 0]
    high = through(network.votes.expand_as(above), above)
    low = through(torch.einsum("bohw,oi->bihw", high, weight), below)
    assert limit is None or (below > limit).any()
    assert torch.allclose(found.maps["high"], high)
    assert torch.allclose(found.maps["low"], low)


class NothingInPlace(Functional):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.a(x))
        y = torch.relu(self.b(x))
        y = y + y
        y = torch.relu(self.d(torch.relu(self.c(y))))
        return self.out(y.mean((2, 3)))


@pytest.mark.parametrize("method", BOTH)
def test_a_skip_that_reads_a_rectified_tensor_reads_the_result(method: str) -> None:
    model = every_model()["functional"]
    twin = NothingInPlace()
    twin.load_state_dict(model.module.state_dict())
    layers = ("input", "a", "b", "c")
    ours = one_pass(model, tiles(model), layers, method)
    theirs = one_pass(wrapped(twin, "a", "b", "c"), tiles(model), layers, method)
    for layer in layers:
        assert torch.equal(ours.maps[layer], theirs.maps[layer])
        alone = one_pass(model, tiles(model), (layer,), method)
        assert torch.equal(ours.maps[layer], alone.maps[layer])


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("name", ["plain", "resnet", "functional", "single_logit"])
def test_the_engine_makes_the_same_maps_of_every_network(name: str, method: str) -> None:
    model = every_model()[name]
    fp64 = Compute(precision="fp64", device="cpu")
    target = model.card.class_names[0]
    options = {"denoising": "original", "samples": 0, "target": target}
    spec = SaliencySpec(layer="input", method=method, **options)
    ours = explain_tiles(model, tiles(model), spec, fp64).maps
    expected = one_pass(model, tiles(model), ("input",), method).maps["input"]
    assert (ours - expected).abs().max() <= 2e-6 * expected.abs().max()


@pytest.mark.parametrize("bend", [nn.SiLU(), nn.GELU(), nn.LeakyReLU(0.1), nn.Sigmoid()])
@pytest.mark.parametrize("method", BOTH)
def test_what_is_no_rectifier_is_refused_and_named(method: str, bend: nn.Module) -> None:
    model = wrapped(Bent(bend, nn.ReLU()), "a", "b", size=8)
    with pytest.raises(ModelError, match=rf"{method}.*rule for ReLU.*choose 'gradient'"):
        one_pass(model, tiles(model), ("low",), method)
    assert one_pass(model, tiles(model), ("high",), method).maps["high"].abs().max() > 0


@pytest.mark.parametrize("method", BOTH)
def test_what_is_not_linear_either_is_refused(method: str) -> None:
    model = wrapped(Bent(lambda x: x.softmax(1), nn.ReLU()), "a", "b", size=8)
    with pytest.raises(ModelError, match=rf"{method}.*softmax"):
        one_pass(model, tiles(model), ("low",), method)
