"""Networks that return more than logits or want more than images: read, or refused by name."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from types import SimpleNamespace

import pytest
import torch
from cards import small_card
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models import Model, Readout


def card(kind: str = "segmentation", classes: int = 3, size: int = 64) -> ModelCard:
    return small_card(kind, classes, size)


class Returning(nn.Module):
    """A dense network whose logits are handed out in some way."""

    def __init__(self, handed_out, classes: int = 3, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Conv2d(channels, classes, 3, 1, 1)
        self.handed_out = handed_out

    def forward(self, x: torch.Tensor) -> object:
        return self.handed_out(self.a(x))


Named = namedtuple("Named", ["logits", "aux"])


@pytest.mark.parametrize(
    ("handed_out", "key"),
    [
        (lambda x: OrderedDict(out=x, aux=x * 2), "'out'"),
        (lambda x: {"loss": None, "logits": x}, "'logits'"),
        (lambda x: {"masks": x}, "'masks'"),
        (lambda x: (x,), "0"),
        (lambda x: [None, x], "1"),
        (lambda x: Named(x, None), "'logits'"),
        (lambda x: Named(x, x * 2), "'logits'"),
        (lambda x: SimpleNamespace(logits=x), "'logits'"),
    ],
)
def test_logits_are_read_where_there_is_no_doubt(handed_out, key: str) -> None:
    model = Model(Returning(handed_out), card())
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(model.module(images), model.module.a(images))
    assert model.adaptations == (f"logits are read from {key} of what the network returns",)
    assert model.removed_head is None and model.output.channels == 3


@pytest.mark.parametrize(
    ("handed_out", "named"),
    [
        (lambda x: {"np": x, "hv": x[:, :2]}, r"dict of 'np' \(2, 3, 64, 64\), 'hv' \(2, 2"),
        (lambda x: (x, x.mean((2, 3))), r"tuple of 0 \(2, 3, 64, 64\), 1 \(2, 3\)"),
        (lambda x: {"out": x, "logits": x}, "'out'.*'logits'"),
        (lambda x: [{"out": x}], "list of 0 dict"),
        (lambda x: None, "NoneType, which holds no tensor"),
        (lambda x: x.argmax(1), "int64.*argmax"),
    ],
)
def test_other_outputs_are_refused_by_name(handed_out, named: str) -> None:
    with pytest.raises(ModelError, match=f"(?s)model 'm' returns.*{named}.*logits"):
        Model(Returning(handed_out), card()).layers()


def test_a_network_that_needs_more_than_images() -> None:
    class Masked(Returning):
        def forward(self, image, mask, scale=1.0, *, stain):
            return self.a(image * mask)

    with pytest.raises(ModelError, match=r"needs 'mask', 'stain' beside the images.*wrap"):
        Model(Masked(None), card()).layers()


def test_a_look_at_the_classes_leaves_the_network_as_it_was() -> None:
    norm = nn.BatchNorm2d(2)
    network = nn.Sequential(nn.Conv2d(3, 2, 3), norm, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = Model(network.train(), small_card())
    before = norm.running_mean.clone()
    model.check_output()
    assert torch.equal(norm.running_mean, before) and network.training
    with pytest.raises(ModelError, match="class_names are a, b, c: name as many"):
        Model(network, small_card(classes=3)).check_output()


def test_a_network_of_other_channels_than_the_card() -> None:
    with pytest.raises(ModelError, match=r"takes images of 4 channels, and its card's mean has 3"):
        Model(Returning(lambda x: x, channels=4), card()).layers()


@pytest.mark.parametrize("squeezed", [lambda x: x.squeeze(1), lambda x: x.squeeze()])
def test_one_class_per_pixel_without_its_axis(squeezed) -> None:
    model = Model(Returning(squeezed, classes=1), card(classes=1))
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(model.module(images), model.module.a(images))
    assert model.module(images[:1]).shape == (1, 1, 64, 64)
    assert model.output.channels == 1


@pytest.mark.parametrize(
    ("classes", "tiles", "shape"),
    [
        (1, 3, (3,)),
        (1, 3, (3, 1)),
        (1, 3, (3, 1, 1, 1)),
        (2, 3, (3, 2, 1, 1)),
        (2, 1, (2,)),
        (1, 1, ()),
    ],
)
def test_shapes_of_one_decision_per_tile(classes: int, tiles: int, shape: tuple) -> None:
    values = torch.randn(shape)
    read = Readout(card("classification", classes)).read(values, tiles)
    assert read.shape == (tiles, classes, 1, 1) and torch.equal(read.flatten(), values.flatten())


@pytest.mark.parametrize(
    ("classes", "tiles", "shape"), [(2, 2, (2,)), (1, 3, (1,)), (3, 2, (3, 2))]
)
def test_shapes_that_could_mean_something_else(classes: int, tiles: int, shape: tuple) -> None:
    with pytest.raises(ModelError, match=f"into {classes} classes"):
        Readout(card("classification", classes)).read(torch.zeros(shape), tiles)
