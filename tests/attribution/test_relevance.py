"""Relevance propagation: conservation, closed forms, what is refused. (zennit: a file beside.)"""

import copy

import pytest
import torch
from networks import wrapped
from one_pass import one_pass
from relevance_models import FP64, MODELS, RULES, THROUGH, Head, tiles
from torch import nn
from torch.nn import functional as F

from napari_smoothsal import SaliencySpec, explain_tiles
from napari_smoothsal.attribution import Explainer
from napari_smoothsal.attribution.relevance import AlphaBetaRule
from napari_smoothsal.core.errors import ModelError, SettingError
from napari_smoothsal.denoise.filters import mean_of_four_rolls
from napari_smoothsal.models import Model


def without_biases(model: Model) -> Model:
    # A model that was asked before keeps its traces, which cannot be copied.
    model = Model(copy.deepcopy(model.module), model.card)
    for name, value in (*model.module.named_parameters(), *model.module.named_buffers()):
        if name.endswith(("bias", "running_mean")):
            value.data.zero_()
    return model


@pytest.mark.parametrize("name", THROUGH)
def test_without_biases_every_layer_has_all_of_the_score(name: str) -> None:
    model = without_biases(MODELS[name])
    found = one_pass(model, tiles(model), THROUGH[name], "lrp_epsilon", epsilon=0)
    for layer in THROUGH[name]:
        assert torch.allclose(found.sums(layer), found.scores, rtol=1e-9)


class Generous(nn.Module):
    """Every unit sees summands of both signs: nothing that is to be shared finds nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 16, 4, 2, 1, padding_mode="reflect")
        self.b = nn.Conv2d(16, 16, 3, 1, 1, padding_mode="reflect")
        self.c = nn.ConvTranspose2d(16, 16, 2, 2)
        self.d = nn.Conv2d(16, 16, 3, 2, groups=2)
        self.out = nn.Linear(16, 3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.a(x))
        x = F.max_pool2d(F.relu(F.relu(self.b(x), inplace=True) + x), 2)
        x = F.relu(self.d(F.relu(self.c(x))))
        return self.out(F.adaptive_max_pool2d(x, 2).mean((2, 3)))


@pytest.mark.parametrize("rule", RULES[1:])
def test_rules_that_let_biases_take_nothing_keep_all_of_the_score(rule: str) -> None:
    torch.manual_seed(3)
    model = wrapped(Generous(), "a", "b", "c")
    options = {"biases": False} if rule.startswith("lrp") else {}
    layers = ("input", "a", "c", "d")
    found = one_pass(model, tiles(model, 4), layers, rule, **options)
    expected = torch.ones(4).double() if rule == "excitation_backprop" else found.scores
    for layer in layers:
        assert torch.allclose(found.sums(layer), expected, rtol=1e-9), layer


@pytest.mark.parametrize("name", THROUGH)
def test_biases_take_their_share(name: str) -> None:
    # With epsilon = 0 it is activation x gradient: biases are what is missing.
    model = MODELS[name]
    layers = THROUGH[name]
    found = one_pass(model, tiles(model), layers, "lrp_epsilon", epsilon=0)
    expected = one_pass(model, tiles(model), layers, "activation_x_gradient")
    for layer in layers:
        scale = expected.maps[layer].abs().max()
        assert (found.maps[layer] - expected.maps[layer]).abs().max() < 1e-9 * scale
    assert not torch.allclose(found.sums("input"), found.scores, rtol=1e-3)


def summands(model: Model, images: torch.Tensor, layer: str = "low"):
    """a_i (B, 5, H, W) and a_i w_i, of either sign, and the bias of target 0's score."""
    network = copy.deepcopy(model.module).double()
    a = one_pass(model, images, (layer,), "activation")
    weight = network.head.weight[0, :, 0, 0].reshape(1, 5, 1, 1).detach()
    return a.maps[layer], a.maps[layer] * weight, network.head.bias[0].detach()


