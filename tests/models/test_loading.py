"""Loading a model folder: complete and consistent, or a clear refusal; never code."""

import json
import pickle
from pathlib import Path

import pytest
import torch

from napari_smoothsal import load_model
from napari_smoothsal.core.errors import (
    ModelError,
    SettingError,
    UnknownNameError,
    UnsafeModelError,
)
from napari_smoothsal.models import Model


@pytest.fixture
def folder(model_folder_of_classifier: Path) -> Path:
    return model_folder_of_classifier


def change(folder: Path, **fields: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **fields}))


def test_a_folder_gives_the_same_network(folder: Path, classifier: Model) -> None:
    loaded = load_model(folder)
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(loaded.module(images), classifier.module(images))
    assert loaded.parameters_sha256 == classifier.parameters_sha256
    assert not loaded.module.training


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".bin"])
def test_a_file_alone_is_refused_and_not_read(tmp_path: Path, suffix: str) -> None:
    file, canary = tmp_path / f"model{suffix}", tmp_path / "ran"
    file.write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ModelError, match=r"timm:NAME:FILE.*card new"):
        load_model(file)
    with pytest.raises(UnsafeModelError, match="safetensors"):
        load_model(f"timm:resnet18:{file}")
    assert not canary.exists()


def test_a_pickle_under_a_safe_name_is_refused(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "ran"
    (folder / "model.safetensors").write_bytes(pickle.dumps(Canary(canary)))
    change(folder, weights_sha256=None)
    with pytest.raises(ModelError):
        load_model(folder)
    assert not canary.exists()


def test_other_weights_than_the_card_describes(folder: Path) -> None:
    change(folder, weights_sha256="0" * 64)
    with pytest.raises(ModelError, match="not the file"):
        load_model(folder)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"architecture": {"library": "timm", "name": "x"}}, UnknownNameError),
        ({"architecture": None}, ModelError),
        ({"architecture": {"library": "napari_smoothsal", "name": "resnet"}}, UnknownNameError),
        (
            {"architecture": {"library": "napari_smoothsal", "name": "narrow_resnet18", "x": 1}},
            ModelError,
        ),
        (
            {"architecture": {"library": "napari_smoothsal", "name": "narrow_resnet18"}},
            ModelError,
        ),
        ({"kind": "detection"}, SettingError),
    ],
)
def test_a_card_that_does_not_fit(folder: Path, fields: dict, error: type) -> None:
    change(folder, **fields)
    with pytest.raises(error):
        load_model(folder)


def test_missing_parts(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="missing"):
        load_model(folder)
    (folder / "card.json").write_text("{" * 100_000)
    with pytest.raises(ModelError, match="JSON"):
        load_model(folder)
    (folder / "card.json").unlink()
    with pytest.raises(ModelError, match="no model folder"):
        load_model(folder)
    with pytest.raises(UnknownNameError):
        load_model("demo-clasifier")


def test_torchscript_is_refused(classifier: Model) -> None:
    scripted = torch.jit.trace(classifier.module, torch.zeros(1, 3, 64, 64))
    with pytest.raises(ModelError, match="TorchScript"):
        Model(scripted, classifier.card)


def test_limits_are_of_the_card_that_they_were_measured_with() -> None:
    assert load_model("demo-classifier", card={"licence": "MIT"}).calibrations
    with pytest.warns(UserWarning, match="limits were measured"):
        assert not load_model("demo-classifier", card={"input_mpp": 0.25}).calibrations
