"""What the command line says of a network's end, and of TorchScript."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import smoothsal
from tiff_slides import written
from torch import nn

from napari_smoothsal import open_run
from napari_smoothsal.models import Model

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    pixels = np.full((200, 200, 3), 240, np.uint8)
    pixels[40:160, 40:160] = np.random.default_rng(0).integers(60, 220, (120, 120, 3))
    return written(tmp_path / "case.tif", pixels)


@pytest.fixture
def program(classifier: Model, tmp_path: Path) -> Path:
    """A folder with a program that ends in a softmax."""
    folder = tmp_path / "program"
    folder.mkdir()
    network = nn.Sequential(classifier.module, nn.Softmax(1)).eval()
    torch.jit.trace(network, torch.zeros(2, 3, 64, 64)).save(str(folder / "torchscript_model.pt"))
    (folder / "card.json").write_text(json.dumps(classifier.card.model_dump(mode="json")))
    return folder


@pytest.mark.filterwarnings("ignore:slide 'case':UserWarning")  # it has no nuclei
def test_a_program_predicts_what_its_network_does(
    slide: Path, program: Path, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    given = ("run", slide, "--predict-only", "--tissue", "all", "--out")
    result = smoothsal(*given, tmp_path / "a", "--model", program, "--torchscript")
    assert result.exit_code == 0, result.output
    assert "probabilities (softmax, by the probe tiles)" in result.output
    assert smoothsal(*given, tmp_path / "b", "--model", model_folder_of_classifier).exit_code == 0
    one, two = (open_run(tmp_path / name) for name in "ab")
    assert not one.maps and len(one.tiles) > 4
    assert np.allclose(one.tiles.p_tumour, two.tiles.p_tumour, atol=1e-5)


def test_maps_of_a_program_are_refused_before_it_is_read(slide: Path, tmp_path: Path) -> None:
    result = smoothsal("run", slide, "--model", tmp_path / "nowhere", "--torchscript")
    assert result.exit_code == 2
    assert "--torchscript needs --predict-only" in " ".join(result.output.split())


def test_layers_say_what_was_left_out(
    classifier: Model, model_folder_of_classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "left out" not in smoothsal("layers", model_folder_of_classifier).output
    headed = Model(nn.Sequential(classifier.module, nn.Softmax(1)).eval(), classifier.card)
    monkeypatch.setattr("napari_smoothsal.models.load_model", lambda *_, **__: headed)
    result = smoothsal("layers", "any")
    assert "softmax at its end is left out: scores and maps are of the logits" in result.output
