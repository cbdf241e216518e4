"""What changes pixels, or asks the network by itself, sees the card's stain and not the slide's."""

from __future__ import annotations

import pytest
import torch
from tissue_pictures import tissue

from napari_smoothsal import Compute, SaliencySpec, trust_card
from napari_smoothsal.core.checks import Attack, Disturbance, Randomisation
from napari_smoothsal.evaluation.adversarial import attacked
from napari_smoothsal.evaluation.blocks import blocks_of
from napari_smoothsal.evaluation.infidelity import infidelity_and_sensitivity
from napari_smoothsal.evaluation.randomisation import randomised
from napari_smoothsal.models import Model
from napari_smoothsal.models.stain_normalisation import stain_target_of

TARGET = stain_target_of(torch.from_numpy(tissue(96, 13, 9)).permute(2, 0, 1), "macenko")
COMPUTE = Compute(precision="fp32")


@pytest.fixture
def model(classifier: Model) -> Model:
    card = classifier.card.model_copy(update={"stain_normalisation": TARGET})
    return Model(classifier.module, card)


@pytest.fixture
def tiles() -> torch.Tensor:
    pixels = [torch.from_numpy(tissue(64, 13, s, (1.4, 1.2))) for s in range(4)]
    return torch.stack(pixels).permute(0, 3, 1, 2).contiguous()


def test_attacks_change_normalised_colours(model: Model, tiles: torch.Tensor) -> None:
    how = Attack(steps=2)
    normal = model.stain_normalised(tiles).images
    one, two = (
        attacked(m, t, how, COMPUTE) for m, t in ((model, tiles), (model.behind_stain, normal))
    )
    assert torch.equal(one.images, two.images)
    assert (one.images.int() - normal.int()).abs().max() <= how.eps
    assert torch.equal(one.decision.logits, two.decision.logits)


def test_disturbances_are_added_to_normalised_colours(model: Model, tiles: torch.Tensor) -> None:
    spec = SaliencySpec(layer="input", denoising="original", samples=0)
    how = Disturbance(samples=4)
    normal = model.stain_normalised(tiles[:1]).images
    one = infidelity_and_sensitivity(model, tiles[0], spec, how, COMPUTE)
    assert one == infidelity_and_sensitivity(model.behind_stain, normal[0], spec, how, COMPUTE)


def test_statistics_of_copies_are_refitted_to_normalised_tiles(
    model: Model, tiles: torch.Tensor
) -> None:
    blocks, how = blocks_of(model)[-1:], Randomisation()
    normal = model.stain_normalised(tiles).images
    one = randomised(model, blocks, how, tiles)
    two = randomised(model.behind_stain, blocks, how, normal)
    assert one.parameters_sha256 == two.parameters_sha256
    assert one.card.stain_normalisation is TARGET


@pytest.mark.slow
def test_a_card_of_trust_follows_the_score_behind_the_stain(
    model: Model, tiles: torch.Tensor
) -> None:
    spec = SaliencySpec(layer="layer2", denoising="original", samples=0)
    normal = model.stain_normalised(tiles[:1]).images
    one = trust_card(model, tiles[0], spec, compute=COMPUTE)
    two = trust_card(model.behind_stain, normal[0], spec, compute=COMPUTE)
    assert one.probability == two.probability and (one.values == two.values).all()
    assert torch.equal(one.curves.deletion, two.curves.deletion) and one.road == two.road
    assert (one.image == normal[0].numpy()).all()
