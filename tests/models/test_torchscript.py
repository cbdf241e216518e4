"""TorchScript: run where it is asked for, for predictions alone."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from napari_smoothsal import Compute, SaliencySpec, explain_tiles, load_model
from napari_smoothsal.core.errors import ModelError, SettingError
from napari_smoothsal.models import Model
from napari_smoothsal.models.architectures import NarrowResNet18, NarrowUNet
from napari_smoothsal.models.weights import read_weights

pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]
CPU = Compute(device="cpu", precision="fp32")


def resnet(classes: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return NarrowResNet18(width=4, num_classes=classes).eval()


def folder_of(module: nn.Module, folder: Path, *names: str, frozen: bool = False, **fields) -> Path:
    script = torch.jit.trace(module.eval(), torch.zeros(2, 3, 64, 64))
    script = torch.jit.freeze(script) if frozen else script
    script.save(str(folder / "torchscript_model.pt"))
    card = {
        "name": "scripted",
        "kind": "classification",
        "class_names": names or ("n", "t"),
        "input_size": 64,
        "input_mpp": 0.5,
        "mean": (0.7, 0.5, 0.6),
        "std": (0.2, 0.2, 0.2),
    }
    (folder / "card.json").write_text(json.dumps(card | fields))
    return folder


@pytest.mark.parametrize("frozen", [False, True])
def test_predictions_are_those_of_the_eager_network(tmp_path: Path, frozen: bool) -> None:
    net = resnet()
    model = load_model(folder_of(net, tmp_path, frozen=frozen), torchscript=True)
    images = torch.randn(3, 3, 64, 64)
    assert model.predicts_only and model.removed_head is None and model.adaptations == ()
    assert torch.allclose(model.module(images), net(images), atol=1e-5)
    # The file itself, or one of another name.
    assert load_model(tmp_path / "torchscript_model.pt", torchscript=True).predicts_only


def test_a_file_alone_needs_a_card(tmp_path: Path) -> None:
    net = resnet()
    folder_of(net, tmp_path)
    fields = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").unlink()
    file = tmp_path / "torchscript_model.pt"
    with pytest.raises(SettingError, match=r"alone does not say .* class_names has to be given"):
        load_model(file, torchscript=True)
    model = load_model(file, torchscript=True, card=fields)
    images = torch.randn(1, 3, 64, 64)
    assert torch.allclose(model.module(images), net(images), atol=1e-5)
    # Its programs are compressed, which weights never are.
    with pytest.raises(ModelError, match="is TorchScript, whose hidden layers"):
        read_weights(file)


def test_a_softmax_is_undone_by_the_logarithm(tmp_path: Path) -> None:
    net = resnet(3)
    folder = folder_of(nn.Sequential(net, nn.Softmax(1)), tmp_path, "a", "b", "c")
    model, images = load_model(folder, torchscript=True), torch.randn(3, 3, 64, 64)
    assert model.removed_head == "softmax" and "logarithm" in model.adaptations[0]
    assert torch.allclose(model.module(images), net(images).log_softmax(1), atol=1e-5)


def test_a_sigmoid_is_undone_by_its_inverse_and_logits_are_not(tmp_path: Path) -> None:
    net, images = resnet(1), torch.randn(3, 3, 64, 64)
    headed = load_model(
        folder_of(nn.Sequential(net, nn.Sigmoid()), tmp_path, "t"), torchscript=True
    )
    assert headed.removed_head == "sigmoid" and "inverse" in headed.adaptations[0]
    assert torch.allclose(headed.module(images), net(images), atol=1e-4)
    bare = load_model(folder_of(net, tmp_path, "t"), torchscript=True)
    assert bare.removed_head is None
    assert torch.equal(bare.module(images), net(images))


def test_sigmoids_of_several_classes_are_told(tmp_path: Path) -> None:
    folder = folder_of(nn.Sequential(resnet(), nn.Sigmoid()), tmp_path)
    with pytest.warns(UserWarning, match="need not exclude each other"):
        assert load_model(folder, torchscript=True).removed_head == "sigmoid"


def test_what_has_no_layers_is_not_explained(tmp_path: Path) -> None:
    model = load_model(folder_of(resnet(), tmp_path), torchscript=True)
    tiles = torch.rand(1, 3, 64, 64)
    for ask in (
        model.layers,
        lambda: model.layer("layer1"),
        lambda: explain_tiles(model, tiles, SaliencySpec(layer="input"), CPU),
    ):
        with pytest.raises(ModelError, match=r"TorchScript.*build the eager network.*state dict"):
            ask()


def test_it_is_never_run_unasked(tmp_path: Path) -> None:
    folder_of(resnet(), tmp_path)
    with pytest.raises(ModelError, match="torchscript=True"):
        load_model(tmp_path / "torchscript_model.pt")
    with pytest.raises(ModelError):
        load_model(tmp_path)
    script = torch.jit.load(str(tmp_path / "torchscript_model.pt"))
    card = load_model(tmp_path, torchscript=True).card
    for given in (script, nn.Sequential(script)):
        with pytest.raises(ModelError, match="hidden layers cannot be reached"):
            Model(given, card)


def test_decisions_per_pixel(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = NarrowUNet(width=4, num_classes=3, decoder_channels=(8, 8, 4, 4, 4)).eval()
    fields = {"kind": "segmentation", "input_size": 96}
    model = load_model(folder_of(net, tmp_path, "b", "n", "t", **fields), torchscript=True)
    assert model.unit == 32 and model.output.stride == (1, 1) and model.output.channels == 3
    assert model.halo(96) == Model(net, model.card).halo(96)


def test_weights_that_are_constants_have_a_hash(tmp_path: Path) -> None:
    hashes = set()
    for seed in (0, 1):
        torch.manual_seed(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        folder_of(NarrowResNet18(width=4).eval(), folder, frozen=True)
        hashes.add(load_model(folder, torchscript=True).parameters_sha256)
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda f: (f / "card.json").unlink(), "no model folder"),
        (lambda f: (f / "torchscript_model.pt").unlink(), "no TorchScript file"),
        (lambda f: (f / "torchscript_model.pt").write_text("weights"), "is no TorchScript program"),
        (
            lambda f: torch.save(resnet().state_dict(), f / "torchscript_model.pt"),
            "is no TorchScript program",
        ),
        (
            lambda f: (f / "card.json").write_text(
                (f / "card.json").read_text().replace('"input_size": 64', '"input_size": 1')
            ),
            "input_size",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, break_it, words: str) -> None:
    class Sized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3 * 64 * 64, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.flatten(1))

    folder_of(Sized(), tmp_path)
    break_it(tmp_path)
    with warnings.catch_warnings(), pytest.raises(ModelError, match=words):
        load_model(tmp_path, torchscript=True)


def test_a_surrogate_has_no_use_beside_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="surrogate or a calibration"):
        load_model(folder_of(resnet(), tmp_path), surrogate=tmp_path, torchscript=True)