@pytest.mark.parametrize("epsilon", [1e-3, 0.3])
def test_epsilon_lets_go_of_what_is_small_beside_it(epsilon: float) -> None:
    torch.manual_seed(0)
    model = wrapped(Head(), "a", "b", size=8)
    _, parts, bias = summands(model, tiles(model))
    z = parts.sum(1, keepdim=True) + bias
    found = one_pass(model, tiles(model), ("low",), "lrp_epsilon", epsilon=epsilon)
    expected = parts * z / (z + epsilon * z.sign())
    assert torch.allclose(found.maps["low"], expected)


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize(("alpha", "beta"), [(2, 1), (1, 0), (1.25, 0.25), (1, 1)])
def test_alpha_and_beta_share_what_is_for_and_against_apart(alpha, beta, biases) -> None:
    torch.manual_seed(1)
    model = wrapped(Head(), "a", "b", size=8)
    _, parts, bias = summands(model, tiles(model))
    absorbing = bias if biases else torch.zeros_like(bias)
    for_it = parts.clamp(min=0).sum(1, keepdim=True) + absorbing.clamp(min=0)
    against = parts.clamp(max=0).sum(1, keepdim=True) + absorbing.clamp(max=0)
    z = parts.sum(1, keepdim=True) + bias
    some = (for_it > 0) & (against < 0)
    shares = alpha * parts.clamp(min=0) / for_it - beta * parts.clamp(max=0) / against
    options = {"alpha": alpha, "beta": beta, "biases": biases, "conserve": alpha - beta == 1}
    found = one_pass(model, tiles(model), ("low",), "lrp_alpha_beta", **options).maps["low"]
    assert some.double().mean() > 0.5
    expected = shares * z * z.sum((2, 3), keepdim=True).sign()
    assert torch.allclose(torch.where(some, found, 0), torch.where(some, expected, 0))
    if beta == 0:
        plus = one_pass(model, tiles(model), ("low",), "lrp_z_plus", biases=biases)
        assert torch.equal(found, plus.maps["low"])


def test_an_image_is_looked_at_within_its_box() -> None:
    torch.manual_seed(0)
    model = wrapped(nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1)), "a", "b", size=8)
    # A pixel of the mean colour is 0 to the network; one that is black has relevance, too.
    images = tiles(model)
    images[0, :, :2, :2] = torch.tensor(model.card.mean).reshape(3, 1, 1)
    images[1, :, :2, :2] = 0
    found = one_pass(model, images, ("input",), "deep_taylor")
    mean, std = (
        torch.tensor(v, dtype=torch.float64).reshape(1, 3, 1, 1)
        for v in (model.card.mean, model.card.std)
    )
    convolution = copy.deepcopy(model.module[0]).double()
    weight = convolution.weight[0].detach().reshape(1, 3, 1, 1)
    low, high = -mean / std, (1 - mean) / std
    x = found.images
    above = x * weight - low * weight.clamp(min=0) - high * weight.clamp(max=0)
    relevance = convolution(x)[:, :1].detach() / 64
    assert (above > -1e-7).all()
    assert torch.allclose(found.maps["input"], above / above.sum(1, keepdim=True) * relevance)
    assert found.maps["input"][0, :, 0, 0].abs().min() > 0


def test_an_image_that_no_convolution_sees_itself_has_no_box() -> None:
    class Rescaled(Head):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(2 * x - 1)

    class Bordered(Head):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(F.pad(x, (1, 1, 1, 1)))

    class Joined(Head):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.cat([F.relu(self.low(x)[:, :2]), x], 1)).sum((2, 3))

    for module in (Rescaled(), Bordered(), Joined()):
        model = wrapped(module, "a", "b", size=8)
        with pytest.raises(ModelError, match=r"'deep_taylor' at layer 'input'.*hidden layer"):
            one_pass(model, tiles(model), ("input",), "deep_taylor")
        # Nothing but the box is missing.
        assert one_pass(model, tiles(model), ("low",), "deep_taylor").maps["low"].abs().max() > 0
        assert one_pass(model, tiles(model), ("input",), "lrp_z_plus").sums("input").abs().min() > 0


def test_excitation_begins_with_one_for_each_value_that_is_asked_about() -> None:
    torch.manual_seed(3)
    model = wrapped(Generous(), "a", "b", "c")
    images = tiles(model, 4)
    specs = [
        SaliencySpec(
            layer=layer,
            method="excitation_backprop",
            denoising="original",
            samples=0,
            target=target,
        )
        for target in ("a", "c", "a-b", "unit:d:2")
        for layer in ("input", "c")
    ]
    found = Explainer(model, specs, FP64, "tiles").explain(images, [(i,) for i in range(4)]).specs
    for spec, at in zip(specs, found, strict=True):
        alone = explain_tiles(model, images, spec, FP64)
        assert torch.equal(at.maps, alone.maps)
        total = at.maps.double().sum((1, 2, 3))
        expected = torch.full_like(total, 0 if spec.target == "a-b" else 1)
        assert torch.allclose(total, expected, atol=1e-6), spec


