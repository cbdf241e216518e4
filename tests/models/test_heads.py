"""A softmax or sigmoid at a network's end is left out exactly; those inside are left alone."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from cards import small_card as card
from torch import nn
from torch.nn import functional as F
from torchvision.models.feature_extraction import create_feature_extractor

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models import Model
from napari_smoothsal.models.architectures import NarrowResNet18


class Ended(nn.Module):
    """A small network with one of its own sigmoids inside, and something after its last layer."""

    def __init__(self, end=None, classes: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Conv2d(3, 6, 3, 2, 1)
        self.gate = nn.Conv2d(6, 6, 1)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, classes)
        self.end = end or (lambda x: x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.a(x)))
        attended = x * torch.sigmoid(self.gate(x)) * x.softmax(1)
        return self.end(self.fc(attended.mean((2, 3))))


def squeezed(x: torch.Tensor) -> torch.Tensor:
    return F.softmax(x[:, :, None, None], dim=1).squeeze(-1).flatten(1)


def turned(x: torch.Tensor) -> torch.Tensor:
    """Softmax over the last axis of channels-last values, which a permutation brings back."""
    return x[:, None, None].softmax(-1).permute(0, 3, 1, 2).reshape(x.shape)


ENDS = {
    "functional": (lambda x: F.softmax(x, dim=1), "softmax"),
    "method": (lambda x: x.softmax(-1), "softmax"),
    "torch": (lambda x: torch.softmax(x, 1), "softmax"),
    "keyword": (lambda x: torch.softmax(input=x, dim=1), "softmax"),
    "dtype": (lambda x: F.softmax(x, 1, dtype=torch.float64).float(), "softmax"),
    "module": (nn.Softmax(1), "softmax"),
    "squeezed": (squeezed, "softmax"),
    "turned": (turned, "softmax"),
    "log_softmax": (lambda x: F.log_softmax(x, dim=1), "log_softmax"),
    "log module": (nn.LogSoftmax(1), "log_softmax"),
    "in a mapping": (lambda x: {"logits": x.softmax(1), "hidden": x}, "softmax"),
}
SINGLE = {
    "torch": (torch.sigmoid, "sigmoid"),
    "method": (lambda x: x.sigmoid(), "sigmoid"),
    "functional": (F.sigmoid, "sigmoid"),
    "in place": (lambda x: (x * 1).sigmoid_(), "sigmoid"),
    "module": (nn.Sigmoid(), "sigmoid"),
    "squeezed": (lambda x: torch.sigmoid(x).squeeze(1), "sigmoid"),
    "logsigmoid": (F.logsigmoid, "logsigmoid"),
}


@pytest.mark.parametrize(
    ("end", "name", "classes"),
    [(*end, 2) for end in ENDS.values()] + [(*end, 1) for end in SINGLE.values()],
    ids=[*ENDS, *(f"single {name}" for name in SINGLE)],
)
def test_logits_are_those_of_the_network_without_its_head(end, name: str, classes: int) -> None:
    given, bare = Ended(end, classes).eval(), Ended(None, classes).eval()
    model, images = Model(given, card(classes=classes)), torch.randn(3, 3, 32, 32)
    assert model.removed_head == name
    assert torch.equal(model.module(images).reshape(3, classes), bare(images))
    assert not torch.equal(_tensor(given(images)).reshape(3, classes), bare(images))


def _tensor(output: object) -> torch.Tensor:
    return output["logits"] if isinstance(output, dict) else output


def test_names_parameters_and_the_given_module_stay() -> None:
    given = nn.Sequential(Ended(), nn.Softmax(1)).train()
    state, attributes = given.state_dict(), dict(given.__dict__)
    model = Model(given, card())
    names = [name for name, _ in given.named_modules()]
    assert [name for name, _ in model.module.named_modules()] == names
    assert type(model.module) is nn.Sequential and model.module is not given
    for name, tensor in model.module.state_dict().items():
        assert tensor.data_ptr() == state[name].data_ptr()
    assert given.__dict__ == attributes and all(m.training for m in given.modules())
    # Hooks on the network without its head are not hooks on the given one.
    model.module.register_forward_hook(lambda *_: None)
    assert not given._forward_hooks


def test_the_removed_module_is_no_layer() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.head = nn.Conv2d(3, 2, 3, 1, 1), nn.Softmax(1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.a(x))

    model = Model(Dense(), card("segmentation"))
    assert [info.name for info in model.layers()] == ["input", "a"]
    with pytest.raises(ModelError, match=r"'head'.*softmax at its end.*layer before"):
        model.layer("head")
    assert "softmax" in model.adaptations[0]


def test_a_copy_is_without_its_head_and_knows_it() -> None:
    model = Model(nn.Sequential(Ended(), nn.Softmax(1)).eval(), card())
    copied = copy.deepcopy(model.module)
    with torch.no_grad():
        copied[0].fc.bias += 1
    images = torch.randn(2, 3, 32, 32)
    # The copy runs its own parameters, not those that it was copied from.
    assert torch.allclose(copied(images), model.module(images) + 1, atol=1e-6)
    again = Model(copied, card())
    assert again.module is copied and again.removed_head == "softmax"


def test_a_network_that_returns_logits_is_the_one_given() -> None:
    given = Ended().eval()
    model = Model(given, card())
    assert model.module is given and model.removed_head is None and model.adaptations == ()


@pytest.mark.parametrize(("name", "size"), [("vit_tiny_patch16_224", 224), ("efficientnet_b0", 64)])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_attention_and_gates_are_left_alone(name: str, size: int) -> None:
    import timm

    torch.manual_seed(0)
    bare = timm.create_model(name, num_classes=3).eval()
    images = torch.randn(2, 3, size, size)
    assert Model(bare, card(classes=3, size=size)).module is bare
    model = Model(nn.Sequential(bare, nn.Softmax(1)), card(classes=3, size=size))
    with torch.no_grad():
        assert torch.equal(model.module(images), bare(images))


@pytest.mark.parametrize(
    ("activation", "classes", "removed"),
    [("softmax2d", 3, "softmax"), ("sigmoid", 1, "sigmoid"), ("logsoftmax", 3, "log_softmax")],
)
@pytest.mark.filterwarnings("ignore:Implicit dimension")
def test_activations_of_segmentation_models_pytorch(activation, classes: int, removed) -> None:
    import segmentation_models_pytorch as smp

    def unet(activation: str | None) -> nn.Module:
        torch.manual_seed(0)
        return smp.Unet("resnet18", encoder_weights=None, classes=classes, activation=activation)

    model = Model(unet(activation).eval(), card("segmentation", classes, 64))
    bare, images = unet(None).eval(), torch.randn(2, 3, 64, 64)
    assert model.removed_head == removed
    with torch.no_grad():
        assert torch.equal(model.module(images), bare(images))
    theirs = [info.name for info in Model(bare, card("segmentation", classes, 64)).layers()]
    # In the softmax's place they have an nn.Identity, which is a layer like any other.
    theirs.remove("segmentation_head.2.activation")
    assert [info.name for info in model.layers()] == theirs


def test_a_graph_that_torch_traced() -> None:
    bare = Ended().eval()
    graph = create_feature_extractor(nn.Sequential(bare, nn.Softmax(1)), ["1"])
    model, images = Model(graph, card()), torch.randn(2, 3, 32, 32)
    assert model.removed_head == "softmax"
    for module in (model.module, copy.deepcopy(model.module)):
        assert torch.equal(module(images), bare(images))


class Means(nn.Module):
    """The mean of what two networks, or one and a mirrored image, make of an image."""

    def __init__(self, function, classes: int) -> None:
        super().__init__()
        self.net, self.function = Ended(classes=classes), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * (self.function(self.net(x)) + self.function(self.net(x.flip(-1))))


@pytest.mark.parametrize(
    "module",
    [
        Means(lambda x: x.softmax(1), 2),
        nn.Sequential(Ended(), nn.Softmax(1), nn.Softmax(1)),
        Ended(lambda x: torch.cat([torch.sigmoid(x), 1 - torch.sigmoid(x)], 1), 1),
        Ended(lambda x: x.softmax(1).clamp_min(1e-7)),
    ],
    ids=["mean", "twice", "both sides", "clamped"],
)
def test_probabilities_that_no_single_call_makes_are_refused(module: nn.Module) -> None:
    with pytest.raises(ModelError, match=r"sum to 1.*wrap the module"):
        Model(module.eval(), card()).layers()


def test_a_single_output_that_never_leaves_the_unit_interval_is_told() -> None:
    with pytest.warns(UserWarning, match=r"between 0 and 1 on all probe tiles.*torch\.logit"):
        model = Model(Means(torch.sigmoid, 1).eval(), card(classes=1))
        assert model.removed_head is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Small logits of ordinary tiles are no reason to.
        quiet = Ended(classes=1).eval()
        with torch.no_grad():
            quiet.fc.weight *= 1e-3
            quiet.fc.bias.fill_(0.5)
        assert 0 < quiet(torch.randn(1, 3, 32, 32)).item() < 1
        assert Model(quiet, card(classes=1)).module is quiet


def test_sigmoids_of_several_classes_are_left_out_and_told() -> None:
    with pytest.warns(UserWarning, match="need not exclude each other"):
        model = Model(Ended(torch.sigmoid, 3).eval(), card(classes=3))
        assert model.removed_head == "sigmoid"
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model.module(images), Ended(None, 3).eval()(images))


def test_logarithms_of_probabilities_are_taken_as_they_are_and_told() -> None:
    given = Means(lambda x: x.softmax(1), 2)
    model = Model(nn.Sequential(given, Log()).eval(), card())
    assert model.removed_head is None
    assert "logarithms of probabilities" in model.adaptations[0]


class Log(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.log()


def test_a_softmax_over_pixels_is_not_taken_for_one_over_classes() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x).flatten(2).softmax(-1).view(len(x), 2, *x.shape[2:])

    model = Model(Attention(), card("segmentation"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert model.removed_head is None


def test_a_network_that_takes_another_way_is_noticed() -> None:
    class Fickle(Ended):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) == 1:
                x = x * x.softmax(1)
            return super().forward(x)

    model = Model(Fickle(nn.Softmax(1)).eval(), card())
    assert model.module(torch.zeros(2, 3, 32, 32)).shape == (2, 2)
    with pytest.raises(ModelError, match="takes another way"):
        model.module(torch.zeros(1, 3, 32, 32))


def test_a_network_that_writes_into_its_images_is_told_from_its_copy() -> None:
    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = NarrowResNet18(width=4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x.mul_(0.5)).softmax(1)

    assert Model(Writing().eval(), card(size=64)).removed_head == "softmax"


def test_a_model_that_fails_says_so_where_it_is_used() -> None:
    model = Model(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(5, 2)), card())
    assert isinstance(model.module, nn.Sequential)
    with pytest.raises(ModelError, match="failed on an input of shape"):
        model.layers()


def test_monais_single_logit_of_four_axes() -> None:
    import monai.networks.nets as nets

    net = nets.TorchVisionFCModel(
        "resnet18", num_classes=1, use_conv=True, pool=("avg", {"kernel_size": 2})
    )
    model = Model(net.eval(), card(classes=1, size=64))
    images = torch.randn(2, 3, 64, 64)
    assert model.module is net and model.module(images).shape == (2, 1, 1, 1)
    headed = Model(nn.Sequential(net, nn.Sigmoid()), card(classes=1, size=64))
    assert torch.equal(headed.module(images), net(images))
    assert headed.readout.read(headed.module(images), 2).shape == (2, 1, 1, 1)


class OneAtATime(nn.Module):
    """A network that was exported for a batch of one."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).view(1, -1)).softmax(1)


def test_a_network_for_one_image_at_a_time_is_probed_with_one() -> None:
    given = OneAtATime().eval()
    model = Model(given, card())
    image = torch.rand(1, 3, 32, 32)
    assert model.removed_head == "softmax"
    assert torch.allclose(model.module(image).softmax(1), given(image))
