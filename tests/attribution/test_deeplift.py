"""DeepLift: against Captum in fp64, completeness, closed forms, and what it refuses."""

import copy

import pytest
import torch
from captum.attr import LayerDeepLift
from networks import LAYERS, Functional, every_model, wrapped
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock
from unets import SmallUNet, segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.core.errors import ModelError, SettingError, UnknownNameError
from napari_smoothsal.models import Model

FP64 = Compute(precision="fp64", device="cpu")


def tiles(n: int, size: int) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(n))


def normalised(model: Model, images: torch.Tensor) -> torch.Tensor:
    mean, std = (
        torch.tensor(v).double().reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std)
    )
    return (images.double() - mean) / std


def deeplift(model: Model, images: torch.Tensor, layer: str, **fields):
    options = {"denoising": "original", "samples": 0, **fields}
    spec = SaliencySpec(layer=layer, method="deeplift", **options)
    return explain_tiles(model, images, spec, FP64)


class Dilated(nn.Module):
    """Dilated and grouped convolutions, average pooling, a sum over two branches."""

    def __init__(self, rectifier=nn.ReLU) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), rectifier())
        self.b = nn.Sequential(nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=3), rectifier())
        self.c = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(6, 4, 3, 2, 1, groups=2), rectifier())
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x)
        return self.head(self.c(self.b(x) + x).mean((2, 3)))


class OfModules(nn.Module):
    """`Functional` as Captum needs it: every ReLU a module of its own, nothing in place."""

    def __init__(self, twin: Functional) -> None:
        super().__init__()
        self.__dict__.update(copy.deepcopy(twin).__dict__)
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relus[0](self.a(x))
        y = self.relus[1](self.b(x))
        y = y + y
        y = self.relus[3](self.d(self.relus[2](self.c(y))))
        return self.out(y.mean((2, 3)))


class UNetOfModules(nn.Module):
    """`SmallUNet` the same way."""

    def __init__(self, twin: SmallUNet) -> None:
        super().__init__()
        self.__dict__.update(copy.deepcopy(twin).__dict__)
        self.relu = nn.ReLU()
        for part in (self.deep, self.decode):
            part[-1] = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.relu(self.stem(x))
        up = F.interpolate(self.deep(stem), scale_factor=2, mode="nearest")
        y = self.decode(torch.cat([up, stem], 1))
        return self.head(F.interpolate(y, scale_factor=2, mode="bilinear"))


def unshared(network: nn.Module) -> nn.Module:
    """A copy whose ReLUs are not shared, as Captum needs it."""

    def forward(self, x):
        skip = x if self.downsample is None else self.downsample(x)
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.last_relu(inner + skip)

    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, BasicBlock):
            module.last_relu = nn.ReLU()
            module.forward = forward.__get__(module)
    return network


class Chosen(nn.Module):
    """The explained scalar as a network, which is how Captum takes it."""

    def __init__(self, network: nn.Module, target: torch.Tensor, mask=None) -> None:
        super().__init__()
        self.network, self.target, self.mask = network, target, mask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        twice = len(x) // len(self.target)  # Captum puts images and baselines into one batch
        output = self.network(x)
        index = self.target.repeat(twice)
        if self.mask is None:
            return output.flatten(1).gather(1, index[:, None])[:, 0]
        return (output[range(len(x)), index] * self.mask.repeat(twice, 1, 1)).sum((1, 2))


def cases():
    models = every_model()
    dilated = wrapped(Dilated(), "a", "b")
    twins = {
        "plain": (models["plain"], models["plain"].module, LAYERS["plain"][1:]),
        # Below its max-pooling, whose windows overlap, Captum loses contributions (it places
        # them with max_unpool2d, which keeps one per pixel); completeness is tested there.
        "resnet": (models["resnet"], unshared(models["resnet"].module), LAYERS["resnet"][3:]),
        "functional": (
            models["functional"],
            OfModules(models["functional"].module),
            LAYERS["functional"][1:],
        ),
        "single_logit": (
            models["single_logit"],
            models["single_logit"].module,
            LAYERS["single_logit"][1:],
        ),
        "dilated": (dilated, dilated.module, ("a", "a.0", "b", "c.0")),
    }
    return {
        f"{name}-{layer}": (model, twin, layer)
        for name, (model, twin, layers) in twins.items()
        for layer in layers
    }


