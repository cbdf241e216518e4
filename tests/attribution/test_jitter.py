"""Phase jitter: which shifts, what becomes of them, and against a plain loop over crops."""

import copy
from collections import Counter

import pytest
import torch
from networks import every_model, wrapped
from torch import nn
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.attribution.aggregation import Aggregation
from napari_smoothsal.attribution.jitter import Jitter, jitter_of, moved, with_margin
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models import Model

FP64 = Compute(precision="fp64", device="cpu")


def tiles(n: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.rand(n, 3, size, size, generator=generator, dtype=torch.float64)


def test_shifts_are_spread_over_the_phases() -> None:
    jitter = Jitter((4, 4), (1, 1), (8, 8))
    shifts = [jitter.shift(sample) for sample in range(64)]
    assert shifts[0] == (0, 0)
    assert len(set(shifts)) == 64 and {min(s) for s in shifts} >= {-4}
    assert max(max(s) for s in shifts) == 3 and jitter.margin == 16
    for start in (0, 16, 32, 48):  # one of every 2 x 2 phases
        cells = Counter(((y + 4) // 2, (x + 4) // 2) for y, x in shifts[start : start + 16])
        assert len(cells) == 16
    assert jitter.shift_px(3) == tuple(4 * v for v in shifts[3])


def test_the_phases_are_those_of_the_strides_above() -> None:
    model = every_model()["resnet"]
    assert jitter_of(model, model.layer("layer1")) == Jitter((4, 4), (1, 1), (8, 8))
    assert jitter_of(model, model.layer("layer3")) == Jitter((16, 16), (1, 1), (2, 2))
    assert jitter_of(model, model.layer("layer4")) is None


def test_what_moves_in_is_zero() -> None:
    values = torch.arange(1.0, 13).reshape(1, 3, 4)
    assert torch.equal(moved(values, (0, 0)), values)
    right = moved(values, (1, -2))
    assert torch.equal(right[:, 0], torch.zeros(1, 4))
    assert torch.equal(right[0, 1], torch.tensor([3.0, 4.0, 0.0, 0.0]))
    assert torch.equal(moved(values, (5, 0)), torch.zeros(1, 3, 4))


@pytest.mark.parametrize("how", ["mean", "square", "variance"])
def test_each_pixel_is_of_the_samples_that_saw_it(how: str) -> None:
    shifts = [(0, 0), (1, -1), (-2, 0), (0, 2), (-1, -1)]
    samples = torch.randn(len(shifts), 2, 3, 5, 6, dtype=torch.float64)
    aggregate = Aggregation(how, 2)
    for maps, shift in zip(samples, shifts, strict=True):
        aggregate.add(maps, torch.arange(2), shift)
    seen = [torch.full((2, 3, 5, 6), torch.nan, dtype=torch.float64) for _ in shifts]
    for row, (y, x) in enumerate(shifts):
        for i in range(5):
            for j in range(6):
                if 0 <= i - y < 5 and 0 <= j - x < 6:
                    seen[row][:, :, i, j] = samples[row][:, :, i - y, j - x]
    stack = torch.stack(seen)
    if how == "square":
        stack = stack.square()
    expected = stack.nanmean(0)
    if how == "variance":
        expected = (stack - expected).square().nanmean(0)
    assert torch.allclose(aggregate.result(), expected, atol=1e-12)


def shifted_by_hand(model: Model, wide: torch.Tensor, margin: int, layer: str, **fields):
    """The mean over shifts of maps of single crops, each put back where it belongs."""
    jitter = jitter_of(model, model.layer(layer))
    assert jitter is not None
    size = wide.shape[2] - 2 * margin
    total, count = 0, 0
    for sample in range(4):
        y, x = jitter.shift_px(sample)
        top, left = margin + y, margin + x
        crop = wide[:, :, top : top + size, left : left + size]
        spec = SaliencySpec(layer=layer, denoising="original", samples=0, **fields)
        maps = explain_tiles(model, crop, spec, FP64).maps
        total = total + moved(maps, jitter.shift(sample))
        count = count + moved(torch.ones_like(maps), jitter.shift(sample))
    return total / count


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("gradient", True),
        ("gradient", False),
        ("deeplift", True),
        ("integrated_gradients", True),
        ("lrp_epsilon", True),
        ("guided_backprop", True),
        ("grad_cam", True),
    ],
)
def test_it_is_the_mean_over_shifted_crops(method: str, given: bool) -> None:
    model = every_model()["resnet"]
    wide = tiles(2, 64 + 32)
    inner = wide[:, :, 16:-16, 16:-16]
    if not given:
        wide = with_margin(inner, 0, 16)
    fields = {"target": 1, "method": method}
    spec = SaliencySpec(
        layer="layer1", denoising="original", samples=4, sigma=0, jitter=True, **fields
    )
    ours = explain_tiles(model, wide if given else inner, spec, FP64, margin=16 if given else 0)
    expected = shifted_by_hand(model, wide, 16, "layer1", **fields)
    assert torch.allclose(ours.maps, expected, atol=1e-6 * float(expected.abs().max()))


def test_a_dense_model_is_asked_about_the_same_pixels() -> None:
    model = small_segmenter()
    jitter = jitter_of(model, model.layer("stem"))
    wide = tiles(1, 64 + 2 * jitter.margin)
    inner = wide[..., jitter.margin : -jitter.margin, jitter.margin : -jitter.margin]
    spec = SaliencySpec(
        layer="stem", method="gradient", denoising="original", samples=4, sigma=0, jitter=True,
        target="n",
    )  # fmt: skip
    ours = explain_tiles(model, wide, spec, FP64, margin=jitter.margin)
    network = copy.deepcopy(model.module).double()
    asked = (network((inner - 0.5) / 0.25).argmax(1) == 1).double()
    assert 0 < asked.sum() == ours.explained_px < asked.numel()
    total, count = 0, 0
    for sample in range(4):
        y, x = jitter.shift_px(sample)
        top, left = jitter.margin + y, jitter.margin + x
        seen = []
        handle = network.stem.register_forward_hook(
            lambda _m, _i, output, seen=seen: seen.append(output.clone()) or seen[0]
        )
        scores = network((wide[..., top : top + 64, left : left + 64] - 0.5) / 0.25)[:, 1]
        handle.remove()
        (gradient,) = torch.autograd.grad((scores * moved(asked, (-y, -x))).sum(), seen)
        total = total + moved(gradient, jitter.shift(sample))
        count = count + moved(torch.ones_like(gradient), jitter.shift(sample))
    expected = total / count
    assert torch.allclose(ours.maps.double(), expected, atol=1e-6 * float(expected.abs().max()))


def test_it_averages_a_checkerboard_out() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 1, 1),
        nn.Conv2d(4, 4, 3, 2, 1),
        nn.Conv2d(4, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    model = wrapped(net, *"abcd", size=32)
    maps = {}
    for jitter in (False, True):
        spec = SaliencySpec(
            layer="0", method="gradient", denoising="original", samples=4, sigma=0, jitter=jitter,
            target=0,
        )  # fmt: skip
        maps[jitter] = explain_tiles(model, tiles(1, 32), spec, FP64).maps[..., 4:-4, 4:-4]
    assert maps[True].std((2, 3)).max() < 1e-8 < 0.1 * maps[False].std((2, 3)).max()


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_it_does_not_depend_on_the_batch(batch_size: int) -> None:
    model, images = every_model()["resnet"], tiles(3, 64)
    spec = SaliencySpec(layer="layer1", denoising="centred_hook", samples=5, jitter=True)
    together = explain_tiles(model, images, spec, FP64)
    compute = Compute(precision="fp64", device="cpu", batch_size=batch_size)
    apart = explain_tiles(model, images, spec, compute)
    assert torch.allclose(together.maps, apart.maps, atol=1e-6 * float(together.maps.abs().max()))
    assert (together.standard_error > 0).all()


def test_contributions_of_a_constant_baseline_still_add_up() -> None:
    model, images = every_model()["resnet"], tiles(1, 64)
    fields = {"denoising": "original", "samples": 4, "jitter": True}
    spec = SaliencySpec(layer="layer1", method="deeplift", **fields)
    assert explain_tiles(model, images, spec, FP64).convergence_delta < 1e-9


@pytest.mark.parametrize("baseline", ["blurred", "custom"])
def test_baselines_that_would_not_move_along_are_refused(baseline: str) -> None:
    spec = SaliencySpec(
        layer="layer1", method="deeplift", jitter=True, method_options={"baseline": baseline}
    )
    with pytest.raises(SettingError, match=baseline):
        explain_tiles(every_model()["resnet"], tiles(1, 64), spec)


@pytest.mark.parametrize("samples", [0, 1, 3])
def test_it_needs_samples_to_shift(samples: int) -> None:
    with pytest.raises(SettingError, match="4 or more"):
        SaliencySpec(layer="layer1", jitter=True, samples=samples)


def test_a_layer_without_strides_above_is_told_so() -> None:
    spec = SaliencySpec(layer="layer4", denoising="original", samples=4, jitter=True)
    with pytest.warns(UserWarning, match="jitter has nothing to do"):
        explain_tiles(every_model()["resnet"], tiles(1, 64), spec)


@pytest.mark.parametrize("margin", [-1, 32])
def test_a_margin_leaves_a_tile(margin: int) -> None:
    with pytest.raises(SettingError, match=f"margin = {margin}"):
        explain_tiles(
            every_model()["resnet"], tiles(1, 64), SaliencySpec(layer="layer1"), margin=margin
        )
