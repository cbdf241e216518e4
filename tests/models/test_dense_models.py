"""What tiling must know of a fully convolutional model: size unit, output, halo, decoders."""

import copy

import pytest
import torch
from torch import nn
from unets import PositiveUNet, SmallUNet, segmenter, small_segmenter

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.fitting import padded_to_fit
from napari_smoothsal.models.halo import energy_radius
from napari_smoothsal.models.traced_network import OUTPUT


def test_a_classifier_is_one_unit_with_a_fixed_rim(classifier) -> None:
    assert classifier.unit == 1 and classifier.output is None
    assert classifier.halo(224) == 16 and classifier.halo(64) == 8
    assert classifier.overlap == 0.25


@pytest.mark.parametrize("size", [64, 61, 50])
def test_the_unit_is_the_coarsest_stride(size: int) -> None:
    model = small_segmenter(size=size)
    assert model.unit == 4
    assert {info.name: info.stride[0] for info in model.layers()}["deep.0"] == 4
    assert model.output is not None
    assert (model.output.name, model.output.channels) == (OUTPUT, 3)
    assert model.output.stride == (1, 1) and model.output.centre == (0, 0)
    assert model.map_size(OUTPUT, 50) == (50, 50)


def test_an_output_of_lower_resolution_covers_the_tile_evenly() -> None:
    quarter = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 2, 3, 2, 1))
    model = segmenter(quarter, "a", "b")
    assert model.output is not None
    assert model.output.stride == (4, 4) and model.output.centre == (1.5, 1.5)
    assert model.map_size(OUTPUT, 64) == (16, 16)


def test_an_output_that_is_no_map_is_refused() -> None:
    flat = nn.Sequential(nn.Conv2d(3, 2, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ModelError, match="is for segmentation"):
        _ = segmenter(flat, "a", "b").output


def test_padding_reflects() -> None:
    image = torch.arange(35.0).reshape(1, 1, 5, 7)
    padded = padded_to_fit(image, 4)
    assert padded.shape == (1, 1, 8, 8)
    assert torch.equal(padded[..., :5, :7], image)
    assert torch.equal(padded[0, 0, 5:, :7], image[0, 0, [3, 2, 1]])
    assert torch.equal(padded[..., 7], padded[..., 5])
    assert padded_to_fit(image, 1) is image


@pytest.mark.parametrize(
    ("layout", "spreads"),
    [
        # Even kernels: the upsampled path lies on the skip.
        ("patchify", {"deep": 0, "up1": 0, "middle": 0, "last": 0}),
        # Odd ones: doubling moves by a quarter of the coarse stride, 1 px; the skip does not.
        ("resnet", {"deep": 0, "up1": 0, "middle": 1, "last": 1}),
    ],
)
@pytest.mark.parametrize("upsampling", ["nearest", "bilinear", "transposed"])
def test_a_decoder_lies_where_its_finest_skip_does(layout, spreads, upsampling) -> None:
    layers = {i.name: i for i in segmenter(PositiveUNet(layout, upsampling), "a", "b").layers()}
    assert {name: layers[name].centre_spread for name in spreads} == spreads
    assert layers["middle"].stride == layers["stem"].stride
    assert layers["middle"].centre == layers["stem"].centre


def test_the_halo_holds_the_energy_of_the_gradient() -> None:
    # One 9x9 box: a gradient of 81 equal values, of which the 7x7 middle holds 60 %.
    box = nn.Conv2d(1, 1, 9, padding=4, bias=False)
    with torch.no_grad():
        box.weight.fill_(1.0)
    assert energy_radius(box.requires_grad_(False), torch.Size((1, 1, 33, 33))) == 4
    # A dominant middle: the rim's share is below 1 %.
    with torch.no_grad():
        box.weight.fill_(0.001)
        box.weight[..., 4, 4] = 1.0
    assert energy_radius(box, torch.Size((1, 1, 33, 33))) == 0


def test_the_halo_sees_paths_that_are_as_long_as_the_tile() -> None:
    far = nn.Conv2d(3, 2, 3, padding=90, dilation=90)  # as an ASPP's widest branch
    model = segmenter(far, "a", "b", size=64)
    assert model.halo(512) == 96 and model.halo(256) == 64


def test_a_bottleneck_of_one_pixel_counts() -> None:
    assert small_segmenter(size=4).unit == 4


def test_the_halo_is_bounded_by_the_tile_and_leaves_the_model_alone() -> None:
    model = small_segmenter()
    before = copy.deepcopy(model.module.state_dict())
    model.module.train()
    assert 0 < model.halo(64) <= 16 and model.halo(24) <= 6
    assert model.module.training and all(p.requires_grad for p in model.module.parameters())
    after = model.module.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    # Everything sees everything: a quarter of the tile.
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 2, 1), nn.Upsample(64))
    assert segmenter(pooled, "a", "b").halo(64) == 16


def test_the_trace_does_not_hold_the_tensors_of_the_pass() -> None:
    alive: list[int] = []

    class Counting(SmallUNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            from napari_smoothsal.models import tracing

            for _ in range(20):
                x = x + 0.0
            stack = torch.utils._python_dispatch._get_current_dispatch_mode_stack()
            listener = next(m for m in stack if isinstance(m, tracing._Listener))
            alive.append(len(listener._nodes))
            return super().forward(x)

    torch.manual_seed(0)
    segmenter(Counting(), "a", "b", "c").layers()
    assert max(alive) <= 4