CASES = cases()


@pytest.mark.parametrize("baseline", ["zero", "white"])
@pytest.mark.parametrize("case", CASES)
def test_it_equals_captums_on_a_copy_without_shared_relus(case: str, baseline: str) -> None:
    model, twin, layer = CASES[case]
    images = tiles(3, model.card.input_size)
    ours = deeplift(model, images, layer, method_options={"baseline": baseline})
    oracle = Chosen(copy.deepcopy(twin).double(), ours.target)
    x = normalised(model, images)
    x0 = torch.zeros_like(x) if baseline == "zero" else normalised(model, torch.ones_like(images))
    place = oracle.network.get_submodule(layer)
    expected = LayerDeepLift(oracle, place).attribute(x, x0).detach()
    assert expected.abs().max() > 0
    assert (ours.maps - expected).abs().max() <= 2e-6 * expected.abs().max()
    # What a skip carries past the layer is no part of its contributions.
    assert (ours.convergence_delta < 1e-9).all() == (case != "dilated-b")


@pytest.mark.parametrize("layer", ["stem", "deep.0", "deep", "decode.0"])
def test_it_equals_captums_on_a_u_net(layer: str) -> None:
    torch.manual_seed(4)
    module = SmallUNet()
    with torch.no_grad():
        module.deep[1].running_var.uniform_(0.5, 1.5)
    model = segmenter(module, "n", "s", "t")
    images = tiles(2, 64)
    ours = deeplift(model, images, layer, target="t")
    with torch.no_grad():
        mask = copy.deepcopy(module).double()(normalised(model, images)).argmax(1) == 2
    assert 0 < mask.double().mean() < 1
    oracle = Chosen(UNetOfModules(module).double(), torch.tensor([2, 2]), mask)
    place = oracle.network.get_submodule(layer)
    x = normalised(model, images)
    expected = LayerDeepLift(oracle, place).attribute(x, torch.zeros_like(x)).detach()
    assert (ours.maps - expected).abs().max() <= 2e-6 * expected.abs().max()


@pytest.mark.parametrize("baseline", ["zero", "black", "tissue_mean", "blurred", "#c080b0"])
@pytest.mark.parametrize("layer", ["input", "conv1", "bn1", "maxpool", "layer1", "layer3"])
def test_contributions_add_up_to_the_score_less_the_baselines(layer: str, baseline: str) -> None:
    model = every_model()["resnet"]
    images = tiles(2, 64)
    ours = deeplift(model, images, layer, target=1, method_options={"baseline": baseline})
    assert (ours.convergence_delta < 1e-10).all()
    if baseline == "black":
        network = copy.deepcopy(model.module).double()
        with torch.no_grad():
            black = network(normalised(model, torch.zeros_like(images)))[:, 1]
            rise = network(normalised(model, images))[:, 1] - black
        assert torch.allclose(ours.maps.double().sum((1, 2, 3)), rise, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("bend", [nn.GELU(), nn.SiLU(), nn.LeakyReLU(0.1), nn.Hardswish()])
def test_a_smooth_nonlinearity_follows_its_secant(bend: nn.Module) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), bend, nn.Conv2d(4, 2, 1), nn.Flatten(2))
    network = nn.Sequential(*network, nn.AdaptiveAvgPool1d(1), nn.Flatten())[:4]

    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x).sum(2)

    model = wrapped(Summed(), "a", "b", size=16)
    images = tiles(2, 16)
    # One tile equals its baseline in a corner: the tangent takes over there.
    images[0, :, :4, :4] = torch.tensor(model.card.mean).reshape(3, 1, 1)
    ours = deeplift(model, images, "layers.0", target=0)
    twin = copy.deepcopy(network).double()
    x, x0 = twin[0](normalised(model, images)), twin[0](torch.zeros(1, 3, 16, 16).double())
    weight = twin[2].weight[0].reshape(1, 4, 1, 1)
    expected = weight * (twin[1](x) - twin[1](x0))
    assert torch.allclose(ours.maps.double(), expected, atol=1e-6)
    assert torch.isfinite(ours.maps).all()
    # And everywhere where it is its own baseline: a secant of no length would be 0 / 0.
    options = {"method_options": {"baseline": "custom"}, "denoising": "original", "samples": 0}
    spec = SaliencySpec(layer="layers.0", method="deeplift", target=0, **options)
    assert explain_tiles(model, images, spec, FP64, baselines=images).maps.abs().max() == 0


