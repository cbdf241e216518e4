"""Stride and centre of every layer, against arithmetic done by hand and against impulses."""

import pytest
import torch
import torchvision
from cards import model_of
from torch import nn

from napari_smoothsal.core.errors import ModelError, UnknownNameError
from napari_smoothsal.models import Model
from napari_smoothsal.models.layers import start_layer


def test_a_resnet_is_centred_on_multiples_of_its_stride() -> None:
    model = model_of(torchvision.models.resnet18(num_classes=2), 224)
    layers = {info.name: info for info in model.layers()}
    names = list(layers)
    assert names[0] == "input" and names.index("layer1") < names.index("layer2")
    strides = {"conv1": 2, "maxpool": 4, "layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}
    for name, stride in strides.items():
        assert layers[name].stride == (stride, stride)
        assert layers[name].centre == (0, 0)
        assert layers[name].centre_spread == 0
    assert layers["layer3"].channels == 256
    assert layers["layer4"].strided_convs_above == ()
    assert layers["layer3"].strided_convs_above == ("layer4.0.conv1", "layer4.0.downsample.0")
    assert len(layers["layer1"].strided_convs_above) == 6
    assert len(layers["input"].strided_convs_above) == 7
    # Shared ReLUs run twice; their name does not say which output is meant.
    assert "layer1.0.relu" not in layers
    assert "avgpool" not in layers and "fc" not in layers


@pytest.mark.parametrize(
    ("layer", "stride", "centre"),
    [
        (nn.Conv2d(3, 4, 3, stride=2, padding=1), 2, 0.0),
        (nn.Conv2d(3, 4, 4, stride=4), 4, 1.5),  # a patchify stem
        (nn.Conv2d(3, 4, 3, stride=2), 2, 1.0),
        (nn.Conv2d(3, 4, 3, dilation=2, padding=2), 1, 0.0),
        (nn.Conv2d(3, 4, 3, padding="same"), 1, 0.0),
        (nn.MaxPool2d(2), 2, 0.5),
        (nn.AvgPool2d(3, stride=2, padding=1), 2, 0.0),
        (nn.AdaptiveAvgPool2d(16), 4, 1.5),
        (nn.Upsample(scale_factor=2, mode="nearest"), 0.5, -0.25),
        (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), 0.5, -0.25),
        (nn.ConvTranspose2d(3, 4, 2, stride=2), 0.5, -0.25),
        (nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1), 0.5, -0.25),
        (nn.ZeroPad2d((2, 0, 3, 0)), 1, (-3.0, -2.0)),
    ],
)
def test_one_operation(layer: nn.Module, stride: float, centre: float | tuple) -> None:
    found = model_of(nn.Sequential(layer)).layer("0")
    assert found.stride == (stride, stride)
    assert found.centre == (centre if isinstance(centre, tuple) else (centre, centre))


class Positive(nn.Module):
    """Positive symmetric kernels in several layouts: its gradients show where a pixel looks."""

    def __init__(self, stem: nn.Module, *stages: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.Sequential(*stages)
        for parameter in self.parameters():
            with torch.no_grad():
                parameter.fill_(1.0 if parameter.ndim > 1 else 0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stages(self.stem(x)).mean((2, 3))[:, :2]


@pytest.mark.parametrize(
    "network",
    [
        Positive(nn.Conv2d(3, 4, 7, 2, 3), nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)),
        Positive(nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 4, 2, 2), nn.Conv2d(4, 4, 7, 1, 3)),
        Positive(nn.Conv2d(3, 4, 3, 1, 1), nn.AvgPool2d(2), nn.Conv2d(4, 4, 3, 2, 1)),
        Positive(nn.Conv2d(3, 4, 5, 2), nn.Conv2d(4, 4, 3, 1, dilation=2), nn.AvgPool2d(3, 2)),
        Positive(nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 4, 2, 1), nn.AvgPool2d(2)),
    ],
)
def test_the_centre_is_where_a_pixel_looks(network: Positive) -> None:
    model = model_of(network)
    for info in model.layers()[1:]:
        outputs = {}
        handle = network.get_submodule(info.name).register_forward_hook(
            lambda _m, _i, output, outputs=outputs: outputs.update(value=output)
        )
        image = torch.ones(1, 3, 64, 64, dtype=torch.float64, requires_grad=True)
        network.double()(image)
        handle.remove()
        value = outputs["value"]
        y, x = value.shape[2] // 2, value.shape[3] // 2
        (field,) = torch.autograd.grad(value[0, 0, y, x], image)
        weight = field[0].sum(0)
        centroid = (weight.sum(1) * torch.arange(64)).sum() / weight.sum()
        expected = info.centre[0] + y * info.stride[0]
        # A transposed convolution's phases lie a quarter pixel around their mean.
        slack = 0.51 if "Transpose" in str(network) else 1e-6
        assert centroid.item() == pytest.approx(expected, abs=slack), info.name


class TwoPaths(nn.Module):
    """A decoder that meets its skip half a pixel away."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2)
        self.shift = nn.Conv2d(4, 4, 2)
        self.meet = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.stem(x)
        low = nn.functional.pad(self.shift(self.up(self.down(skip))), (0, 1, 0, 1))
        return self.meet(torch.cat([skip, low], 1)).mean((2, 3))


def test_where_paths_meet_the_finest_gives_the_centre_and_the_others_the_spread() -> None:
    layers = {info.name: info for info in model_of(TwoPaths()).layers()}
    assert layers["up"].stride == (1, 1) and layers["up"].centre == (0, 0)
    assert layers["meet"].centre == (0, 0)
    assert layers["meet"].centre_spread == pytest.approx(abs(layers["shift"].centre[0]))


def test_a_missing_layer_offers_the_nearest_names() -> None:
    model = model_of(torchvision.models.resnet18(num_classes=2))
    with pytest.raises(UnknownNameError, match="layer1"):
        model.layer("layr1")
    with pytest.raises(ModelError, match="2 times"):
        model.layer("layer1.0.relu")
    with pytest.raises(ModelError, match="no feature map"):
        model.layer("fc")


def test_listing_leaves_the_module_as_it_was() -> None:
    module = torchvision.models.resnet18(num_classes=2).train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    Model(module, model_of(nn.Identity()).card).layers()
    assert module.training and module.layer1.training
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in module.modules())


def test_a_network_that_cannot_take_the_tile_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="failed on an input"):
        model_of(nn.Sequential(nn.Flatten(), nn.Linear(5, 2))).layers()


class DeadBranch(nn.Module):
    """A branch that the output does not depend on, and a size it insists on."""

    def __init__(self) -> None:
        super().__init__()
        self.live = nn.Conv2d(3, 2, 3, padding=1)
        self.dead = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[-1] == 64, "tiles of 64 px only"
        self.dead(x)
        return self.live(x).mean((2, 3))


def test_a_branch_without_influence_is_not_offered_and_asserts_are_model_errors() -> None:
    model = model_of(DeadBranch())
    assert [info.name for info in model.layers()] == ["input", "live"]
    with pytest.raises(ModelError, match="does not depend on the map"):
        model.layer("dead")
    with pytest.raises(ModelError, match="64 px only"):
        model.map_size("live", 96)


@pytest.mark.parametrize(
    ("um_per_px", "chosen"),
    [(0.5, "layer2"), (0.25, "layer3"), (1.0, "layer1"), (None, "layer2")],
)
def test_the_layer_to_begin_with_is_of_about_4_um(um_per_px: float | None, chosen: str) -> None:
    layers = model_of(torchvision.models.resnet18(weights=None).eval()).layers()
    assert start_layer(layers, um_per_px) == chosen
