"""Names, strides and shapes of the demonstration networks: those of the libraries they copy."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from napari_smoothsal.models.architectures import (
    ARCHITECTURES,
    NarrowResNet18,
    NarrowUNet,
    NarrowVGG,
)

# Modules with parameters of segmentation_models_pytorch 0.5's Unet("resnet18"), but for the
# encoder's blocks, which are torchvision's.
SMP_DECODER = [
    f"decoder.blocks.{block}.conv{i}.{part}"
    for block in range(5)
    for i in (1, 2)
    for part in (0, 1)
]


def leaves(module: nn.Module) -> list[str]:
    """Names of the modules that have parameters of their own."""
    return [name for name, m in module.named_modules() if list(m.parameters(recurse=False))]


@pytest.fixture(scope="module")
def unet() -> nn.Module:
    torch.manual_seed(0)
    return NarrowUNet(width=8, num_classes=3).eval()


def test_the_registry_builds_each_by_name() -> None:
    assert {type(build()) for build in ARCHITECTURES.values()} == {
        NarrowResNet18,
        NarrowUNet,
        NarrowVGG,
    }


def test_resnet_has_the_modules_and_strides_of_torchvisions() -> None:
    ours, theirs = NarrowResNet18(), torchvision.models.resnet18()
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    for (name, mine), other in zip(ours.named_modules(), theirs.modules(), strict=True):
        assert type(mine) is type(other) or mine is ours, name
        if isinstance(mine, nn.Conv2d):
            assert (mine.kernel_size, mine.stride) == (other.kernel_size, other.stride), name


def test_unet_has_the_modules_of_segmentation_models_pytorch(unet: nn.Module) -> None:
    trunk = [f"encoder.{name}" for name in leaves(torchvision.models.resnet18()) if name != "fc"]
    assert leaves(unet) == [*trunk, *SMP_DECODER, "segmentation_head.0"]
    for block in unet.decoder.blocks:
        for convolution in (block.conv1, block.conv2):
            assert [type(m) for m in convolution] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
            assert convolution[0].bias is None
            assert convolution[2].inplace
    assert isinstance(unet.segmentation_head, nn.Sequential)
    assert unet.segmentation_head[0].bias is not None


def test_unet_joins_relu_and_the_first_three_stages(unet: nn.Module) -> None:
    # Channels tell which of the encoder's maps each block joins: 8, 8, 16, 32, 64 for width 8.
    joined = (32, 16, 8, 8, 0)
    below = (64, 64, 32, 16, 16)
    for block, own, skip in zip(unet.decoder.blocks, below, joined, strict=True):
        assert block.conv1[0].in_channels == own + skip
    # Of equal width are relu's and layer1's map: a block joins the one of its own size.
    seen: dict[str, tuple[int, ...]] = {}
    hooks = [
        module.register_forward_hook(
            lambda _m, _i, out, name=name: seen.update({name: tuple(out.shape[2:])})
        )
        for name, module in unet.named_modules()
        if name.startswith("decoder.blocks.") and name.count(".") == 2
    ]
    unet(torch.zeros(1, 3, 64, 96))
    for hook in hooks:
        hook.remove()
    assert list(seen.values()) == [(4 * 2**i, 6 * 2**i) for i in range(5)]


@pytest.mark.parametrize("skip", ["encoder.relu", "encoder.layer1", "encoder.layer2"])
def test_every_skip_reaches_the_output(unet: nn.Module, skip: str) -> None:
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before = unet(images)
    block = {"encoder.relu": 3, "encoder.layer1": 2, "encoder.layer2": 1}[skip]

    def without_skip(_module: nn.Module, inputs: tuple[torch.Tensor, torch.Tensor]) -> object:
        return inputs[0], torch.zeros_like(inputs[1])

    hook = unet.decoder.blocks[block].register_forward_pre_hook(without_skip)
    after = unet(images)
    hook.remove()
    assert not torch.allclose(before, after)


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_unet_answers_at_the_size_of_the_image(upsampling: str, size: tuple[int, int]) -> None:
    network = NarrowUNet(8, num_classes=4, upsampling=upsampling).eval()
    assert network(torch.zeros(2, 3, *size)).shape == (2, 4, *size)


def test_upsampling_is_as_asked_for() -> None:
    torch.manual_seed(0)
    nearest, bilinear = NarrowUNet(8), NarrowUNet(8, upsampling="bilinear")
    bilinear.load_state_dict(nearest.state_dict())
    images = torch.rand(1, 3, 64, 64)
    assert not torch.allclose(nearest.eval()(images), bilinear.eval()(images))


def test_unet_refuses_sizes_that_do_not_halve_five_times(unet: nn.Module) -> None:
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        unet(torch.zeros(1, 3, 80, 80))


@pytest.mark.parametrize(
    ("convolutions", "theirs"),
    [((1, 1, 2, 2, 2), "vgg11_bn"), ((2, 2, 4, 4, 4), "vgg19_bn")],
)
def test_vgg_has_the_features_of_torchvisions(convolutions: tuple[int, ...], theirs: str) -> None:
    ours = NarrowVGG(8, convolutions=convolutions)
    other = torchvision.models.get_model(theirs, weights=None)
    assert [(n, type(m)) for n, m in ours.features.named_modules()] == [
        (n, type(m)) for n, m in other.features.named_modules()
    ]
    assert [n for n, _ in ours.named_children()] == ["features", "avgpool", "classifier"]


def test_vgg_has_no_strided_convolution() -> None:
    convolutions = [m for m in NarrowVGG().modules() if isinstance(m, nn.Conv2d)]
    assert {m.kernel_size for m in convolutions} == {(3, 3)}
    assert {m.stride for m in convolutions} == {(1, 1)}


@pytest.mark.parametrize("name", ["narrow_resnet18", "narrow_vgg"])
def test_classifiers_take_tiles_of_any_size(name: str) -> None:
    network = ARCHITECTURES[name](width=8, num_classes=5).eval()
    for side in (64, 100):
        assert network(torch.zeros(2, 3, side, side)).shape == (2, 5)
