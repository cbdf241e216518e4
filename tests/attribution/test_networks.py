"""Networks that explainers share: made once, let go of by age, outputs remembered by content."""

from __future__ import annotations

import pytest
import torch
from networks import wrapped
from torch import nn

from napari_smoothsal import Compute, SaliencySpec
from napari_smoothsal.attribution import Explainer, Networks
from napari_smoothsal.attribution.device import resolve_device
from napari_smoothsal.models import Model

SPEC = SaliencySpec(layer="layer1", samples=2, target="tumour")


def tiles(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=generator)


def test_shared_networks_give_the_same_maps(classifier: Model) -> None:
    networks = Networks(classifier)
    compute = Compute(precision="fp32")
    for seed in (0, 1, 0):
        alone = Explainer(classifier, [SPEC], compute, "slide")
        shared = Explainer(classifier, [SPEC], compute, "slide", networks=networks)
        found = [e.explain(tiles(seed), [(0,), (1,)]) for e in (alone, shared)]
        assert torch.equal(found[0].specs[0].maps, found[1].specs[0].maps)
        assert torch.equal(found[0].decision.logits, found[1].decision.logits)


class WritesOnItsInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, 2, 1)
        self.out = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x -= 0.3
        x *= 2
        return self.out(torch.relu(self.first(x)).mean((2, 3)))


class Copies(WritesOnItsInput):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.clone())


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gradient", {}),
        ("integrated_gradients", {"steps": 3, "path": "input"}),
        ("occlusion", {"size_px": 16}),
        ("rise", {"masks": 10}),
        ("kernel_shap", {"samples": 60, "size_px": 8}),
    ],
)
def test_a_network_that_writes_on_its_input_is_given_copies(method: str, options: dict) -> None:
    writes, copies = WritesOnItsInput(), Copies()
    copies.load_state_dict(writes.state_dict())
    images = tiles(0)[:, :, :32, :32]
    spec = SaliencySpec(
        layer="first" if method == "gradient" else "input", method=method,
        denoising="original", samples=2, target=0, method_options=options,
    )  # fmt: skip
    found, expected = (
        Explainer(wrapped(m, "a", "b"), [spec], Compute(device="cpu"), "tiles", warn=False)
        .explain(images, [(0,), (1,)]).specs[0].maps
        for m in (writes, copies)
    )  # fmt: skip
    assert expected.abs().max() > 0 and torch.equal(found, expected)


def test_an_output_is_computed_once_for_each_content_and_margin(classifier: Model) -> None:
    networks = Networks(classifier)
    device = resolve_device(Compute(device="cpu", precision="fp32"))
    made: list[int] = []

    def make() -> torch.Tensor:
        made.append(1)
        return torch.full((2, 2), float(len(made)))

    asked = [(0, 0), (0, 0), (1, 0), (0, 4), (1, 0)]
    values = [float(networks.output_of(tiles(s), m, device, make)[0, 0]) for s, m in asked]
    assert values == [1.0, 1.0, 2.0, 3.0, 2.0]
    for _ in range(2):  # of no fixed content: floats
        networks.output_of(tiles(0).float(), 0, device, make)
    assert len(made) == 5


def test_those_that_were_used_last_stay(classifier: Model) -> None:
    networks = Networks(classifier)
    device = resolve_device(Compute(device="cpu", precision="fp32"))
    first, second, third = (networks.get(device, [f"layer{i}"]) for i in (1, 2, 3))
    assert networks.get(device, ["layer1"]) is first
    networks.trim(2)
    assert networks.get(device, ["layer1"]) is first
    assert networks.get(device, ["layer3"]) is third
    assert networks.get(device, ["layer2"]) is not second
