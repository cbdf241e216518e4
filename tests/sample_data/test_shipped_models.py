"""Every shipped model: its card, its weights, and what it knows of tiles nobody has used."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_smoothsal import load_model, sample_data
from napari_smoothsal.models import Model
from napari_smoothsal.models.loading import builtin_models
from napari_smoothsal.sample_data.adversary import ProjectedGradient
from napari_smoothsal.sample_data.masks import CLASS_NAMES
from napari_smoothsal.sample_data.measuring import UnseenTiles, balanced_accuracy, predict
from napari_smoothsal.sample_data.segmentation_measuring import figures, segment
from napari_smoothsal.sample_data.segmentation_tiles import render_masked_tiles
from napari_smoothsal.sample_data.tiles import render_tiles
from napari_smoothsal.sample_data.train_robust import RADIUS

FOLDER = Path(sample_data.__file__).parent / "models"
SEGMENTERS = ("demo-segmenter",)
CLASSIFIERS = ("demo-classifier", "demo-classifier-robust", "demo-vgg")
UNSEEN_SEED = 6_000_000  # neither trained on nor among the tiles measured for the cards


@pytest.fixture(scope="module", params=[*CLASSIFIERS, *SEGMENTERS])
def model(request: pytest.FixtureRequest) -> Model:
    return load_model(request.param)


@pytest.fixture(scope="module")
def tiles() -> UnseenTiles:
    return UnseenTiles(*render_tiles(UNSEEN_SEED, 24, 0.5))


def test_these_are_all() -> None:
    assert sorted((*CLASSIFIERS, *SEGMENTERS)) == builtin_models()


def test_the_card_is_of_these_weights_and_says_what_it_is_for(model: Model) -> None:
    weights = FOLDER / model.card.name / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == model.card.weights_sha256
    assert weights.stat().st_size <= 5_000_000
    assert "NOT for diagnosis" in (model.card.intended_use or "")
    assert "sample slide was not used" in (model.card.training_data or "")
    assert model.card.metrics
    assert model.card.notes
    assert all(torch.isfinite(v).all() for v in model.module.state_dict().values())


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_have_the_same_classes_and_resolution(name: str) -> None:
    card = load_model(name).card
    assert (card.kind, card.class_names) == ("classification", ("normal", "tumour"))
    assert (card.background, card.default_target) == ("normal", "tumour")
    assert (card.input_size, card.input_mpp, card.input_mpp_range) == (224, 0.5, (0.25, 0.5))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_know_unseen_synthetic_tiles(name: str, tiles: UnseenTiles) -> None:
    predicted = predict(load_model(name).module, tiles)
    assert balanced_accuracy(tiles.labels, predicted) >= 0.9


def test_the_robust_classifier_withstands_what_misleads_the_other(tiles: UnseenTiles) -> None:
    attack = ProjectedGradient(RADIUS, steps=5)
    robust, usual = (
        balanced_accuracy(tiles.labels, predict(load_model(name).module, tiles, attack))
        for name in ("demo-classifier-robust", "demo-classifier")
    )
    assert robust >= usual + 0.2


def test_the_segmenters_card_names_classes_and_resolution() -> None:
    card = load_model("demo-segmenter").card
    assert (card.kind, card.class_names) == ("segmentation", CLASS_NAMES)
    assert (card.background, card.default_target) == ("background", "tumour nucleus")
    assert (card.input_size, card.input_mpp) == (1536, 0.5)
    assert "pseudo-masks" in (card.training_data or "")
    assert card.metrics["synthetic_unseen_0.5_mpp"]["n"] >= 100
    assert min(card.metrics["synthetic_unseen_0.5_mpp"]["dice"].values()) >= 0.8


def test_the_segmenter_finds_the_nuclei_of_unseen_tiles() -> None:
    images, masks = render_masked_tiles(UNSEEN_SEED, 12)
    found = figures(masks, segment(load_model("demo-segmenter").module, images))
    assert min(found["dice"].values()) >= 0.8


def test_the_segmenter_takes_empty_glass_for_background() -> None:
    glass = np.stack([np.full((128, 128, 3), grey, np.uint8) for grey in (255, 243, 230)])
    assert not segment(load_model("demo-segmenter").module, glass).any()
