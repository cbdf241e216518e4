"""explain_tiles: closed forms, independence of batches, what it leaves alone, what it refuses."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import every_model, wrapped
from torch import nn

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.attribution.aggregation import Aggregation
from napari_smoothsal.attribution.explainer import Explainer
from napari_smoothsal.core.errors import ModelError, SettingError, SmoothsalError, UnknownNameError
from napari_smoothsal.denoise.filters import mean_of_four_rolls

FP64 = Compute(precision="fp64", device="cpu")


def tiles(n: int, size: int = 64) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(n))


@pytest.fixture
def resnet():
    return every_model()["resnet"]


class Linear(nn.Module):
    """A strided convolution and a sum: every gradient is known."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.low = nn.Conv2d(3, 2, 1, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.strided = nn.Conv2d(2, 2, 3, stride=2, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.strided(self.act(self.low(x))).sum((2, 3))


def test_closed_forms_of_gradient_and_activation_at_a_layer_that_is_overwritten() -> None:
    module = Linear()
    model = wrapped(module, "a", "b")
    image = tiles(1, 32)
    low = (
        module.low(
            (image - torch.tensor(model.card.mean).reshape(1, 3, 1, 1))
            / torch.tensor(model.card.std).reshape(1, 3, 1, 1)
        )
        .double()
        .detach()
    )
    upstream = torch.ones(1, 2, 16, 16, dtype=torch.float64)
    upstream[:, 0] = 0  # class "b" is explained
    weight = module.strided.weight.detach().double()
    raw = nn.functional.conv_transpose2d(upstream, weight, stride=2, padding=1, output_padding=1)
    for denoising, above in (("original", raw), ("backward_hook", mean_of_four_rolls(raw))):
        gradient = above * (low > 0)
        for method, expected in (
            ("gradient", gradient),
            ("activation_x_gradient", gradient * low),
        ):
            spec = SaliencySpec(
                layer="low", denoising=denoising, method=method, samples=0, target="b"
            )
            maps = explain_tiles(model, image, spec, FP64).maps.double()
            assert torch.allclose(maps, expected, atol=1e-6), (denoising, method)


def test_of_the_image_the_default_method_weighs_how_far_colours_are_from_the_mean() -> None:
    model, image = wrapped(Linear(), "a", "b"), tiles(1, 32)
    plain = SaliencySpec(layer="input", denoising="original", samples=0)
    slope = explain_tiles(model, image, plain.model_copy(update={"method": "gradient"}), FP64).maps
    mean, std = (torch.tensor(x).reshape(1, 3, 1, 1) for x in (model.card.mean, model.card.std))
    normalised = (image - mean) / std
    found = explain_tiles(model, image, plain, FP64).maps
    assert slope.abs().max() > 0
    assert torch.allclose(found, slope * normalised, atol=1e-5)


@pytest.mark.parametrize("denoising", ["original", "backward_hook"])
def test_any_batch_size_gives_the_same_maps(resnet, denoising: str) -> None:
    images = tiles(5)
    spec = SaliencySpec(layer="layer1", denoising=denoising, samples=2)
    results = [
        explain_tiles(resnet, images, spec, Compute(precision="fp64", batch_size=b)).maps
        for b in (1, 2, 5)
    ]
    for other in results[1:]:
        assert (results[0] - other).abs().max() <= 1e-6 * results[0].abs().max()


def test_seeds_make_noise_and_repeat_it(resnet) -> None:
    images = tiles(2)
    spec = SaliencySpec(layer="layer1", samples=2)
    first = explain_tiles(resnet, images, spec)
    again = explain_tiles(resnet, images, spec)
    other = explain_tiles(resnet, images, spec.model_copy(update={"seed": 1}))
    assert torch.equal(first.maps, again.maps)
    assert not torch.allclose(first.maps, other.maps)


def test_the_standard_error_predicts_the_spread_of_repeated_means(resnet) -> None:
    images = tiles(1)
    runs = [
        explain_tiles(resnet, images, SaliencySpec(layer="layer2", samples=16, seed=s))
        for s in range(24)
    ]
    maps = torch.stack([run.maps[0].double() for run in runs])
    seen = (maps.var(0).sum() / maps.mean(0).square().sum()).sqrt()
    predicted = torch.stack([run.standard_error for run in runs]).double().mean()
    assert predicted.item() == pytest.approx(seen.item(), rel=0.15)


