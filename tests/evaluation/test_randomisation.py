"""Randomised copies: what is new in them, what is not, and in which order blocks come."""

import copy

import pytest
import torch
from networks import every_model, wrapped
from noise_tiles import NoiseTiles
from torch import nn
from torchvision.models import inception_v3, vgg11_bn, vit_b_16
from unets import small_segmenter

from napari_smoothsal.core.checks import Randomisation
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.evaluation.blocks import blocks_above, blocks_of
from napari_smoothsal.evaluation.randomisation import draw, randomised
from napari_smoothsal.models import Model
from napari_smoothsal.models.surrogate import Surrogate

KEPT = Randomisation(statistics="kept")
TILES = NoiseTiles([0] * 4).images(range(4))


def changed(one: Model, other: Model) -> set[str]:
    """Modules whose own parameters or buffers differ."""
    others = other.module.state_dict()
    return {
        name.rpartition(".")[0]
        for name, value in one.module.state_dict().items()
        if not torch.equal(value, others[name])
    }


def test_blocks_are_residual_blocks_and_convolutions_with_their_norms_from_the_output_down() -> (
    None
):
    blocks = blocks_of(every_model()["resnet"])
    stages = [f"layer{s}.{b}" for s in (4, 3, 2, 1) for b in (1, 0)]
    assert [b.name for b in blocks] == ["fc", *stages, "conv1"]
    assert blocks[-1].parts == ("conv1", "bn1")
    assert "layer4.0.downsample.0" in blocks[2].parts
    assert [b.name for b in blocks_of(every_model()["functional"])] == ["out", "d", "c", "b", "a"]


@pytest.mark.parametrize(
    ("make", "size", "names"),
    [
        (lambda: vgg11_bn(weights=None), 64, ["classifier.6", "classifier.3", "classifier.0"]),
        (lambda: vit_b_16(image_size=32), 32, ["heads.head", "encoder.layers.encoder_layer_11"]),
        (
            lambda: inception_v3(weights=None, init_weights=False),
            299,
            ["fc", "Mixed_7c", "Mixed_7b", "Mixed_7a", "Mixed_6e"],
        ),
    ],
)
def test_blocks_of_other_peoples_networks(make, size: int, names: list[str]) -> None:
    module = make()
    outputs = 1000
    model = wrapped(module, *(str(i) for i in range(outputs)), size=size)
    blocks = blocks_of(model)
    assert [b.name for b in blocks][: len(names)] == names
    held = [part for block in blocks for part in block.parts]
    own = [n for n, m in module.named_modules() if list(m.parameters(recurse=False))]
    assert sorted(held) == sorted(own)  # each once, whatever calls it


def test_a_network_without_parameters_is_refused() -> None:
    model = wrapped(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "a", "b", "c")
    with pytest.raises(ModelError, match="no parameters"):
        blocks_of(model)


@pytest.mark.parametrize("layer", ["conv1", "layer1", "layer2.0", "layer2.1.conv1", "layer4"])
def test_what_lies_below_a_layer_stays_bit_for_bit(layer: str) -> None:
    model = every_model()["resnet"]
    above = blocks_above(model, layer)
    assert above
    copied = randomised(model, above, Randomisation(), TILES)
    seen: list[torch.Tensor] = []
    for one in (model, copied):
        handle = one.module.get_submodule(layer).register_forward_hook(
            lambda _m, _i, output: seen.append(output.clone())
        )
        with torch.no_grad():
            outputs = one.module(TILES.float() / 255)
        handle.remove()
        seen.append(outputs)
    assert torch.equal(seen[0], seen[2]) and not torch.allclose(seen[1], seen[3])
    # Nothing more could be added: the next block has a part in the layer.
    blocks = blocks_of(model)
    assert above == blocks[: len(above)]
    further = randomised(model, blocks[len(above) : len(above) + 1], KEPT, TILES)
    place = further.module.get_submodule(layer)
    handle = place.register_forward_hook(lambda _m, _i, output: seen.append(output.clone()))
    with torch.no_grad():
        further.module(TILES.float() / 255)
    handle.remove()
    assert not torch.equal(seen[-1], seen[0])


