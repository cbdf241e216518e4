"""The bilinear surrogate: its path's closed forms, its start, its training, and whose it is."""

import copy
import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from networks import every_model, wrapped
from torch import nn
from torch.nn import functional as F
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.core.errors import ComputeError, ModelError, SettingError
from napari_smoothsal.core.training import SurrogateTraining
from napari_smoothsal.denoise.least_squares import conjugate_gradients, start_by_least_squares
from napari_smoothsal.denoise.surrogate_training import CHECKPOINT, train_surrogate
from napari_smoothsal.models import Model
from napari_smoothsal.models.surrogate import (
    Surrogate,
    SurrogatePath,
    load_surrogate,
    save_surrogate,
)

FP64 = Compute(precision="fp64", device="cpu")


class Noise:
    """Tiles of smooth noise."""

    def __init__(self, count: int = 12, side: int = 64) -> None:
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(count, 3, side // 4, side // 4, generator=generator)
        self.images = (255 * F.interpolate(coarse, side, mode="bilinear")).to(torch.uint8)
        self.fingerprint = f"{count} {side}"
        self.groups: Sequence[int] = range(count)

    def __len__(self) -> int:
        return len(self.images)

    def draw(self, indices: Sequence[int], chance: random.Random | None) -> torch.Tensor:
        return self.images[list(indices)]


def path_of(kernel: int = 3, stride: int = 2, padding: int = 1) -> SurrogatePath:
    torch.manual_seed(0)
    return SurrogatePath(nn.Conv2d(4, 6, kernel, stride, padding).double())


@pytest.mark.parametrize("size", [(16, 16), (16, 18), (15, 16), (17, 13)])
@pytest.mark.parametrize("conv", [(3, 2, 1), (1, 2, 0), (7, 2, 3), (4, 4, 0), (3, 3, 1)])
def test_a_path_is_two_convolutions_and_a_bilinear_reduction(size, conv) -> None:
    path, image = path_of(*conv), torch.randn(2, 4, *size, dtype=torch.float64)
    shape = nn.Conv2d(4, 6, *conv).double()(image).shape
    full = path.before(image)
    small = F.interpolate(full, size=shape[2:], mode="bilinear", align_corners=False)
    assert path(image).shape == shape
    assert torch.allclose(path(image), path.after(small), atol=1e-12)


def test_its_gradient_has_no_checkerboard() -> None:
    path, image = path_of(), torch.zeros(1, 4, 32, 32, dtype=torch.float64, requires_grad=True)
    path(image).sum().backward()
    assert image.grad[:, :, 8:24, 8:24].std((2, 3)).max() < 1e-12


def test_conjugate_gradients_find_the_least_squares() -> None:
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    offset, wanted = (torch.randn(30, generator=generator, dtype=torch.float64) for _ in range(2))
    (found,) = conjugate_gradients(
        lambda values: matrix @ values[0] + offset, [torch.ones(5).double()], wanted, 20
    )
    expected = torch.linalg.lstsq(matrix, (wanted - offset)[:, None]).solution[:, 0]
    assert torch.allclose(found, expected, atol=1e-10)


def test_a_start_by_least_squares_is_far_better_than_none() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, 2, 1).double().requires_grad_(False)
    image = F.interpolate(torch.randn(4, 4, 12, 12).double(), 48, mode="bilinear")
    output = conv(image)
    error = {}
    path = SurrogatePath(conv)
    for rounds in (1, 4):
        start_by_least_squares(path, image, output, rounds)
        error[rounds] = float((path(image) - output).square().mean() / output.var())
    assert error[4] < error[1] < 0.1
    untrained = SurrogatePath(conv)
    assert (untrained(image) - output).square().mean() / output.var() > 0.5


def options(**more: object) -> SurrogateTraining:
    given = {"steps": 12, "batch_tiles": 4, "validate_every": 4, "checkpoint_every": 4}
    return SurrogateTraining(**(given | {"start_rounds": 1, "compare_steps": 8} | more))


@pytest.fixture(scope="module")
def resnet() -> Model:
    return every_model()["resnet"]


@pytest.fixture(scope="module")
def trained(resnet, tmp_path_factory) -> Surrogate:
    folder = tmp_path_factory.mktemp("at once")
    return train_surrogate(resnet, Noise(), options(), folder).surrogate