def test_the_users_model_is_left_bit_for_bit(resnet) -> None:
    module = resnet.module.train()
    module.conv1.weight.requires_grad_(False)
    before = copy.deepcopy(module.state_dict())
    flags = [(p.requires_grad, p.grad) for p in module.parameters()]
    broken = SaliencySpec(layer="layer1", target="no such class")
    explain_tiles(resnet, tiles(1), SaliencySpec(layer="layer1", samples=1))
    with pytest.raises(SmoothsalError):
        explain_tiles(resnet, tiles(1), broken)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert [(p.requires_grad, p.grad) for p in module.parameters()] == flags
    assert module.training
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in module.modules())


def test_targets(resnet) -> None:
    images = tiles(3)
    spec = SaliencySpec(layer="layer2", samples=0, denoising="original")

    def maps(target):
        chosen = spec.model_copy(update={"target": target})
        return explain_tiles(resnet, images, chosen, FP64)

    a, b = maps("a"), maps(1)
    assert torch.allclose(maps("a-b").maps, a.maps - b.maps, atol=1e-7)
    auto = maps(None)
    assert torch.equal(auto.target, auto.logits.argmax(1))
    assert torch.equal(auto.maps[0], (a, b)[int(auto.target[0])].maps[0])
    assert torch.allclose(auto.probabilities.sum(1), torch.ones(3))


@pytest.mark.parametrize(
    ("reduction", "formula"),
    [
        ("sum", lambda m: m.sum(1)),
        ("mean", lambda m: m.mean(1)),
        ("absolute", lambda m: m.abs().sum(1)),
        ("positive", lambda m: m.clamp(min=0).sum(1)),
    ],
)
def test_reductions(resnet, reduction: str, formula) -> None:
    spec = SaliencySpec(layer="layer3", samples=1, reduction=reduction)
    result = explain_tiles(resnet, tiles(1), spec)
    assert torch.equal(result.reduced, formula(result.maps))


@pytest.mark.parametrize("denoising", ["centred_hook", "gaussian_blur"])
def test_one_channel_is_that_of_the_whole_map(resnet, denoising: str) -> None:
    spec = SaliencySpec(layer="layer3", method="gradient", samples=5, denoising=denoising)
    whole = explain_tiles(resnet, tiles(2), spec, FP64)
    chosen = spec.model_copy(update={"reduction": "channel", "channel": 7})
    one = explain_tiles(resnet, tiles(2), chosen, FP64)
    assert one.maps.shape == (2, 1, *whole.maps.shape[2:])
    assert torch.equal(one.maps[:, 0], whole.maps[:, 7]) and torch.equal(
        one.reduced, one.maps[:, 0]
    )
    # The error is the channel's own: a sum over channels would hide how little it is known.
    assert (one.standard_error > whole.standard_error).all()


def test_channels_of_a_layer_share_their_passes(resnet, monkeypatch) -> None:
    passes = []
    forward = type(resnet.module).forward
    monkeypatch.setattr(
        type(resnet.module),
        "forward",
        lambda self, images: passes.append(len(images)) or forward(self, images),
    )
    channels = [
        SaliencySpec(layer="layer2", samples=3, reduction="channel", channel=channel)
        for channel in (0, 3, 7)
    ]

    def passes_of(specs) -> int:
        explainer = Explainer(resnet, specs, FP64, scope="tiles")
        passes.clear()
        explainer.explain(tiles(2), [(0,), (1,)])
        return len(passes)

    one, whole = channels[:1], SaliencySpec(layer="layer2", samples=3)
    assert passes_of(one) == passes_of(channels) == passes_of([*channels, whole])


def test_a_channel_that_the_layer_lacks_is_refused_with_how_many_it_has(resnet) -> None:
    channels = resnet.layer("layer2").channels
    spec = SaliencySpec(layer="layer2", samples=0, reduction="channel", channel=channels)
    with pytest.raises(SettingError, match=f"has {channels} channels, 0 to {channels - 1}"):
        explain_tiles(resnet, tiles(1), spec)


def test_uint8_and_float_images_are_the_same(resnet) -> None:
    eight = (tiles(1) * 255).to(torch.uint8)
    spec = SaliencySpec(layer="layer1", samples=1)
    one = explain_tiles(resnet, eight.numpy(), spec)
    two = explain_tiles(resnet, eight.float() / 255, spec)
    assert torch.allclose(one.maps, two.maps, atol=1e-4 * float(one.maps.abs().max()))


def test_where_no_strided_convolution_lies_above_it_warns_and_changes_nothing(resnet) -> None:
    spec = SaliencySpec(layer="layer4", samples=2, denoising="centred_hook")
    with pytest.warns(UserWarning, match="nothing to do"):
        hooked = explain_tiles(resnet, tiles(1), spec)
    original = explain_tiles(resnet, tiles(1), spec.model_copy(update={"denoising": "original"}))
    assert torch.equal(hooked.maps, original.maps)
    assert hooked.idle_denoising and not original.idle_denoising


