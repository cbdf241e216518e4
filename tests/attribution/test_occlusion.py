"""Occlusion: against Captum in fp64, closed forms, every kind of piece, and what it refuses."""

import copy
import warnings

import pytest
import torch
from captum.attr import FeatureAblation
from captum.attr import Occlusion as CaptumOcclusion
from networks import every_model, wrapped
from torch import nn
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.attribution.pieces import Circles, Pieces, Squares
from napari_smoothsal.attribution.segments import superpixels
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import SettingError, UnknownNameError
from napari_smoothsal.models import Model

FP64 = Compute(precision="fp64", device="cpu")
CPU = torch.device("cpu")


def masks_of(pieces: Pieces) -> torch.Tensor:
    """(count, H, W) bool: where each lies."""
    masks = torch.zeros(pieces.count, *pieces.sides, dtype=torch.bool)
    masks.flatten()[pieces.pixels(torch.arange(pieces.count))] = True
    return masks


def tiles(n: int, size: int) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(n))


def normalised(model: Model, images: torch.Tensor) -> torch.Tensor:
    mean, std = (
        torch.tensor(v).double().reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std)
    )
    return (images.double() - mean) / std


def occlusion(model: Model, images: torch.Tensor, target=None, compute=FP64, **options):
    spec = SaliencySpec(
        layer="input",
        method="occlusion",
        denoising="original",
        samples=0,
        target=target,
        method_options=options,
    )
    return explain_tiles(model, images, spec, compute)


def equal(ours: torch.Tensor, expected: torch.Tensor) -> bool:
    assert expected.abs().max() > 0
    return bool((ours.double() - expected).abs().max() <= 1e-6 * expected.abs().max())


class Scored(nn.Module):
    """The explained scalar as a network; of a segmenter over the pixels that `mask` names."""

    def __init__(self, model: Model, target: torch.Tensor, mask=None) -> None:
        super().__init__()
        self.network, self.target = copy.deepcopy(model.module).double(), target
        self.mask = mask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            y = self.network(x)
        if self.mask is None:
            return y.flatten(1)[range(len(x)), self.target]
        return (y[range(len(x)), self.target] * self.mask).sum((1, 2))


@pytest.mark.parametrize("size,stride", [(8, 8), (10, 7), (16, 6)])
@pytest.mark.parametrize("name", ["plain", "resnet", "functional", "single_logit"])
def test_squares_are_captums_windows(name: str, size: int, stride: int) -> None:
    model = every_model()[name]
    images = tiles(2, model.card.input_size)
    ours = occlusion(model, images, size_px=size, stride_px=stride)
    expected = CaptumOcclusion(Scored(model, ours.target)).attribute(
        normalised(model, images), (3, size, size), (3, stride, stride)
    )
    assert equal(ours.maps[:, 0], expected[:, 0])


def test_it_equals_captums_on_a_u_net() -> None:
    model = small_segmenter()
    images = tiles(2, 64)
    with torch.no_grad():
        mask = copy.deepcopy(model.module).double()(normalised(model, images)).argmax(1) == 2
    assert 0 < mask.double().mean() < 1
    ours = occlusion(model, images, target="t", size_px=16)
    oracle = Scored(model, torch.tensor([2, 2]), mask)
    expected = CaptumOcclusion(oracle).attribute(normalised(model, images), (3, 16, 16), (3, 8, 8))
    assert equal(ours.maps[:, 0], expected[:, 0])


@pytest.mark.parametrize("fill", ["zero", "white", "#4080c0"])
def test_superpixels_are_captums_features(fill: str) -> None:
    model = every_model()["resnet"]
    images = tiles(1, 64)
    ours = occlusion(model, images, pieces="superpixel", size_px=12, fill=fill)
    colours = {"zero": model.card.mean, "white": (1.0,) * 3, "#4080c0": (64, 128, 192)}
    colour = torch.tensor(colours[fill]).double().reshape(1, 3, 1, 1)
    shown = normalised(model, colour / 255 if fill[0] == "#" else colour).expand(1, 3, 64, 64)
    features = superpixels(images[0], 12)[None, None]
    expected = FeatureAblation(Scored(model, ours.target)).attribute(
        normalised(model, images), shown, feature_mask=features.expand(1, 3, 64, 64)
    )
    assert equal(ours.maps[:, 0], expected[:, 0])