def test_it_learns_and_leaves_the_model_as_it_is(resnet, tmp_path: Path) -> None:
    before = resnet.parameters_sha256
    trained = train_surrogate(
        resnet, Noise(), options(steps=60, start="random", rate=1e-2), tmp_path
    )
    history = trained.history
    assert any(
        not torch.equal(v, trained.surrogate.state()[k]) for k, v in trained.start.state().items()
    )
    assert history.best[1] < 0.7 * history.validation[0][1]
    # What began by least squares, beside it, is still ahead.
    assert history.other_start[0][1] < 0.5 * history.validation[0][1]
    del resnet.__dict__["parameters_sha256"]
    assert resnet.parameters_sha256 == before
    assert not any(m._forward_hooks for m in resnet.module.modules())
    assert set(history.losses) == set(resnet.strided_convolutions)


@pytest.mark.parametrize(
    ("groups", "alike"),
    [
        ([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]),
        ([5] * 12, [[i] for i in range(12)]),  # one stretch of tissue is all there is
        ([0] * 10 + [1] * 2, [[10, 11]]),  # the large one is learned from
        ([0] * 2 + [1] * 10, [[0, 1]]),
        ([0] * 7 + [1] * 5, [[7, 8, 9, 10, 11]]),
    ],
)
def test_tiles_of_a_group_are_held_out_together(resnet, tmp_path: Path, groups, alike) -> None:
    source = Noise()
    source.groups = groups
    options = SurrogateTraining(steps=1, start="random", compare_steps=0, validation=0.08)
    assert train_surrogate(resnet, source, options, tmp_path).held_out in alike


@pytest.mark.parametrize("stop_at", [4, 8])
def test_interrupted_and_resumed_it_has_the_same_weights(
    resnet, trained, tmp_path: Path, stop_at: int
) -> None:
    class KilledError(Exception):
        pass

    def kill(step: int, _history) -> None:
        if step == stop_at + 4:  # after the checkpoint of `stop_at`, before the next
            raise KilledError

    with pytest.raises(KilledError):
        train_surrogate(resnet, Noise(), options(), tmp_path, told=kill)
    resumed = train_surrogate(resnet, Noise(), options(), tmp_path)
    assert [step for step, _ in resumed.history.validation] == [0, 4, 8, 12]
    for name, value in trained.state().items():
        assert torch.equal(resumed.surrogate.state()[name], value)
    at_once = train_surrogate(resnet, Noise(), options(), tmp_path / "anew")
    for name, value in at_once.start.state().items():
        assert torch.equal(resumed.start.state()[name], value)


def test_a_checkpoint_of_another_training_is_refused(resnet, trained, tmp_path: Path) -> None:
    train_surrogate(resnet, Noise(), options(), tmp_path)
    with pytest.raises(ModelError, match=r"different: steps was 12, is 13\)"):
        train_surrogate(resnet, Noise(), options(steps=13), tmp_path)
    with pytest.raises(ModelError, match=r"different: tiles\)"):
        train_surrogate(resnet, Noise(13), options(), tmp_path)
    with pytest.raises(ModelError, match=r"different: classes\)"):
        train_surrogate(resnet, Noise(), options(), tmp_path, classes=[0, 1] * 6)
    (tmp_path / CHECKPOINT).write_bytes(b"garbage")
    with pytest.raises(ModelError, match="no checkpoint that can be read"):
        train_surrogate(resnet, Noise(), options(), tmp_path)


def test_it_stops_when_nothing_gets_better(resnet, tmp_path: Path) -> None:
    history = train_surrogate(
        resnet,
        Noise(),
        options(steps=400, rate=1e-12, patience=2, validate_every=1, compare_steps=0),
        tmp_path,
    ).history
    assert history.validation[-1][0] < 100


def test_a_loss_that_is_not_finite_ends_it(tmp_path: Path) -> None:
    model = every_model()["plain"]
    model.module[0].weight.data[0] = torch.nan
    with pytest.raises(ComputeError, match=r"step 0: the loss is .*nan"):
        train_surrogate(model, Noise(side=32), options(start="random", compare_steps=0), tmp_path)


def test_what_cannot_be_trained(tmp_path: Path, resnet) -> None:
    plain = wrapped(nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), *"ab")
    with pytest.raises(SettingError, match="no strided convolution"):
        train_surrogate(plain, Noise(), options(), tmp_path)
    with pytest.raises(SettingError, match="3 tiles are too few"):
        train_surrogate(resnet, Noise(3), options(), tmp_path)
    with pytest.warns(UserWarning, match="predicted as one class"):
        train_surrogate(resnet, Noise(), options(steps=1), tmp_path, classes=[1] * 12)


def replaced(model: Model, surrogate: Surrogate) -> Model:
    return Model(model.module, model.card, surrogate)


