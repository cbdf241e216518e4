"""Relevance through whole networks: however functions are called, in every format, or refused."""

import pytest
import torch
from networks import Functional, wrapped
from one_pass import one_pass
from relevance_models import FP64, MODELS, RULES, THROUGH, Head, tiles
from torch import nn
from torch.nn import functional as F

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.core.errors import ModelError


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "bend", [nn.SiLU(), nn.SiLU(True), nn.GELU(), nn.LeakyReLU(0.1, True), nn.ReLU6(), nn.Sigmoid()]
)
def test_other_nonlinear_functions_hand_on_all_they_have(bend: nn.Module, rule: str) -> None:
    torch.manual_seed(1)
    model = wrapped(Head(bend), "a", "b", size=8)
    found = one_pass(model, tiles(model), ("low", "between"), rule)
    low, between = found.maps["low"], found.maps["between"]
    assert torch.allclose(low, between, atol=1e-12 * float(between.abs().max()))


@pytest.mark.parametrize("rule", RULES[1:])
def test_a_batch_norm_hands_on_all_it_has(rule: str) -> None:
    model = MODELS["resnet"]
    layers = ("conv1", "bn1")
    found = one_pass(model, tiles(model), layers, rule)
    assert torch.allclose(found.maps["conv1"], found.maps["bn1"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_layers_seen_in_one_pass_are_what_they_are_alone(rule: str) -> None:
    for name in ("functional", "resnet"):
        model, layers = MODELS[name], THROUGH[name][1:]
        layers = tuple(layer for layer in layers if layer != "conv1")  # its BatchNorm is folded
        together = one_pass(model, tiles(model), layers, rule)
        for layer in layers:
            alone = one_pass(model, tiles(model), (layer,), rule).maps[layer]
            scale = alone.abs().max()
            assert (together.maps[layer] - alone).abs().max() <= 1e-9 * scale, layer


class NothingInPlace(Functional):
    """The same function."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.a(x))
        y = torch.relu(self.b(x))
        y = y + y
        y = self.d(torch.relu(self.c(y))).clamp(min=0)
        return self.out(F.adaptive_avg_pool2d(y, 1).flatten(1))


@pytest.mark.parametrize("rule", RULES)
def test_functions_are_seen_whichever_way_they_are_called(rule: str) -> None:
    model = MODELS["functional"]
    twin = NothingInPlace()
    twin.load_state_dict(model.module.state_dict())
    layers = ("input", "a", "c")
    ours = one_pass(model, tiles(model), layers, rule)
    theirs = one_pass(wrapped(twin, "a", "b", "c"), tiles(model), layers, rule)
    for layer in layers:
        assert torch.allclose(ours.maps[layer], theirs.maps[layer], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["plain", "resnet", "unet", "single_logit"])
def test_the_engine_makes_the_same_maps(name: str, rule: str) -> None:
    model, images = MODELS[name], tiles(MODELS[name])
    for layer in ("input", THROUGH[name][-1]):
        options = {"denoising": "original", "samples": 0, "target": model.card.class_names[0]}
        if name == "unet":
            options["method_options"] = {"target_pixels": "all"}
        spec = SaliencySpec(layer=layer, method=rule, **options)
        ours = explain_tiles(model, images, spec, FP64).maps
        expected = one_pass(model, images, (layer,), rule).maps[layer]
        assert (ours - expected).abs().max() <= 2e-6 * expected.abs().max()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("rule", RULES)
def test_narrower_formats_hold_the_rules(rule: str, precision: str) -> None:
    model = MODELS["plain"]
    options = {"denoising": "original", "samples": 0, "target": "a", "layer": "1"}
    spec = SaliencySpec(method=rule, **options)
    exact = explain_tiles(model, tiles(model), spec, FP64).maps
    rough = explain_tiles(model, tiles(model), spec, Compute(precision=precision, device="cpu"))
    limit = {"fp32": 1e-4, "bf16": 0.1}[precision]
    assert (rough.maps - exact).norm() <= limit * exact.norm()


@pytest.mark.parametrize(
    ("between", "named"),
    [
        (lambda x: x * torch.sigmoid(x), "mul"),
        (lambda x: x.softmax(1), "softmax"),
        (nn.GroupNorm(1, 5), "group_norm"),
        (lambda x: F.layer_norm(x, x.shape[1:]), "layer_norm"),
    ],
)
@pytest.mark.parametrize("rule", RULES)
def test_what_has_no_rule_is_refused_and_named(rule: str, between, named: str) -> None:
    model = wrapped(Head(between), "a", "b", size=8)
    with pytest.raises(ModelError, match=rf"{rule}.*{named}.*choose 'gradient'"):
        one_pass(model, tiles(model), ("low",), rule)
    assert one_pass(model, tiles(model), ("head",), rule).maps["head"].abs().max() > 0


def test_a_product_of_matrices_has_an_epsilon_rule_alone() -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 5, generator=torch.Generator().manual_seed(0)).double()
    mixing = Head(lambda x: torch.einsum("bchw,cd->bdhw", x, weight.to(x.dtype)))
    model = wrapped(mixing, "a", "b", size=8)
    found = one_pass(model, tiles(model), ("low",), "lrp_epsilon", epsilon=0)
    expected = one_pass(model, tiles(model), ("low",), "activation_x_gradient")
    assert torch.allclose(found.maps["low"], expected.maps["low"])
    rough = one_pass(model, tiles(model), ("low",), "lrp_epsilon", epsilon=0.5)
    assert (rough.sums("low").abs() < found.sums("low").abs()).all()
    with pytest.raises(ModelError, match="einsum"):
        one_pass(model, tiles(model), ("low",), "lrp_z_plus")
