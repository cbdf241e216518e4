"""A zoo's model on a slide predicts what the zoo's own way of cutting patches predicts."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import transforms

from napari_smoothsal import Compute, explain_slide, load_model, open_slide
from napari_smoothsal.slides.sample import sample_slide_path

PATCH_PX, SIDE = 350, 224
NORMAL = {"mean": [0.7238, 0.5716, 0.6779], "std": [0.112, 0.1459, 0.1089]}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    folder = tmp_path_factory.mktemp("zoo") / "breast-tumor-resnet18"
    folder.mkdir()
    torch.manual_seed(1)
    network = timm.create_model("resnet18", num_classes=2).eval()
    save_file(network.state_dict(), folder / "model.safetensors")
    transform = [
        {"name": "Resize", "arguments": {"size": SIDE}},
        {"name": "ToTensor"},
        {"name": "Normalize", "arguments": NORMAL},
    ]
    config = {"spec_version": "1.0", "architecture": "resnet18", "num_classes": 2}
    config |= {"class_names": ["notumor", "tumor"], "transform": transform}
    config |= {"patch_size_pixels": PATCH_PX, "spacing_um_px": 0.25}
    (folder / "config.json").write_text(json.dumps(config))
    return folder, network


def test_patches_are_cut_and_resized_as_the_zoo_does(
    zoo: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    folder, network = zoo
    theirs = transforms.Compose(
        [transforms.Resize(SIDE), transforms.ToTensor(), transforms.Normalize(**NORMAL)]
    )
    model = load_model(folder)
    compute = Compute(device="cpu", precision="fp32")
    with sample_slide_path() as path, open_slide(path, mpp=0.25) as slide:
        run = explain_slide(
            *(slide, model, []),
            out=tmp_path / "zoo.smoothsal.zarr",
            region=(1000, 1000, 1100, 800),
            compute=compute,
            progress=False,
        )
        tiles = run.tiles
        assert len(tiles) >= 4 and (tiles["w_px"] == PATCH_PX).all()
        for tile in tiles.itertuples():
            x, y = round(tile.x_px), round(tile.y_px)
            assert (x, y) == (tile.x_px, tile.y_px)
            patch = Image.fromarray(slide.read_region(x, y, PATCH_PX, PATCH_PX))
            with torch.no_grad():
                expected = network(theirs(patch)[None]).softmax(1)[0, 1]
            assert tile.p_tumor == pytest.approx(float(expected), abs=1e-5)
    assert np.ptp(tiles["p_tumor"]) > 1e-4  # the network does look at them