def test_noise_disturbs_the_tile_and_not_the_baseline() -> None:
    model = every_model()["plain"]
    images = tiles(2, 32)
    ours = deeplift(model, images, "0", samples=6, seed=3)
    assert (ours.convergence_delta < 1e-10).all() and (ours.standard_error > 0).all()


def test_baselines_of_ones_own() -> None:
    model, images = every_model()["plain"], tiles(2, 32)
    options = {"method_options": {"baseline": "custom"}, "denoising": "original", "samples": 0}
    spec = SaliencySpec(layer="1", method="deeplift", **options)
    same = explain_tiles(model, images, spec, FP64, baselines=images)
    assert same.maps.abs().max() == 0 and (same.convergence_delta == 0).all()
    white = explain_tiles(model, images, spec, FP64, baselines=torch.ones(1, 3, 32, 32))
    named = deeplift(model, images, "1", method_options={"baseline": "white"})
    assert torch.equal(white.maps, named.maps)
    with pytest.raises(SettingError, match="baselines=images"):
        explain_tiles(model, images, spec, FP64)
    with pytest.raises(SettingError, match=r"\(3, 3, 32, 32\)"):
        explain_tiles(model, images, spec, FP64, baselines=tiles(3, 32))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"baseline": "blured"}, UnknownNameError, "blurred"),
        ({"baseline": "#12345"}, UnknownNameError, "baseline"),
        ({"base": "zero"}, SettingError, "baseline"),
    ],
)
def test_options_that_do_not_exist(options, error, words: str) -> None:
    model = every_model()["plain"]
    with pytest.raises(error, match=words):
        deeplift(model, tiles(1, 32), "1", method_options=options)


class Gated(nn.Module):
    """A product of two feature maps, or whatever else is put there."""

    def __init__(self, between) -> None:
        super().__init__()
        self.low, self.between = nn.Conv2d(3, 4, 1), between
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.between(self.low(x))).mean((2, 3))


@pytest.mark.parametrize(
    ("between", "named"),
    [
        (lambda x: x * torch.sigmoid(x), "mul"),
        (lambda x: x.softmax(1), "softmax"),
        (nn.GroupNorm(2, 4), "group_norm"),
        (lambda x: x.cumprod(1), "cumprod"),
        (lambda x: x / x.sum(1, keepdim=True), "div"),
        (lambda x: x**2, "pow"),
    ],
)
def test_what_has_no_rule_is_refused_and_named(between, named: str) -> None:
    model = wrapped(Gated(between), "a", "b", size=16)
    with pytest.raises(ModelError, match=rf"{named}.*choose 'gradient'"):
        deeplift(model, tiles(1, 16), "low")
    # Above it there is nothing to refuse.
    assert deeplift(model, tiles(1, 16), "head").maps.abs().max() > 0


def test_a_way_through_the_network_that_differs_is_noticed() -> None:
    class Fickle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.low(x)
            return self.head(y.relu() if x.std() < 0.1 else y.relu().tanh()).mean((2, 3))

    with pytest.raises(ModelError, match="not the same"):
        deeplift(wrapped(Fickle(), "a", "b", size=16), tiles(1, 16), "low")
