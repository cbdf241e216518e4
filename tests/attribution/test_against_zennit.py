"""Rules of one's own agree with zennit's, which hooks modules, in fp64: hidden layers and input."""

import copy

import pytest
import torch
from networks import every_model
from one_pass import one_pass
from torch import nn
from unets import SmallUNet, segmenter

from napari_smoothsal.models import Model

zennit = pytest.importorskip("zennit")
from zennit import rules, types  # noqa: E402
from zennit.canonizers import SequentialMergeBatchNorm  # noqa: E402
from zennit.composites import (  # noqa: E402
    DeconvNet,
    GuidedBackprop,
    LayerMapComposite,
    SpecialFirstLayerMapComposite,
)
from zennit.core import BasicHook  # noqa: E402
from zennit.layer import Sum  # noqa: E402
from zennit.torchvision import ResNetCanonizer  # noqa: E402

NOTHING = {"stabilizer": 1e-300}
UNBIASED = {**NOTHING, "zero_params": "bias"}
RULES = {
    "lrp_epsilon": ({}, rules.Epsilon(1e-3)),
    "lrp_epsilon, 0.5": ({"epsilon": 0.5}, rules.Epsilon(0.5)),
    "lrp_alpha_beta": ({}, rules.AlphaBeta(2, 1, **NOTHING)),
    "lrp_alpha_beta, 1.5": ({"alpha": 1.5, "beta": 0.5}, rules.AlphaBeta(1.5, 0.5, **NOTHING)),
    "lrp_alpha_beta, unbiased": ({"biases": False}, rules.AlphaBeta(2, 1, **UNBIASED)),
    "lrp_z_plus": ({}, rules.ZPlus(**NOTHING)),
    "excitation_backprop": ({}, rules.ZPlus(**UNBIASED)),
    "deep_taylor": ({}, rules.ZPlus(**UNBIASED)),
}
LAYERS = {
    "plain": ("input", "1", "2", "4"),
    "resnet": ("input", "maxpool", "layer1", "layer2.0", "layer3", "layer4"),
    "unet": ("input", "stem", "deep", "decode"),
}


class UNetOfModules(nn.Module):
    """`SmallUNet` as zennit needs it: whatever shares relevance is a module."""

    def __init__(self, twin: SmallUNet) -> None:
        super().__init__()
        self.__dict__.update(copy.deepcopy(twin).__dict__)
        self.relu = nn.ReLU()
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.up_smoothly = nn.Upsample(scale_factor=2, mode="bilinear")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.relu(self.stem(x))
        y = self.decode(torch.cat([self.up(self.deep(stem)), stem], 1))
        return self.head(self.up_smoothly(y))


def cases() -> dict[str, tuple[Model, nn.Module, object]]:
    torch.manual_seed(0)
    models = every_model()
    unet = SmallUNet()
    for model in (models["plain"], models["resnet"]):
        for module in model.module.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0  # zennit merges a BatchNorm, and applies its eps once more
    unet.deep[1].eps = 0.0
    return {
        "plain": (models["plain"], models["plain"].module, SequentialMergeBatchNorm()),
        "resnet": (models["resnet"], models["resnet"].module, ResNetCanonizer()),
        "unet": (segmenter(unet, "n", "s", "t"), UNetOfModules(unet), SequentialMergeBatchNorm()),
    }


CASES = cases()


def images_for(model: Model) -> torch.Tensor:
    size = model.card.input_size
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(5))


def among_positive() -> BasicHook:
    """Shared in proportion among what is positive: zennit's Norm, of clamped inputs."""
    return BasicHook(
        input_modifiers=[lambda x: x.clamp(min=0)],
        param_modifiers=[rules.NoMod(param_keys=[])],
        output_modifiers=[lambda y: y],
        gradient_mapper=lambda g, y: g / torch.where(y[0] == 0, 1, y[0]),
        reducer=lambda x, g: x[0] * g[0],
    )


def sharing(rule, canonizer, first=None):
    """A composite: a rule for weighted sums, one for skips, the plain one for all other sums."""
    skips = rules.Norm(**NOTHING) if isinstance(rule, rules.Epsilon) else among_positive()
    hooks = [
        (types.Activation, rules.Pass()),
        (Sum, skips),
        ((types.AvgPool, nn.Upsample), rules.Norm(**NOTHING)),
        (types.Linear, rule),
    ]
    if first is not None:
        return SpecialFirstLayerMapComposite(hooks, [(types.Linear, first)], [canonizer])
    return LayerMapComposite(hooks, [canonizer])


def of_zennit(case: str, images: torch.Tensor, composite, begin, target: int = 0):
    """Gradients that zennit modifies, by layer, from what ``begin`` makes of the logits."""
    network = copy.deepcopy(CASES[case][1]).double().eval()
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    layers, made = LAYERS[case], {}
    x = images.clone().requires_grad_()
    with composite.context(network):
        for name in layers[1:]:
            network.get_submodule(name).register_forward_hook(
                lambda _module, _inputs, output, name=name: made.update({name: output})
            )
        output = network(x)
        start = torch.zeros_like(output)
        start[:, target] = begin(output[:, target].detach())
        found = torch.autograd.grad(
            output, [x, *(made[name] for name in layers[1:])], start, retain_graph=True
        )
    return dict(zip(layers, found, strict=True))


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    for name, expected in theirs.items():
        assert expected.abs().max() > 0
        assert (ours[name] - expected).abs().max() <= 1e-10 * expected.abs().max(), name


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", CASES)
def test_relevance_is_zennits(case: str, rule: str) -> None:
    (model, _, canonizer), (options, theirs) = CASES[case], RULES[rule]
    method = rule.split(",")[0]
    ours = one_pass(model, images_for(model), LAYERS[case], method, target=1, **options)
    first = None
    if method == "deep_taylor":
        mean, std = (
            torch.tensor(v, dtype=torch.float64).reshape(1, 3, 1, 1)
            for v in (model.card.mean, model.card.std)
        )
        first = rules.ZBox((0 - mean) / std, (1 - mean) / std, **UNBIASED)
    begin = {"excitation_backprop": torch.ones_like, "lrp_epsilon": torch.clone}
    expected = of_zennit(
        case, ours.images, sharing(theirs, canonizer, first), begin.get(method, torch.abs), target=1
    )
    assert_same(ours.maps, expected)


@pytest.mark.parametrize(
    ("method", "composite"), [("guided_backprop", GuidedBackprop), ("deconvnet", DeconvNet)]
)
@pytest.mark.parametrize("case", CASES)
def test_rectified_gradients_are_zennits(case: str, method: str, composite) -> None:
    model = CASES[case][0]
    ours = one_pass(model, images_for(model), LAYERS[case], method, target=1)
    expected = of_zennit(case, ours.images, composite(), torch.ones_like, target=1)
    assert_same(ours.maps, expected)
