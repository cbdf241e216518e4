"""Networks of torchvision by name and file, against torchvision's own preprocessing and forward."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import ResNet34_Weights, get_model

from napari_smoothsal import Compute, explain_tiles, load_model
from napari_smoothsal.core.errors import ModelError, UnknownNameError
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.slides.labelled_folder import LabelledFolder


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return get_model("resnet34", weights=None).eval()


@pytest.fixture(scope="module")
def file(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet34-b627a593.pth"
    torch.save(network.state_dict(), path)
    return path


def test_an_image_has_torchvisions_logits(network, file: Path, tmp_path: Path) -> None:
    model = load_model(f"torchvision:resnet34:{file}")
    generator = np.random.default_rng(0)
    (tmp_path / "val").mkdir()
    small = Image.fromarray(generator.integers(0, 256, (20, 27, 3), np.uint8))
    picture = small.resize((401, 300), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "val" / "a.png")
    (tmp_path / "val.csv").write_text("file,label\na.png,7\n")
    tiles = LabelledFolder(
        *(tmp_path / "val", model.readout.outcomes, model.card.input_size),
        shorter_side=256,
        labels=tmp_path / "val.csv",
    )
    preset = ResNet34_Weights.IMAGENET1K_V1.transforms()
    with torch.no_grad():
        expected = network(preset(picture)[None])
    spec = SaliencySpec(layer="layer1", samples=0, target=tiles.labels[0])
    found = explain_tiles(model, tiles.images([0]), spec, Compute(device="cpu", precision="fp32"))
    assert tiles.labels == [7]
    # torchvision rounds nothing after resizing a picture: both see the same uint8.
    assert (found.logits - expected).abs().max() < 1e-5 * expected.abs().max()
    assert model.card.class_names[7] == "cock" and model.card.input_mpp is None


def test_safetensors_hold_the_same(network, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "mine.safetensors"
    save_file(network.state_dict(), other)
    one, two = (load_model(f"torchvision:resnet34:{f}") for f in (file, other))
    assert one.parameters_sha256 == two.parameters_sha256


def test_sub_folders_of_imagenet_are_its_classes_in_order(tmp_path: Path) -> None:
    names = ["n01440764", "n01443537", "n01484850"]
    for name in reversed(names):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "a.png")
    assert LabelledFolder(tmp_path, ["tench", "goldfish", "shark"], 8).labels == [0, 1, 2]
    with pytest.raises(Exception, match="n01440764"):
        LabelledFolder(tmp_path, ["tench", "goldfish", "shark", "ray"], 8)


class Code:
    """Runs something where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("torchvision:resnet35:{file}", UnknownNameError, "resnet34"),
        ("torchvision:resnet34:{hello}", ModelError, "without running code"),
        ("torchvision:resnet34:nowhere.pth", ModelError, "no file of weights 'nowhere.pth'"),
        ("torchvision:resnet34", ModelError, "torchvision:NAME:FILE"),
        (
            "torchvision:resnet18:{file}",
            ModelError,
            "'resnet18': the weights do not fit",
        ),
        ("torchvision:resnet34:{text}", ModelError, "without running code"),
        ("torchvision:resnet34:{code}", ModelError, "without running code"),
        ("torchvision:resnet34:{tensor}", ModelError, "no state dict"),
    ],
)
def test_what_is_refused(source: str, error, words: str, file: Path, tmp_path: Path) -> None:
    names = ("text", "hello", "code", "tensor")
    text, hello, code, tensor = (tmp_path / f"{name}.pth" for name in names)
    hello.write_text("hello world")
    canary = tmp_path / "ran"
    text.write_text("weights")
    code.write_bytes(pickle.dumps({"conv1.weight": Code(canary)}))
    torch.save(torch.zeros(1), tensor)
    with pytest.raises(error, match=words):
        load_model(source.format(file=file, text=text, hello=hello, code=code, tensor=tensor))
    assert not canary.exists()