@pytest.mark.parametrize("add", ["a + b", "torch.add(a, b)", "a.add_(b)", "b - -a"])
def test_branches_that_nearly_cancel_get_no_huge_shares(add: str) -> None:
    a = torch.tensor([[3.0, 2.0, -1.0, -1.0]], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([[-2.999, 1.0, 2.0, -1.0]], dtype=torch.float64, requires_grad=True)
    with AlphaBetaRule("lrp_alpha_beta", 2, 1, biases=True):
        names = {"a": a.clone(), "b": b.clone(), "torch": torch}
        total = eval(add, names)
    total.sum().backward()
    assert torch.allclose(total.detach(), (a + b).detach())
    shares = torch.stack([a.grad * a, b.grad * b])[:, 0].detach()
    expected = torch.tensor([[0.001, 2, 0, 0], [0, 1, 1, 0]], dtype=torch.float64)
    assert torch.allclose(shares, expected, atol=1e-12)


@pytest.mark.parametrize("denoising", ["centred_hook", "backward_hook"])
@pytest.mark.parametrize("method", ["excitation_backprop", "deep_taylor", "lrp_alpha_beta"])
def test_denoisings_of_relevance_stay_within_bounds(method: str, denoising: str) -> None:
    """Weak activations have multipliers without a bound; averaged plainly, maps would explode."""
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2),
    )  # fmt: skip
    with torch.no_grad():
        network[2].bias += 1  # all that is left to share where inputs are nearly nothing
        network[0].bias -= 0.3
    model = wrapped(network, "a", "b")
    spec = SaliencySpec(layer="1", method=method, samples=0, target=0)
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    plain, smooth = (
        explain_tiles(model, images, spec.model_copy(update={"denoising": name}), FP64).reduced
        for name in ("original", denoising)
    )
    sums = [m.sum((1, 2)) for m in (plain, smooth)]
    assert torch.allclose(sums[0], sums[1], rtol=0.15)
    assert (smooth.abs().amax((1, 2)) <= 2 * plain.abs().amax((1, 2))).all()


def test_a_denoising_filters_the_multiplier() -> None:
    model = wrapped(
        nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *"abcd",
        size=16,
    )
    images = tiles(model)
    options = {"samples": 0, "target": "a", "layer": "input"}
    plain = one_pass(model, images, ("input",), "lrp_epsilon")
    multiplier = plain.maps["input"] / plain.images
    spec = SaliencySpec(method="lrp_epsilon", denoising="backward_hook", **options)
    found = explain_tiles(model, images, spec, FP64).maps.double()
    expected = mean_of_four_rolls(multiplier) * plain.images
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("lrp_alpha_beta", {"alpha": 1.0, "beta": 1.0}, "difference must be 1.*conserve = false"),
        ("lrp_alpha_beta", {"alpha": -1.0}, "alpha"),
        ("lrp_epsilon", {"epsilon": -0.1}, "epsilon"),
        ("deep_taylor", {"epsilon": 0.1}, "no option 'epsilon'"),
    ],
)
def test_options_that_cannot_work(method: str, options, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        one_pass(MODELS["plain"], tiles(MODELS["plain"]), ("1",), method, **options)


@pytest.mark.parametrize(
    ("method", "left", "right"),
    [
        ("lrp_epsilon", 1, -1),
        ("lrp_alpha_beta", 1, -1),
        ("lrp_z_plus", 1, 0),
        ("excitation_backprop", 1, 0),
        ("deep_taylor", 1, 0),
    ],
)
@pytest.mark.parametrize("against", [-0.5, -3.0])
def test_what_speaks_for_a_class_is_positive_whatever_sign_its_score_has(
    method: str, left: int, right: int, against: float
) -> None:
    """Red, on the left, speaks for the class, green on the right against it."""
    network = nn.Sequential(
        nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1)
    )
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].weight[0, 0] = network[0].weight[1, 1] = 1.0
        network[4].weight.copy_(torch.tensor([[1.0, against]]))
        for layer in (network[0], network[4]):
            layer.bias.zero_()
    model = wrapped(network, "a", size=8)
    model = Model(network, model.card.model_copy(update={"mean": (0.0,) * 3, "std": (1.0,) * 3}))
    images = torch.zeros(1, 3, 8, 8)
    images[:, 0, :, :4], images[:, 1, :, 4:] = 1, 1
    found = one_pass(model, images, ("1",), method).maps["1"].sum(1)
    assert found[..., :4].sum().sign() == left and found[..., 4:].sum().sign() == right