def test_all_blocks_lie_above_the_image_and_decoders_above_their_encoder() -> None:
    model = every_model()["plain"]
    assert blocks_above(model, "input") == blocks_of(model)
    unet = small_segmenter()
    blocks = [b.name for b in blocks_of(unet)]
    assert blocks[0] == "head" and blocks[-1] == "stem"
    assert [b.name for b in blocks_above(unet, "deep")] == ["head", "decode.0"]


def test_only_the_blocks_that_are_named_change_and_the_model_does_not() -> None:
    model = every_model()["resnet"]
    before = copy.deepcopy(model.module.state_dict())
    blocks = blocks_of(model)
    for chosen in (blocks[:3], blocks[4:5], blocks):
        for statistics in ("refitted", "kept", "reset"):
            how = Randomisation(statistics=statistics)
            copied = randomised(model, chosen, how, TILES)
            parts = {part for block in chosen for part in block.parts}
            assert changed(model, copied) <= parts
            weights = {
                p for p in parts if not isinstance(model.module.get_submodule(p), nn.BatchNorm2d)
            }
            assert weights <= changed(model, copied)
    after = model.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_seeds_repeat_and_a_block_is_the_same_in_every_copy() -> None:
    model = every_model()["resnet"]
    blocks = blocks_of(model)
    state = torch.random.get_rng_state()
    one = randomised(model, blocks, KEPT, TILES)
    again = randomised(model, blocks, KEPT, TILES)
    assert torch.equal(state, torch.random.get_rng_state())  # nobody else's numbers are drawn
    assert changed(one, again) == set()
    alone = randomised(model, blocks[2:3], KEPT, TILES)
    assert changed(one, alone).isdisjoint(blocks[2].parts)
    other = randomised(model, blocks, Randomisation(seed=1, statistics="kept"), TILES)
    assert {"conv1", "fc"} <= changed(one, other)


def test_running_statistics_are_kept_or_reset_or_those_of_the_tiles() -> None:
    model = every_model()["resnet"]
    blocks = blocks_of(model)
    found = {
        name: randomised(model, blocks, Randomisation(statistics=name), TILES).module
        for name in ("kept", "reset", "refitted")
    }
    assert torch.equal(found["kept"].bn1.running_mean, model.module.bn1.running_mean)
    assert not found["reset"].bn1.running_mean.any()
    fitted = found["refitted"]
    normal = torch.tensor(model.card.mean), torch.tensor(model.card.std)
    mean, std = (v.reshape(1, 3, 1, 1) for v in normal)
    with torch.no_grad():
        seen = fitted.bn1(fitted.conv1((TILES.float() / 255 - mean) / std))
    assert torch.allclose(seen.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(seen.std((0, 2, 3)), torch.ones(4), atol=1e-3)
    assert all(
        not m.training and m.momentum == 0.1 for m in fitted.modules() if hasattr(m, "momentum")
    )


def test_one_value_per_channel_cannot_be_fitted() -> None:
    head = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten()
    )
    model = wrapped(head, "a", "b", "c", "d")
    with pytest.raises(ModelError, match=r"1 tile.*more tiles"):
        randomised(model, blocks_of(model), Randomisation(), TILES[:1])


def test_what_has_no_initialiser_keeps_its_mean_and_spread() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(3 + 0.5 * torch.randn(4000))
            self.one = nn.Parameter(torch.full((5,), 2.0))

    module = Scaled()
    before = module.scale.detach().clone()
    draw(module, seed=1)
    assert float(module.scale.mean()) == pytest.approx(3, abs=0.05)
    assert float(module.scale.std()) == pytest.approx(0.5, abs=0.05)
    assert abs(torch.corrcoef(torch.stack([before, module.scale.detach()]))[0, 1]) < 0.1
    assert torch.equal(module.one.detach(), torch.full((5,), 2.0))


def test_paths_of_randomised_convolutions_are_random_too() -> None:
    model = every_model()["resnet"]
    model.surrogate = Surrogate.untrained(model)
    blocks = blocks_of(model)[:3]  # down to layer4.0
    copied = randomised(model, blocks, KEPT, TILES)
    for name, path in model.surrogate.paths.items():
        same = torch.equal(path.before.weight, copied.surrogate.paths[name].before.weight)
        assert same != name.startswith("layer4.0")
