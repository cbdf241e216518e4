"""Stride, centre and receptive field of all families' layers: reckoned, and seen by impulses."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
import torch
from cards import model_of
from families import QUICK, SLOW, Family
from torch import nn

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models import Model
from napari_smoothsal.models.impulse import Impulse, Probe
from napari_smoothsal.models.layers import main_layers

LEAST_PIXELS = 20
"""On smaller maps the tile's border draws what is measured aside."""


def check(family: Family) -> None:
    model = family.model()
    infos = [model.layer(name) for name in main_layers(model.layers())]
    if family.suggested:
        assert {info.name: info.stride for info in infos} == {
            name: (stride, stride) for name, stride in family.suggested.items()
        }
    windows = any("Swin" in type(m).__name__ for m in model.module.modules())
    for name, impulse in Probe(model.module, 3, family.size).measure(infos).items():
        info = model.layer(name)
        assert impulse.contradictions(info) == [], name
        if min(model.map_size(name, family.size)) >= LEAST_PIXELS and not windows:
            assert impulse.stride == pytest.approx(info.stride, rel=0.01), name
            slack = info.centre_spread + 0.01 * max(info.stride)
            assert impulse.centre == pytest.approx(info.centre, abs=slack), name
        # Of windows of attention, what a pixel sees depends on where in its window it lies.
        assert impulse.tight or windows, name


@pytest.mark.parametrize("name", QUICK)
def test_arithmetic_is_what_impulses_show(name: str) -> None:
    check(QUICK[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_arithmetic_is_what_impulses_show_of_large_networks(name: str) -> None:
    check(SLOW[name])


class Decider(nn.Module):
    """Layers, whose mean decides."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers(image).mean((2, 3))[:, :2]


class Gate(nn.Module):
    """What squeeze and excitation is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.excite = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.excite(x.mean((2, 3), keepdim=True)).sigmoid()


class Parallel(nn.Module):
    """Two ways of different reach that meet."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 5, padding=4, dilation=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.near(x) + self.far(x)


@pytest.mark.parametrize(
    ("layers", "field", "first"),
    [
        ([nn.Conv2d(3, 4, 3, padding=1)], 3, -1),
        ([nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)], 7, -3),
        ([nn.Conv2d(3, 4, 3, dilation=4, padding=4)], 9, -4),
        ([nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 4, 7, padding=3)], 28, -12),
        ([nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(3, 2, 1)], 7, -3),
        ([nn.Conv2d(3, 4, 1), Parallel()], 9, -4),
        ([nn.Conv2d(3, 4, 1), Gate()], inf, -inf),
        ([nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)], inf, -inf),
        ([nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()], 3, -1),
        ([nn.Conv2d(3, 16, 3, padding=1), nn.PixelShuffle(2)], 3.5, -1.5),
        # Pixel 1 of the larger map is made of pixel 0, which lies 0.5 before it and sees 3.
        ([nn.Conv2d(3, 4, 2, 2), nn.Upsample(scale_factor=2)], 3, -1),
        ([nn.Conv2d(3, 4, 2, 2), nn.ConvTranspose2d(4, 4, 2, 2)], 3, -1),
        ([nn.Conv2d(3, 4, 2, 2), nn.AdaptiveAvgPool2d(8)], 8, 0),
    ],
)
def test_the_receptive_field_by_hand(layers: list[nn.Module], field: float, first: float) -> None:
    model = model_of(Decider(*layers))
    info = model.layer(f"layers.{len(layers) - 1}")
    assert info.receptive_field == (field, field)
    assert info.first_seen == (first, first)
    impulse = Probe(model.module, 3, 64).measure([info])[info.name]
    assert impulse.contradictions(info) == [] and impulse.tight
    assert impulse.whole == (field == inf)


def measured() -> tuple[Model, Impulse]:
    model = model_of(Decider(nn.Conv2d(3, 4, 7, 2, 3), nn.Conv2d(4, 4, 3, 2, 1)))
    info = model.layer("layers.1")
    return model, Probe(model.module, 3, 64).measure([info])["layers.1"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stride": (8.0, 4.0)}, "stride y: 8 px reckoned, 4.00 measured"),
        ({"centre": (0.0, 2.0)}, "centre x: 2 px reckoned, "),
    ],
)
def test_wrong_arithmetic_is_told(change: dict[str, tuple[float, float]], said: str) -> None:
    model, impulse = measured()
    info = model.layer("layers.1")
    assert impulse.contradictions(info) == []
    assert said in "; ".join(impulse.contradictions(replace(info, **change)))


def test_a_receptive_field_that_is_too_small_is_told() -> None:
    model, _ = measured()
    info = model.layer("layers.1")
    narrow = replace(info, receptive_field=(7.0, 7.0), first_seen=(-3.0, -3.0))
    impulse = Probe(model.module, 3, 64).measure([narrow])["layers.1"]
    assert any("receptive field" in words for words in impulse.contradictions(narrow))


def test_probing_leaves_the_module_as_it_was() -> None:
    model, _ = measured()
    assert all(p.dtype == torch.float32 and p.requires_grad for p in model.module.parameters())
    assert all(not m._forward_hooks for m in model.module.modules())


def test_a_network_that_does_not_take_the_probe_is_a_model_error() -> None:
    model = model_of(Decider(nn.Conv2d(3, 4, 3)))
    info = model.layer("layers.0")
    with pytest.raises(ModelError, match="could not run"):
        Probe(model.module, 4, 64).measure([info])
