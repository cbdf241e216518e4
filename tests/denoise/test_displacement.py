"""How far maps move: closed forms on positive kernels, and what is said of real networks."""

import math

import pytest
import torch
from networks import wrapped
from torch import nn
from unets import small_segmenter

from napari_smoothsal import load_model
from napari_smoothsal.denoise import DENOISINGS, convolutions_of, displacement_of, options_of
from napari_smoothsal.models import Model


def displacement(model: Model, layer: str, denoising: str, moves: bool = True, **options):
    entry = DENOISINGS[denoising]
    chosen = options_of(entry, options)
    return displacement_of(model, model.layer(layer), entry, chosen, moves=moves)


class Binomials(nn.Module):
    """Stages of symmetric, positive kernels, whose gradients are as centred as they are."""

    def __init__(self, stages: int = 3) -> None:
        super().__init__()
        self.stages = nn.Sequential(*(nn.Conv2d(3, 3, 3, 2, 1, bias=False) for _ in range(stages)))
        taps = torch.tensor([math.comb(2, i) / 4 for i in range(3)])
        for conv in self.stages:
            conv.weight.data = torch.outer(taps, taps).expand_as(conv.weight).clone()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stages(x).mean((2, 3))


@pytest.mark.parametrize(
    ("denoising", "scope"),
    [
        ("original", None),
        ("backward_hook", None),
        ("forward_hook", "above"),
        ("forward_hook", "paper"),
        ("centred_hook", None),
    ],
)
@pytest.mark.parametrize("stages", [1, 3])
def test_the_centroid_of_a_response_moves_by_what_is_said(
    gradient_of, denoising, scope, stages
) -> None:
    net = Binomials(stages).double()
    model = wrapped(Binomials(stages), "a", "b", "c", size=128)
    step = 2**stages
    side = 128 // step
    weight = torch.zeros(1, 3, side, side, dtype=torch.float64)
    weight[:, :, side // 2, side // 2] = 1
    image = torch.zeros(1, 3, 128, 128, dtype=torch.float64)
    # The paper leaves the first one as it is.
    names = [str(i) for i in range(scope == "paper", stages)]
    response = gradient_of(net.stages, image, names, denoising, weight)[0].sum(0)
    centroid = float((response.sum(1) * torch.arange(128)).sum() / response.sum())
    expected = displacement(model, "input", denoising, **({"scope": scope} if scope else {}))
    shift = {"backward_hook": 0.5, "forward_hook": -0.5}.get(denoising, 0.0) * (step - 1)
    if scope == "paper":
        shift += 0.5
    assert expected.px == (shift, shift) and expected.spread_px == 0
    assert centroid - side // 2 * step == pytest.approx(shift, abs=1e-9)


def test_residual_networks_agree_and_are_compensated() -> None:
    model = load_model("demo-classifier")
    # 8, 16 and 32 tile px are what the three strides above layer1 start from: 4 + 8 + 16 = 28.
    assert displacement(model, "layer1", "backward_hook").px == (14.0, 14.0)
    assert displacement(model, "layer3", "forward_hook").px == (-8.0, -8.0)
    assert displacement(model, "layer1", "centred_hook").px == (0.0, 0.0)
    assert displacement(model, "layer1", "backward_hook").compensated
    assert not displacement(model, "layer1", "backward_hook", compensate=False).compensated
    assert not displacement(model, "layer1", "backward_hook", moves=False).compensated
    assert not displacement(model, "layer4", "backward_hook").compensated


def test_paths_that_disagree_have_a_spread_and_stay() -> None:
    model = small_segmenter()
    found = displacement(model, "stem", "backward_hook")
    assert found.spread_px > 0 and not found.compensated


def test_without_strided_convolutions_nothing_moves() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = wrapped(net, *"abcd")
    assert displacement(model, "0", "forward_hook", scope="paper").px == (0.0, 0.0)


def test_the_papers_scope_displaces_the_layer_as_well() -> None:
    model = load_model("demo-classifier")
    layer = model.layer("layer3")
    entry = DENOISINGS["forward_hook"]
    above, paper = (options_of(entry, {"scope": scope}) for scope in ("above", "paper"))
    assert convolutions_of(model, layer, entry, above) == layer.strided_convs_above
    assert convolutions_of(model, layer, entry, paper) == model.strided_convolutions[1:]
    # Below layer3, but behind the stem: 4 + 8 tile px, half of it, the other way.
    assert displacement(model, "layer3", "forward_hook", scope="paper").px == (-2.0, -2.0)
