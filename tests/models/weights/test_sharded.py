"""Weights in several files: all of them, from the folder of the index and nowhere else."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf

from napari_smoothsal import load_model
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.weights import read_sharded

STATE = {f"layer{i}.weight": torch.full((2,), float(i)) for i in range(5)}


def sharded(folder: Path, state: dict[str, torch.Tensor], **changed: str) -> Path:
    """In two files, with the index of a model hub."""
    names = list(state)
    halves = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for file, held in halves.items():
        save_file({name: state[name] for name in held}, folder / file)
    places = {name: file for file, held in halves.items() for name in held} | changed
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def test_all_files_are_joined(tmp_path: Path) -> None:
    found = read_sharded(sharded(tmp_path, STATE))
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


def test_a_folder_of_timm_in_parts(tmp_path: Path) -> None:
    network = timm.create_model("resnet18", num_classes=2).eval()
    save_for_hf(network, tmp_path, safe_serialization=True)
    (tmp_path / "model.safetensors").unlink()
    sharded(tmp_path, network.state_dict())
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(load_model(tmp_path).module(image), network(image))


@pytest.mark.parametrize(
    "file", ["../one.safetensors", "/etc/passwd", "a\\b", "", "none.safetensors"]
)
def test_a_file_elsewhere_or_nowhere_is_refused(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file(STATE, tmp_path / "one.safetensors")
    with pytest.raises(ModelError, match=r"cannot be used|there is no file"):
        read_sharded(sharded(folder, STATE, **{"layer0.weight": file}))


def test_an_index_that_its_files_contradict_is_refused(tmp_path: Path) -> None:
    index = sharded(tmp_path, STATE, **{"layer0.weight": "two.safetensors"})
    with pytest.raises(ModelError, match=r"does not hold 'layer0\.weight'"):
        read_sharded(index)
    index.write_text(json.dumps({"weight_map": ["one.safetensors"]}))
    with pytest.raises(ModelError, match="weight_map"):
        read_sharded(index)
