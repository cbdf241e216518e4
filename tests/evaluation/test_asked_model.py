"""A model that is asked: as it is, whatever is shown to it and whatever maps are computed in."""

import pytest
import torch
from networks import every_model

from napari_smoothsal import Compute
from napari_smoothsal.evaluation.asked_model import AskedModel

IMAGES = torch.randint(0, 256, (3, 3, 64, 64), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["resnet", "single_logit"])
@pytest.mark.parametrize("precision", ["bf16", "fp64"])
def test_it_says_what_the_network_says_in_fp32(name: str, precision: str) -> None:
    model = every_model()[name]
    side = model.card.input_size
    colours = IMAGES[..., :side, :side] / 255
    mean, std = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (model.card.mean, model.card.std))
    with torch.no_grad():
        scores = model.module((colours - mean) / std).flatten(1)
    one = torch.sigmoid(scores)
    expected = scores.softmax(1) if scores.shape[1] > 1 else torch.cat([one, 1 - one], 1)
    asked = AskedModel(model, Compute(device="cpu", precision=precision))
    found = asked.probabilities(colours)
    assert found.dtype == torch.float32 and torch.allclose(found, expected, atol=1e-5)
    for outcome in range(2):
        assert torch.equal(asked.following(outcome)(colours), found[:, outcome])
    bytes_ = IMAGES[..., :side, :side].to(torch.uint8)
    assert torch.allclose(asked.probabilities(bytes_), expected, atol=1e-5)
    whole = asked.decision(bytes_)
    assert torch.allclose(whole.logits.flatten(1), scores, atol=1e-4)


def test_colours_beyond_the_range_are_cut_off() -> None:
    asked = AskedModel(every_model()["resnet"], Compute(device="cpu"))
    wild = 3 * IMAGES / 255 - 1
    assert torch.equal(asked.probabilities(wild), asked.probabilities(wild.clamp(0, 1)))