@pytest.mark.parametrize("method", ["gradient", "deeplift"])
@pytest.mark.parametrize("layer", ["layer1", "layer3"])
def test_maps_are_of_the_network_with_the_paths(resnet, trained, method: str, layer: str) -> None:
    model = replaced(resnet, trained)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3)).double()
    spec = SaliencySpec(
        layer=layer, denoising="bilinear_surrogate", method=method, samples=2, target=1
    )
    ours = explain_tiles(model, images, spec, FP64)
    by_hand = copy.deepcopy(resnet.module)
    for name in resnet.layer(layer).strided_convs_above:
        by_hand.set_submodule(name, copy.deepcopy(trained.paths[name]))
    original = spec.model_copy(update={"denoising": "original"})
    expected = explain_tiles(Model(by_hand, resnet.card), images, original, FP64)
    assert torch.allclose(ours.maps, expected.maps, atol=1e-6 * float(expected.maps.abs().max()))
    assert torch.allclose(ours.probabilities, expected.original_probabilities, atol=1e-6)
    plain = explain_tiles(resnet, images, original, FP64)
    assert torch.equal(ours.original_probabilities, plain.original_probabilities)
    assert not torch.allclose(ours.logits, plain.logits, rtol=1e-4)


def test_the_papers_scope_replaces_those_below_as_well(resnet, trained) -> None:
    model, images = replaced(resnet, trained), torch.rand(1, 3, 64, 64)
    fields = {"layer": "layer4", "denoising": "bilinear_surrogate", "samples": 0}
    with pytest.warns(UserWarning, match="nothing to do"):
        above = explain_tiles(model, images, SaliencySpec(**fields), FP64)
    paper = SaliencySpec(**fields, denoising_options={"scope": "paper"})
    changed = explain_tiles(model, images, paper, FP64)
    assert torch.allclose(above.probabilities, above.original_probabilities)
    assert not torch.allclose(changed.logits, above.logits, rtol=1e-4)


def test_skips_of_a_u_net_stay(tmp_path: Path) -> None:
    model = small_segmenter()
    surrogate = train_surrogate(model, Noise(), options(steps=2), tmp_path).surrogate
    spec = SaliencySpec(layer="stem", denoising="bilinear_surrogate", samples=2, target="n")
    maps = explain_tiles(replaced(model, surrogate), torch.rand(1, 3, 64, 64), spec)
    assert torch.isfinite(maps.maps).all() and maps.maps.abs().max() > 0


def test_convolutions_that_pad_by_themselves_are_refused(resnet) -> None:
    class SamePadded(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(F.pad(x, (0, 1, 0, 1)))

    net = nn.Sequential(SamePadded(3, 2, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ModelError, match="0 is a SamePadded"):
        Surrogate.untrained(wrapped(net, *"ab"))


def test_without_a_surrogate_it_says_how_to_get_one(resnet) -> None:
    spec = SaliencySpec(layer="layer1", denoising="bilinear_surrogate")
    with pytest.raises(SettingError, match="train-surrogate"):
        explain_tiles(resnet, torch.rand(1, 3, 64, 64), spec)


def test_saved_and_loaded_it_is_the_same(resnet, trained, tmp_path: Path) -> None:
    weights = save_surrogate(trained, resnet, tmp_path, {}, {"best": 1})
    for place in (weights, tmp_path):
        loaded = load_surrogate(place, resnet)
        assert loaded.card.figures == {"best": 1}
        for name, value in trained.state().items():
            assert torch.equal(loaded.state()[name], value)


def test_files_that_do_not_belong_together_are_refused(resnet, trained, tmp_path: Path) -> None:
    weights = save_surrogate(trained, resnet, tmp_path, {}, {})
    about = weights.with_suffix(".json")
    with pytest.raises(ModelError, match=r"trained for model 'NarrowResNet18'.* not for 'plain'"):
        other = every_model()["plain"]
        load_surrogate(
            weights, Model(other.module, other.card.model_copy(update={"name": "plain"}))
        )
    text = about.read_text()
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(ModelError, match="one of the two was changed"):
        load_surrogate(weights, resnet)
    about.write_text(text.replace("{", "", 1))
    with pytest.raises(ModelError, match="not valid JSON"):
        load_surrogate(weights, resnet)
    about.write_text(json.dumps([1]))
    with pytest.raises(ModelError, match="JSON object"):
        load_surrogate(weights, resnet)
    about.unlink()
    with pytest.raises(ModelError, match=r"no 'surrogate.json'"):
        load_surrogate(weights, resnet)