def test_of_the_default_denoising_with_nothing_to_do_the_result_says_it(
    resnet, recwarn: pytest.WarningsRecorder
) -> None:
    found = explain_tiles(resnet, tiles(1), SaliencySpec(layer="layer4", samples=0))
    assert found.idle_denoising and not recwarn
    assert not explain_tiles(resnet, tiles(1), SaliencySpec(layer="layer3")).idle_denoising


def test_weak_and_wrong_predictions_are_marked(resnet) -> None:
    found = explain_tiles(resnet, tiles(3), SaliencySpec(layer="layer3", samples=0))
    sure = torch.tensor([[0.19, 0.81], [0.21, 0.79], [0.81, 0.19]])
    found = replace(found, original_probabilities=sure, predicted=torch.tensor([1, 1, 0]))
    assert found.marks() == [(), ("weakly predicted",), ()]
    assert found.marks([1, 0, 1]) == [
        (), ("predicted wrongly", "weakly predicted"), ("predicted wrongly",),
    ]  # fmt: skip
    one = replace(found, original_probabilities=torch.tensor([[0.1], [0.3], [0.9]]))
    assert one.marks() == [(), ("weakly predicted",), ()]
    assert not any(replace(found, dense=True).marks())
    with pytest.raises(SettingError, match="2 labels of 3 tiles"):
        found.marks([0, 1])


def test_reduced_precision_runs_and_is_close(resnet) -> None:
    spec = SaliencySpec(layer="layer3", samples=4)
    full = explain_tiles(resnet, tiles(2), spec)
    half = explain_tiles(resnet, tiles(2), spec, Compute(precision="bf16"))
    assert (full.maps - half.maps).norm() < 0.2 * full.maps.norm()


def test_many_samples_in_reduced_precision_are_summed_in_full(resnet) -> None:
    mean = Aggregation("mean", 1)
    for _ in range(700):
        mean.add(torch.full((1, 1, 2, 2), 1.0, dtype=torch.bfloat16), torch.tensor([0]))
    assert torch.equal(mean.result(), torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.rand(3, 64, 64), "shape"),
        (torch.rand(1, 1, 64, 64), "shape"),
        (torch.rand(0, 3, 64, 64), "shape"),
        (torch.rand(1, 3, 64, 64) * 255, "0 to 1"),
        (torch.full((1, 3, 64, 64), torch.nan), "0 to 1"),
        (np.zeros((1, 3, 64, 64), np.int32), "uint8"),
    ],
)
def test_bad_images(resnet, images, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        explain_tiles(resnet, images, SaliencySpec(layer="layer1"))


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"layer": "layer9"}, UnknownNameError, "layer"),
        ({"denoising": "backwards"}, UnknownNameError, "backward_hook"),
        ({"method": "gradients"}, UnknownNameError, "gradient"),
        ({"target": "c"}, UnknownNameError, "class"),
        ({"target": 2}, SettingError, "0 to 1"),
        ({"method_options": {"relu": True}}, SettingError, "relu"),
        ({"denoising_options": {"scope": "paper"}}, SettingError, "scope"),
    ],
)
def test_bad_specs(resnet, fields: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        explain_tiles(resnet, tiles(1), SaliencySpec(**{"layer": "layer1", **fields}))


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_a_device_that_is_not_there(resnet, device: str) -> None:
    with pytest.raises(SettingError, match="device"):
        explain_tiles(resnet, tiles(1), SaliencySpec(layer="layer1"), Compute(device=device))


def test_a_network_that_does_not_fit_its_card(resnet) -> None:
    model = wrapped(resnet.module, "a", "b", "c", size=64)
    with pytest.raises(ModelError, match="card says classification into 3 classes"):
        explain_tiles(model, tiles(1), SaliencySpec(layer="layer1"))


def test_logits_that_are_not_finite_name_the_tile(resnet) -> None:
    with torch.no_grad():
        resnet.module.fc.bias.fill_(torch.inf)
    with pytest.raises(ModelError, match="tile 0"):
        explain_tiles(resnet, tiles(2), SaliencySpec(layer="layer1", samples=0, target="a"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("denoising", ["original", "backward_hook"])
def test_cuda_agrees_with_the_cpu_without_noise(resnet, denoising: str) -> None:
    spec = SaliencySpec(layer="layer1", samples=0, denoising=denoising, target="b")
    cpu = explain_tiles(resnet, tiles(3), spec, FP64)
    cuda = explain_tiles(resnet, tiles(3), spec, Compute(device="cuda", precision="fp64"))
    assert (cpu.maps - cuda.maps).abs().max() <= 1e-6 * cpu.maps.abs().max()