class Weighted(nn.Module):
    """A linear model: the sum of all values, weighted."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        # A model has a layer to look at.
        self.layer = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.layer.weight.copy_(torch.eye(3)[..., None, None])
        self.register_buffer("weight", weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.layer(x) * self.weight).sum((1, 2, 3))[:, None]


def test_of_a_linear_model_each_pixel_gets_the_mean_of_its_pieces_sums() -> None:
    weight = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(5))
    model = wrapped(Weighted(weight), "t")
    images = tiles(1, 32)
    linear = (normalised(model, images)[0] * weight.double()).sum(0)
    one = occlusion(model, images, size_px=1, stride_px=1)
    assert equal(one.maps[0, 0], linear)
    for kind, pieces in {
        "square": Squares(32, 32, 9, 4),
        "circle": Circles(32, 32, 9, 4),
    }.items():
        masks = masks_of(pieces).double()
        sums = (masks * linear).sum((1, 2))
        expected = torch.einsum("n,nhw->hw", sums, masks) / masks.sum(0)
        ours = occlusion(model, images, pieces=kind, size_px=9, stride_px=4)
        assert equal(ours.maps[0, 0], expected)


def test_a_model_that_looks_at_one_patch_is_blamed_on_the_pieces_over_it() -> None:
    weight = torch.zeros(3, 32, 32)
    weight[:, 12:16, 20:24] = 1
    model = wrapped(Weighted(weight), "t")
    found = occlusion(model, tiles(1, 32), size_px=4, fill="black").maps[0, 0]
    # Squares of 4 px on a grid of 2 px that reach the patch end at most 2 px beside it.
    near = torch.zeros(32, 32, dtype=torch.bool)
    near[10:18, 18:26] = True
    assert (found[~near] == 0).all() and (found[near] > 0).all()
    assert found.argmax() // 32 in range(12, 16) and found.argmax() % 32 in range(20, 24)


SIZES = [(8, 4), (9, 6), (2, 1), (1, 1), (20, 14)]
# Circles that are further apart leave pixels out, and are refused.
CLOSE = [(Circles, *both) for both in SIZES if both[1] <= both[0] / 2**0.5 or both[0] == 1]


@pytest.mark.parametrize(("kind", "size", "stride"), [*((Squares, *s) for s in SIZES), *CLOSE])
def test_no_pixel_is_left_out(kind: type, size: int, stride: int) -> None:
    pieces = kind(21, 34, size, stride)
    masks = masks_of(pieces)
    assert masks.any(0).all() and masks.flatten(1).any(1).all()


@pytest.mark.parametrize("fill", ["tissue_mean", "blurred", "inpainted"])
@pytest.mark.parametrize("pieces", ["square", "circle", "superpixel"])
def test_however_the_images_are_shared_out_the_map_is_the_same(pieces: str, fill: str) -> None:
    model = every_model()["plain"]
    images = tiles(3, 32)
    options = {"pieces": pieces, "fill": fill, "size_px": 10}
    together = occlusion(model, images, **options)
    alone = [occlusion(model, image[None], target=0, **options) for image in images]
    few = occlusion(
        model,
        images,
        target=0,
        compute=Compute(precision="fp64", device="cpu", batch_size=5),
        **options,
    )
    assert together.maps.abs().max() > 0
    assert torch.allclose(few.maps, torch.cat([a.maps for a in alone]), atol=1e-7)


def stained(size: int = 96) -> torch.Tensor:
    """Pink tissue with three nuclei, 6, 7 and 8 um across at 0.5 um per px."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    tile = torch.tensor([225, 150, 190]).float().reshape(3, 1, 1).expand(3, size, size).clone()
    for cy, cx, r in ((20, 20, 6), (60, 30, 7), (50, 70, 8)):
        tile[:, (y - cy) ** 2 + (x - cx) ** 2 <= r**2] = torch.tensor([90.0, 60, 130])[:, None]
    return tile[None] / 255


def darkness(size: int, **card: object) -> Model:
    weight = -torch.ones(3, size, size)
    fields = {"name": "d", "kind": "classification", "class_names": ("dark",), "input_mpp": 0.5}
    fields |= {"input_size": size, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    return Model(Weighted(weight).eval(), ModelCard(**(fields | card)))


def test_each_nucleus_gets_its_own_part_of_the_score() -> None:
    images = stained()
    model = darkness(96)
    ours = occlusion(model, images, pieces="nucleus", fill="white").maps[0, 0]
    values = ours.unique()
    assert len(values) == 4 and values[0] == 0  # nothing lies between them
    for cy, cx in ((20, 20), (60, 30), (50, 70)):
        assert (ours[cy - 3 : cy + 4, cx - 3 : cx + 4] > 0).all()
    inside = ours == ours[20, 20]
    expected = ((1 - images.double())[0] / 0.25)[:, inside].sum()
    assert abs(ours[20, 20] - expected) < 1e-4 * expected


def test_without_nuclei_the_map_is_zero_and_it_is_said() -> None:
    pale = torch.full((2, 3, 96, 96), 0.95)
    with pytest.warns(UserWarning, match="no nuclei were found.*other pieces") as said:
        ours = occlusion(darkness(96), pale, pieces="nucleus")
    assert len(said) == 1 and ours.maps.abs().max() == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        occlusion(darkness(96), stained(), pieces="nucleus")


def test_sizes_in_micrometres() -> None:
    model, images = darkness(96), stained()
    px = occlusion(model, images, size_px=12)
    um = occlusion(model, images, size_um=6.0)
    assert torch.equal(px.maps, um.maps)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"size_px": 97}, SettingError, "97 px.*96 x 96 px; choose 96"),
        ({"size_px": 97, "pieces": "superpixel"}, SettingError, "97 px.*from 2 to 96 px"),
        ({"size_px": 0}, SettingError, "size_px = 0: give 1 or more"),
        ({"size_um": -1}, SettingError, "size_um = -1: give 0 or more"),
        ({"stride_px": -1}, SettingError, "stride_px = -1"),
        ({"size_px": 8, "stride_px": 9}, SettingError, "stride_px = 9.*never.*choose 8 or less"),
        (
            {"size_px": 8, "stride_px": 6, "pieces": "circle"},
            SettingError,
            "stride_px = 6.*choose 5 or less",
        ),
        ({"fill": "inpaintd"}, UnknownNameError, "inpaintd"),
        ({"pieces": "cell"}, SettingError, "'square', 'circle', 'superpixel' or 'nucleus'"),
    ],
)
def test_what_cannot_work_is_refused_in_words(options, error, words: str) -> None:
    with pytest.raises(error, match=words):
        occlusion(darkness(96), stained(), **options)


@pytest.mark.parametrize("options", [{"pieces": "nucleus"}, {"size_um": 10.0}])
def test_micrometres_need_a_card_that_knows_them(options) -> None:
    with pytest.raises(SettingError, match="input_mpp"):
        occlusion(darkness(96, input_mpp=None), stained(), **options)
