"""What the tests of several rooms share: the real slides, small models, small slides."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch  # before Qt: on Windows torch cannot be loaded once Qt is
from safetensors.torch import save_file
from two_class_card import two_class_card

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models import Model
from napari_smoothsal.models.architectures import NarrowResNet18, NarrowUNet

GET_DATA = (
    "set SMOOTHSAL_DATA to a folder whose sub-folder slides/ holds CMU-1-Small-Region.svs and the "
    "same slide as DICOM in CMU-1-Small-Region-dicom/ (CC0, OpenSlide test data): "
    "https://openslide.cs.cmu.edu/download/openslide-testdata/Aperio/CMU-1-Small-Region.svs"
)


@pytest.fixture(scope="session")
def real_slides() -> Path:
    """Folder ``slides`` of the data; the tests that need it are skipped without."""
    folder = os.environ.get("SMOOTHSAL_DATA")
    if not folder:
        pytest.skip(GET_DATA)
    slides = Path(folder).resolve() / "slides"
    assert (slides / "CMU-1-Small-Region.svs").exists(), GET_DATA
    return slides


def random_classifier() -> Model:
    """A ResNet-18 layout with random weights, for tiles of 64 px at 0.5 um/px."""
    torch.manual_seed(0)
    return Model(NarrowResNet18(width=8).eval(), two_class_card("random"))


@pytest.fixture
def classifier() -> Model:
    return random_classifier()


@pytest.fixture
def model_folder_of_classifier(classifier: Model, tmp_path: Path) -> Path:
    """The same as a folder that `load_model` reads."""
    folder = tmp_path / "model"
    folder.mkdir()
    weights = folder / "model.safetensors"
    save_file(classifier.module.state_dict(), weights)
    card = classifier.card.model_dump(mode="json")
    card["architecture"] = {"library": "napari_smoothsal", "name": "narrow_resnet18", "width": 8}
    card["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@pytest.fixture(scope="session")
def segmenter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow U-Net with random weights on 128 px tiles, as a folder that `load_model` reads."""
    folder = tmp_path_factory.mktemp("models") / "tiny-unet"
    folder.mkdir()
    torch.manual_seed(0)
    shape = {"width": 4, "num_classes": 3, "decoder_channels": (8, 8, 4, 4, 4)}
    save_file(NarrowUNet(**shape).state_dict(), folder / "model.safetensors")
    card = ModelCard(
        name="tiny-unet",
        kind="segmentation",
        class_names=("background", "normal", "tumour"),
        background="background",
        default_target="tumour",
        input_size=128,
        input_mpp=0.5,
        mean=(0.7, 0.5, 0.7),
        std=(0.2, 0.2, 0.2),
        architecture={"library": "napari_smoothsal", "name": "narrow_unet", **shape},
    )
    (folder / "card.json").write_text(card.model_dump_json(), encoding="utf-8")
    return folder
