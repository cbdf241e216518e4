"""Training: repeatable to the last bit, and the folders it writes are what they say."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_smoothsal import load_model
from napari_smoothsal.evaluation.overlap import IGNORED
from napari_smoothsal.sample_data import train_classifier, train_segmenter, train_vgg
from napari_smoothsal.sample_data.adversary import ProjectedGradient
from napari_smoothsal.sample_data.classification import LabelledTiles, card_fields
from napari_smoothsal.sample_data.classification import loss as class_loss
from napari_smoothsal.sample_data.model_folder import build, write_model
from napari_smoothsal.sample_data.train_segmenter import MaskedTiles
from napari_smoothsal.sample_data.train_segmenter import loss as mask_loss
from napari_smoothsal.sample_data.training import Schedule, as_tensor, make_deterministic, train

SHORT = Schedule(steps=3, rate=1e-3, seed=1, side=64, batch=8)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    make_deterministic()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def labelled() -> LabelledTiles:
    images = np.random.default_rng(0).integers(0, 256, (8, 96, 96, 3), dtype=np.uint8)
    return LabelledTiles(as_tensor(images), torch.tensor([0, 1] * 4))


def masked() -> MaskedTiles:
    images = np.random.default_rng(0).integers(0, 256, (8, 96, 96, 3), dtype=np.uint8)
    masks = torch.from_numpy((images[..., 0] // 86).astype(np.uint8))
    masks[:, :20] = IGNORED
    return MaskedTiles(as_tensor(images), masks)


TRAININGS = {
    "classifier": (train_classifier.ARCHITECTURE, labelled, class_loss, None),
    "vgg": (train_vgg.ARCHITECTURE, labelled, class_loss, None),
    "robust": (train_classifier.ARCHITECTURE, labelled, class_loss, ProjectedGradient(1.0, 2)),
    "segmenter": (train_segmenter.ARCHITECTURE, masked, mask_loss, None),
}


def weights_after(name: str, schedule: Schedule = SHORT) -> dict[str, torch.Tensor]:
    architecture, pool, loss, disturb = TRAININGS[name]
    torch.manual_seed(0)
    model = build(architecture)
    train(model, [pool(), pool()], loss, schedule, disturb)
    assert not model.training
    return model.state_dict()


@pytest.mark.parametrize("name", TRAININGS)
def test_a_second_training_gives_the_same_bits(name: str) -> None:
    first, second = weights_after(name), weights_after(name)
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = weights_after(name, Schedule(steps=3, rate=1e-3, seed=2, side=64, batch=8))
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_adversarial_training_sees_other_tiles() -> None:
    plain, robust = weights_after("classifier"), weights_after("robust")
    assert not torch.equal(plain["conv1.weight"], robust["conv1.weight"])


def test_the_loss_of_masks_leaves_ignored_pixels_out() -> None:
    logits = torch.randn(2, 3, 8, 8, requires_grad=True)
    masks = torch.randint(0, 3, (2, 8, 8))
    masks[:, :4] = IGNORED
    mask_loss(logits, masks).backward()
    assert logits.grad is not None
    assert (logits.grad[:, :, :4] == 0).all()
    assert (logits.grad[:, :, 4:] != 0).all()


def test_the_loss_of_masks_is_least_for_the_right_answer() -> None:
    masks = torch.randint(0, 3, (2, 8, 8))
    right = 20 * torch.nn.functional.one_hot(masks, 3).movedim(-1, 1).float()
    assert float(mask_loss(right, masks)) < 1e-3
    assert float(mask_loss(-right, masks)) > 1.5


def test_a_written_folder_loads_and_describes_its_weights(tmp_path: Path) -> None:
    network = build(train_vgg.ARCHITECTURE)
    fields = card_fields("made up", train_vgg.ARCHITECTURE, {"n": 3}, "no notes")
    write_model(tmp_path / "model", network, fields)
    model = load_model(tmp_path / "model")
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(model.module(images), network.eval()(images))
    card = json.loads((tmp_path / "model" / "card.json").read_text(encoding="utf-8"))
    weights = (tmp_path / "model" / "model.safetensors").read_bytes()
    assert card["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert card["metrics"] == {"n": 3}
