"""How far maps move: closed forms on positive kernels, and what is said of real networks."""

import math

import numpy as np
import pytest
import torch
from networks import wrapped
from scipy import ndimage
from torch import nn
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles, load_model, open_slide
from napari_smoothsal.denoise import (
    DENOISINGS,
    Displacement,
    convolutions_of,
    displacement_of,
    options_of,
)
from napari_smoothsal.models import Model
from napari_smoothsal.slides.base import Box
from napari_smoothsal.slides.sample import sample_slide_path


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
    shift = {"backward_hook": 0.5, "forward_hook": -0.5}.get(denoising, 0.0) * (step - 1)
    if scope == "paper":
        shift += 0.5
    assert centroid - side // 2 * step == pytest.approx(shift, abs=1e-9)
    expected = displacement(model, "input", denoising, **({"scope": scope} if scope else {}))
    # Without a non-linearity all structure moves alike. A changed network's unit looks elsewhere,
    # but its gradient lies where it looks.
    moved = shift if denoising == "backward_hook" else 0.0
    assert expected.near_px == expected.far_px == expected.placed_px == (moved, moved)
    assert expected.far_spread_px == expected.left_px == 0


def test_residual_networks_agree_and_are_compensated() -> None:
    model = load_model("demo-classifier")
    # 4, 8 and 16 tile px are what the three strides above layer1 start from: 4 + 8 + 16 = 28. The
    # first of them comes before any non-linearity.
    moved = displacement(model, "layer1", "backward_hook")
    assert (moved.near_px, moved.far_px, moved.far_spread_px) == ((2, 2), (14, 14), 0)
    assert moved.placed_px == moved.near_px and (moved.left_px, moved.fine_left_px) == (12, 0)
    # Behind layer1.0 there is one first.
    inside = displacement(model, "layer1.0", "backward_hook")
    assert (inside.near_px, inside.far_px, inside.compensated) == ((0, 0), (14, 14), False)
    last = displacement(model, "layer3", "backward_hook")
    assert last.near_px == last.far_px == last.placed_px == (8, 8) and last.left_px == 0
    for denoising in ("centred_hook", "forward_hook"):
        assert displacement(model, "layer1", denoising) == Displacement()
    for changes in ({"compensate": False}, {"moves": False}):
        stays = displacement(model, "layer1", "backward_hook", **changes)
        assert (stays.left_px, stays.fine_left_px) == (14, 2)
    assert displacement(model, "layer4", "backward_hook") == Displacement()


def test_paths_that_disagree_have_a_spread_and_stay() -> None:
    model = small_segmenter()
    found = displacement(model, "stem", "backward_hook")
    assert found.far_spread_px > 0 and not found.compensated
    # The changed network's pixels are of a moved content, as far as its paths go.
    asked = displacement(model, "stem", "forward_hook")
    assert asked.near_px == (0, 0) and not asked.compensated
    assert asked.far_px == tuple(-px for px in found.far_px)
    unit = model.layers()[-1].name
    entry = DENOISINGS["forward_hook"]
    options = options_of(entry, {})
    assert displacement_of(model, model.layer("stem"), entry, options, below=unit).far_px == (0, 0)


def test_what_is_left_is_of_the_path_that_is_worst() -> None:
    found = Displacement((1.0, 1.0), (7.0, 7.0), near_spread_px=1.0, far_spread_px=7.0)
    assert (found.left_px, found.fine_left_px) == (14, 2)
    ends_apart = Displacement((1.0, 1.0), (14.0, 14.0), near_spread_px=1.0)
    assert ends_apart.left_px == 14


def test_without_strided_convolutions_nothing_moves() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = wrapped(net, *"abcd")
    assert displacement(model, "0", "forward_hook", scope="paper") == Displacement()


def test_the_papers_scope_displaces_the_layer_as_well() -> None:
    model = load_model("demo-classifier")
    layer = model.layer("layer3")
    entry = DENOISINGS["forward_hook"]
    above, paper = (options_of(entry, {"scope": scope}) for scope in ("above", "paper"))
    assert convolutions_of(model, layer, entry, above) == layer.strided_convs_above
    assert convolutions_of(model, layer, entry, paper) == model.strided_convolutions[1:]
    # Below layer3, but behind the stem: 4 + 8 tile px, half of it.
    moved = displacement(model, "layer3", "forward_hook", scope="paper")
    assert moved.near_px == moved.far_px == moved.placed_px == (6.0, 6.0)


@pytest.mark.parametrize("layer", ["layer1", "layer2", "layer3"])
def test_laid_back_a_trained_networks_map_lies_on_the_centred_one(layer: str) -> None:
    """Fine structure moves by half a layer px, however many strides lie above."""
    model = load_model("demo-classifier")
    with sample_slide_path() as path, open_slide(path) as slide:
        tiles = np.stack([slide.read_box(Box(x, 1600, 224, 224), (224, 224)) for x in (2600, 3000)])
    images = torch.from_numpy(tiles).permute(0, 3, 1, 2)
    maps = {
        denoising: explain_tiles(
            model,
            images,
            SaliencySpec(
                layer=layer, method="gradient", denoising=denoising, samples=8, target="tumour"
            ),
            Compute(device="cpu", precision="fp32"),
        )
        for denoising in ("backward_hook", "centred_hook")
    }
    moved = maps["backward_hook"].displacement
    stride = model.layer(layer).stride[0]

    def likeness(px: float) -> float:
        back = -px / stride
        found = []
        for one, other in zip(*(m.reduced.double().numpy() for m in maps.values()), strict=True):
            laid = ndimage.shift(one, (back, back), order=1, mode="nearest")[3:-3, 3:-3]
            found.append(np.corrcoef(laid.ravel(), other[3:-3, 3:-3].ravel())[0, 1])
        return float(np.mean(found))

    assert likeness(moved.placed_px[0]) > max(0.85, likeness(0.0) + 0.03)
    if moved.far_px != moved.near_px:
        assert likeness(moved.placed_px[0]) > likeness(moved.far_px[0]) + 0.05
