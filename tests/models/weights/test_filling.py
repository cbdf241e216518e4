"""A filled network is the one built and loaded as usual, with one copy of the weights."""

from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torchvision.models import get_model

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.weights import filled


class Small(nn.Module):
    """With a buffer that is in no state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("scale", torch.tensor(3.0), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.convolution(x)) * self.scale


class WithAttribute(nn.Module):
    """With a tensor that is neither parameter nor buffer, in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.scales = [torch.tensor(3.0)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.mean((2, 3))) * self.scales[0]


class LooksAtValues(nn.Module):
    """Cannot be built on the meta device, as vision transformers with stochastic depth."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = torch.linspace(0, 0.1, 3)[1].item()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.mean((2, 3))) * self.rate


class Tied(nn.Module):
    """Two names for one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x.mean((2, 3))))


def resnet() -> nn.Module:
    return get_model("resnet18", weights=None)


def vit() -> nn.Module:
    return get_model("vit_b_32", weights=None, image_size=32)


BUILDS: list[Callable[[], nn.Module]] = [Small, WithAttribute, LooksAtValues, Tied, resnet, vit]


def trained(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(1)
    module = build().eval()
    with torch.no_grad():
        for value in (*module.parameters(), *module.buffers()):
            if value.is_floating_point() and value.dim():
                value.uniform_(0.01, 0.1)
    return module


@pytest.mark.parametrize("build", BUILDS)
def test_the_network_is_that_which_was_saved(build: Callable[[], nn.Module]) -> None:
    source = trained(build)
    state = {k: v.clone() for k, v in source.state_dict().items()}
    module = filled(build, state, "m")
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(module(images), source(images))
    assert not module.training
    assert module.state_dict().keys() == state.keys()
    assert all(p.requires_grad for p in module.parameters())
    assert not any(v.is_meta for v in (*module.parameters(), *module.buffers()))


def test_weights_are_taken_and_not_copied() -> None:
    state = trained(resnet).state_dict()
    module = filled(resnet, state, "m")
    owned = module.state_dict()
    assert all(owned[k].data_ptr() == v.data_ptr() for k, v in state.items())


@pytest.mark.parametrize("build", [Small, LooksAtValues])
def test_random_numbers_are_as_before(build: Callable[[], nn.Module]) -> None:
    state = build().state_dict()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    filled(build, state, "m")
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("build", [resnet, Small])
def test_other_precisions_become_the_networks(build, dtype: torch.dtype) -> None:
    state = trained(build).state_dict()
    narrow = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    module = filled(build, narrow, "m")
    assert all(p.dtype == torch.float32 for p in module.parameters())
    assert all(torch.equal(v, narrow[k].to(v.dtype)) for k, v in module.state_dict().items())


@pytest.mark.parametrize("build", [resnet, Small])
def test_counts_of_batches_may_be_missing(build: Callable[[], nn.Module]) -> None:
    state = trained(build).state_dict()
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    module = filled(build, old, "m")
    assert module.state_dict().keys() == state.keys()
    assert not any(v.is_meta for v in module.state_dict().values())


def test_tied_parameters_stay_one() -> None:
    module = filled(Tied, trained(Tied).state_dict(), "m")
    assert isinstance(module, Tied)
    assert module.first.weight is module.second.weight


def test_weights_that_share_memory_in_the_file_only_are_separate_in_the_network() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))

    one = torch.rand(3, 3)
    module = filled(build, {"0.weight": one, "1.weight": one}, "m")
    with torch.no_grad():
        module[0].weight.zero_()
    assert module[1].weight.abs().sum() > 0


def test_weights_do_not_depend_on_what_they_were_read_from() -> None:
    content = bytearray(save(trained(Small).state_dict()))
    module = filled(Small, load(bytes(content)), "m")
    before = {k: v.clone() for k, v in module.state_dict().items()}
    content[:] = bytes(len(content))
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


@pytest.mark.parametrize("build", [resnet, Small])
def test_misfits_are_counted_and_named(build: Callable[[], nn.Module]) -> None:
    state = dict(trained(build).state_dict())
    names = [k for k in state if k.endswith("weight")]
    state[names[0]] = torch.ones(2, 2)
    state["extra.weight"] = torch.ones(1)
    del state[names[1]]
    with pytest.raises(ModelError) as raised:
        filled(build, state, "model 'x'")
    told = str(raised.value)
    assert told.startswith("model 'x': the weights do not fit")
    assert f"1 missing: {names[1]}" in told
    assert "1 not of the network: extra.weight" in told
    assert f"1 of another shape or kind: {names[0]} ((2, 2) for" in told


def test_many_misfits_are_cut_short() -> None:
    with pytest.raises(ModelError, match=r"\d\d missing: .*, \.\.\.") as raised:
        filled(resnet, {"a": torch.ones(1)}, "m")
    assert len(str(raised.value)) < 500


def test_whole_numbers_are_no_weights() -> None:
    state = {k: v.long() for k, v in trained(Tied).state_dict().items()}
    with pytest.raises(ModelError, match=r"torch\.int64 for torch\.float32"):
        filled(Tied, state, "m")


def test_a_mistake_in_the_architecture_is_its_own() -> None:
    def build() -> nn.Module:
        raise TypeError("no such width")

    with pytest.raises(TypeError, match="no such width"):
        filled(build, {}, "m")
