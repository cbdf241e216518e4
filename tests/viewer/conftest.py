"""Fixtures of the viewer's tests: a small model folder, painted slides, an engine that ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Before Qt: on Windows torch's libraries cannot be loaded once Qt's are.
import torch
from viewer_pictures import tissue, write_tiff

from napari_smoothsal.core.card import ModelCard

CARD = ModelCard(
    name="tiny",
    kind="classification",
    class_names=("normal", "tumour"),
    default_target="tumour",
    background="normal",
    input_size=64,
    input_mpp=0.5,
    mean=(0.7, 0.5, 0.7),
    std=(0.2, 0.2, 0.2),
    architecture={
        "library": "napari_smoothsal",
        "name": "narrow_resnet18",
        "width": 4,
        "num_classes": 2,
    },
)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow ResNet-18 with random weights on 64 px tiles."""
    from safetensors.torch import save_file

    from napari_smoothsal.models.architectures import NarrowResNet18

    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    torch.manual_seed(0)
    save_file(NarrowResNet18(4, 2).state_dict(), folder / "model.safetensors")
    card = CARD.model_dump(mode="json")
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


@pytest.fixture
def tiff_slide(tmp_path: Path) -> Path:
    """A tiled pyramidal TIFF of tissue, 0.5 um per pixel, that OpenSlide opens."""
    return write_tiff(tmp_path / "case.tif", tissue(700, 900))


@pytest.fixture(scope="module")
def engine(qapp: Any) -> Iterator[Any]:
    """An engine process that the tests of a module share: starting one takes seconds."""
    yield from _ending_engine()


@pytest.fixture
def own_engine(qapp: Any) -> Iterator[Any]:
    """An engine process for a test that ends it."""
    yield from _ending_engine()


def _ending_engine() -> Iterator[Any]:
    from napari_smoothsal.viewer.engine import EngineProcess

    process = EngineProcess()
    yield process
    process.close()
