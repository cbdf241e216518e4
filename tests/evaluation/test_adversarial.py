"""Attacks: within their bound, and in their direction."""

import pytest
import torch
from networks import every_model, wrapped
from noise_tiles import NoiseTiles
from torch import nn
from unets import small_segmenter

from napari_smoothsal import Compute
from napari_smoothsal.core.checks import Attack
from napari_smoothsal.evaluation.adversarial import attacked

CPU = Compute(device="cpu")


@pytest.mark.parametrize("name", ["resnet", "functional", "plain"])
@pytest.mark.parametrize("eps", [1, 2.5, 8])
def test_a_tile_is_changed_no_further_than_eps_and_its_score_falls(name: str, eps: float) -> None:
    model = every_model()[name]
    images = NoiseTiles([0] * 4).images(range(4))
    found = attacked(model, images, Attack(eps=eps), CPU)
    change = (found.images.int() - images.int()).abs()
    assert 0 < change.max() <= eps and found.images.dtype == torch.uint8
    rows, was = torch.arange(4), found.original.predicted
    before = found.original.probabilities[rows, was]
    assert (found.decision.probabilities[rows, was] < before).all()


def test_the_decision_of_one_logit_is_led_away_from_either_outcome() -> None:
    model = every_model()["single_logit"]
    images = NoiseTiles([0] * 4).images(range(4))
    ways = {}
    for bias in (-0.05, 0.05):
        with torch.no_grad():
            model.module.fc.bias.fill_(0)
            middle = model.module((images.float() / 255 - 0.5) / 0.25).mean()
            model.module.fc.bias.fill_(float(bias - middle))
        found = attacked(model, images, Attack(eps=2), CPU)
        difference = found.decision.logits[:, 0] - found.original.logits[:, 0]
        for outcome, by in zip(found.original.predicted.tolist(), difference, strict=True):
            ways.setdefault(outcome, []).append(float(by))
    assert max(ways[0]) < 0 < min(ways[1])  # outcome 0 is what the logit speaks for


def test_a_linear_network_is_attacked_by_the_sign_of_its_weights() -> None:
    head = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    model = wrapped(head, "a", "b", size=16)
    grey = torch.full((1, 3, 16, 16), 128, dtype=torch.uint8)
    found = attacked(model, grey, Attack(eps=3, steps=4), CPU)
    weight = head[1].weight.detach()
    was = int(found.original.predicted[0])
    away = (weight[1 - was] - weight[was]).sign().reshape(1, 3, 16, 16)
    assert torch.equal(found.images.int() - 128, 3 * away.int())
    assert bool(found.fooled[0]) == (int(found.decision.predicted[0]) != was)


def test_a_larger_bound_goes_further_and_the_model_stays() -> None:
    model = every_model()["resnet"]
    before = model.parameters_sha256
    images = NoiseTiles([0] * 4).images(range(4))
    scores = []
    for eps in (1, 4, 16):
        found = attacked(model, images, Attack(eps=eps), CPU)
        was = found.original.predicted
        scores.append(float(found.decision.probabilities[torch.arange(4), was].mean()))
    assert scores == sorted(scores, reverse=True)
    again = attacked(model, images, Attack(eps=16), CPU)
    assert torch.equal(again.images, found.images)
    assert all(p.grad is None for p in model.module.parameters())
    assert type(model)(model.module, model.card).parameters_sha256 == before


def test_decisions_per_pixel_are_led_away_too() -> None:
    model = small_segmenter()
    images = NoiseTiles([0] * 2).images(range(2))
    found = attacked(model, images, Attack(eps=4), CPU)
    labels = found.original.labels.long()[:, None]
    before, after = (
        d.dense_probabilities.gather(1, labels).mean() for d in (found.original, found.decision)
    )
    assert after < before
