"""No name in a file reaches a model hub, a path, or more memory than the file is worth."""

import json
import socket
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf
from torch import nn

from napari_smoothsal import load_model
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError, SmoothsalError
from napari_smoothsal.models.libraries import network_of
from napari_smoothsal.models.weights import filled


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: object, **_named: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)


def card(**architecture: object) -> ModelCard:
    fields = {"kind": "classification", "class_names": ("a", "b"), "input_size": 64}
    return ModelCard(name="m", mean=(0.0,) * 3, std=(1.0,) * 3, architecture=architecture, **fields)


@pytest.mark.parametrize(
    "architecture",
    [
        {"library": "timm", "name": "hf-hub:someone/model"},
        {"library": "timm", "name": "local-dir:/etc"},
        {"library": "timm", "name": "resnet18", "pretrained_cfg": {"file": "/etc/passwd"}},
        {"library": "timm", "name": "resnet18", "checkpoint_path": "/etc/passwd"},
        {"library": "smp", "name": "Unet", "encoder_name": "tu-hf-hub:someone/model"},
        {"library": "smp", "name": "Unet", "encoder_name": "tu-local-dir:/etc"},
        {"library": "smp", "name": "Unet", "encoder_name": "tu-nothing"},
        {"library": "smp", "name": "DPT", "encoder_name": "tu-hf_hub:someone/model"},
        {"library": "torchvision", "name": "quantized_resnet18"},
    ],
)
def test_a_name_of_a_place_is_refused(architecture: dict) -> None:
    with pytest.raises(SmoothsalError):
        network_of(card(**architecture), {"weight": torch.zeros(1)})


@pytest.mark.parametrize(
    "architecture",
    [
        {"library": "timm", "name": "resnet18", "pretrained": True, "num_classes": 2},
        {"library": "torchvision", "name": "resnet18", "weights": "DEFAULT", "num_classes": 2},
    ],
)
def test_what_would_fetch_weights_is_left_out(architecture: dict) -> None:
    state = timm.create_model("resnet18", num_classes=2).state_dict()
    assert isinstance(network_of(card(**architecture), state), nn.Module)


def test_an_encoder_of_smp_is_not_fetched(tmp_path: Path) -> None:
    smp.Unet("resnet18", encoder_weights=None).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "encoder_weights": "imagenet"}))
    assert load_model(tmp_path).card.kind == "segmentation"


def test_arguments_that_would_fetch_do_not_go_into_the_card(tmp_path: Path) -> None:
    save_for_hf(timm.create_model("resnet18", num_classes=2), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["model_args"] = {"checkpoint_path": "somebody/weights.pt"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "somebody" not in str(load_model(tmp_path).card)


@pytest.mark.parametrize(
    "architecture",
    [
        {"library": "timm", "name": "vit_tiny_patch16_224", "depth": 2**20},
        {"library": "timm", "name": "resnet18", "layers": [2**20, 1, 1, 1]},
        {"library": "timm", "name": "swin_tiny_patch4_window7_224", "img_size": 2**14},
        {"library": "timm", "name": "vit_tiny_patch16_224", "embed_dim": 2**19},
        {"library": "smp", "name": "Unet", "decoder_channels": [8] * 300},
    ],
)
@pytest.mark.timeout(60)
def test_an_architecture_is_no_larger_than_its_weights(architecture: dict) -> None:
    state = timm.create_model("resnet18", num_classes=2).state_dict()
    with pytest.raises(ModelError):
        network_of(card(**architecture), state)


def test_names_that_a_network_does_not_have_take_no_memory() -> None:
    whole = torch.zeros(1000)
    state = {"weight": whole.reshape(1, 1000), "bias": torch.zeros(1)}
    extra = {f"other{i}": whole for i in range(10_000)}
    cloned = []
    original = torch.Tensor.clone
    torch.Tensor.clone = lambda self, **k: cloned.append(1) or original(self, **k)
    try:
        with pytest.raises(ModelError, match="10000 not of the network"):
            filled(lambda: nn.Linear(1000, 1), {**state, **extra}, "it")
    finally:
        torch.Tensor.clone = original
    assert not cloned


def test_a_hash_is_verified_in_every_format(tmp_path: Path) -> None:
    network = timm.create_model("resnet18", num_classes=2)
    save_for_hf(network, tmp_path)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    for source in (tmp_path, f"timm:resnet18:{tmp_path / 'w.safetensors'}"):
        with pytest.raises(ModelError, match="not the file the card describes"):
            load_model(source, card={"weights_sha256": "0" * 64})
