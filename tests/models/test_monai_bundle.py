"""MONAI's pathology bundle, read as data, against what MONAI builds of the same files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from napari_smoothsal import Compute, SaliencySpec, explain_tiles, load_model
from napari_smoothsal.core.errors import ModelError

METADATA: dict[str, Any] = {
    "version": "0.6.2",
    "name": "Pathology tumor detection",
    "data_source": "Camelyon dataset",
    "intended_use": "an example",
    "network_data_format": {
        "inputs": {
            "image": {"num_channels": 3, "spatial_shape": [224, 224], "value_range": [0, 255]}
        },
        "outputs": {"pred": {"type": "probability", "channel_def": {"0": "metastasis"}}},
    },
}
INFERENCE: dict[str, Any] = {
    "imports": ["$import os"],
    "device": "$torch.device('cpu')",
    "network_def": {
        "_target_": "TorchVisionFCModel",
        "model_name": "resnet18",
        "num_classes": 1,
        "use_conv": True,
        "pretrained": True,
    },
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "CastToTyped", "keys": "image", "dtype": "float32"},
            {
                "_target_": "ScaleIntensityRanged",
                "keys": "image",
                "a_min": 0.0,
                "a_max": 255.0,
                "b_min": -1.0,
                "b_max": 1.0,
            },
            {"_target_": "ToTensord", "keys": "image"},
        ],
    },
}


def monai_network(**arguments: Any) -> nn.Module:
    """Built by MONAI, but for the weights that it would download."""
    parser = ConfigParser({"net": {**INFERENCE["network_def"], **arguments, "pretrained": False}})
    network: nn.Module = parser.get_parsed_content("net")
    return network.eval()


def bundle(folder: Path, network: nn.Module, metadata: Any = METADATA, **changed: Any) -> Path:
    (folder / "configs").mkdir()
    (folder / "models").mkdir()
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps({**INFERENCE, **changed}))
    (folder / "LICENSE").write_text("\n   Apache License\n   Version 2.0, January 2004\n")
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def test_the_logits_are_monais(tmp_path: Path) -> None:
    network = monai_network()
    model = load_model(bundle(tmp_path, network))
    images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    steps = ConfigParser({"p": INFERENCE["preprocessing"]}).get_parsed_content("p")
    scaled = torch.stack([steps({"image": image})["image"] for image in images])
    expected = network(scaled)[:, :, 0, 0].detach()
    spec = SaliencySpec(layer="features.7", method="gradient", samples=0)
    found = explain_tiles(model, images, spec, Compute(device="cpu", precision="fp32"))
    assert (found.logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    card = model.card
    assert card.class_names == ("metastasis",) and card.input_mpp is None
    assert card.licence == "Apache-2.0" and "resolution" in str(card.notes)
    assert card.mean == pytest.approx((0.5,) * 3) and card.std == pytest.approx((0.5,) * 3)


@pytest.mark.parametrize(
    "arguments",
    [
        {"use_conv": False, "num_classes": 4},
        {"pool": None, "use_conv": False},
        {"pool": ["adaptiveavg", {"output_size": 1}], "model_name": "resnet34"},
    ],
)
def test_other_heads_are_monais_too(tmp_path: Path, arguments: dict[str, Any]) -> None:
    network = monai_network(**arguments)
    changed = {**INFERENCE["network_def"], **arguments}
    module = load_model(bundle(tmp_path, network, network_def=changed)).module
    image = torch.rand(1, 3, 224, 224)
    assert torch.equal(module(image).flatten(), network(image).flatten())


def test_a_reference_is_followed_and_an_expression_is_not(tmp_path: Path) -> None:
    network = {**INFERENCE["network_def"], "num_classes": "@classes"}
    folder = bundle(tmp_path, monai_network(), network_def=network, classes=1)
    assert load_model(folder).card.class_names == ("metastasis",)
    canary = tmp_path / "ran"
    config = {**INFERENCE, "network_def": network, "classes": f"$open({str(canary)!r}, 'w')"}
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="expression"):
        load_model(folder)
    config["classes"] = "@classes"
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="no plain value"):
        load_model(folder)
    assert not canary.exists()


def other_input(**fields: Any) -> dict[str, Any]:
    image = {**METADATA["network_data_format"]["inputs"]["image"], **fields}
    data = {**METADATA["network_data_format"], "inputs": {"image": image}}
    return {**METADATA, "network_data_format": data}


@pytest.mark.parametrize(
    ("metadata", "changed", "says"),
    [
        (METADATA, {"network_def": {"_target_": "HoVerNet"}}, "HoVerNet"),
        (METADATA, {"network_def": {"_target_": "os.system", "command": "x"}}, "os.system"),
        (METADATA, {"network_def": "$make()"}, "expression"),
        (other_input(num_channels=4), {}, "4 channels"),
        (other_input(spatial_shape=[64, 128]), {}, "shape"),
        ({**METADATA, "network_data_format": {}}, {}, "num_channels"),
        (METADATA, {"preprocessing": {"_target_": "NormalizeIntensityd"}}, "NormalizeIntensityd"),
        (METADATA, {"preprocessing": None}, "preprocessing"),
    ],
)
def test_what_cannot_be_read_as_data_is_refused(
    tmp_path: Path, metadata: dict[str, Any], changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        load_model(bundle(tmp_path, nn.Identity(), metadata, **changed))
