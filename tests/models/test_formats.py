"""Folders of other projects: the logits are those of the library that made them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.models import save_for_hf
from torch import nn
from torchvision import transforms

from napari_smoothsal import (
    Compute,
    Model,
    SaliencySpec,
    explain_slide,
    explain_tiles,
    load_model,
    open_slide,
)
from napari_smoothsal.core.errors import ModelError, SettingError, UnknownNameError
from napari_smoothsal.slides.sample import sample_slide_path


def logits(model: Model, picture: Image.Image) -> torch.Tensor:
    """Of one tile, by the way that a run takes."""
    image = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None]
    spec = SaliencySpec(layer="input", method="gradient", samples=0)
    return explain_tiles(model, image, spec, Compute(device="cpu", precision="fp32")).logits


def picture(side: int) -> Image.Image:
    coarse = np.random.default_rng(3).integers(0, 256, (side // 8 + 1, side // 8 + 1, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return bool((found - expected.detach()).abs().max() <= 1e-5 * expected.abs().max())


@pytest.mark.parametrize("safe", [True, False])
def test_a_folder_of_timm(tmp_path: Path, safe: bool) -> None:
    network = timm.create_model("resnet18", num_classes=2).eval()
    settings = {"label_names": ["benign", "tumour"]}
    save_for_hf(network, tmp_path, model_config=settings, safe_serialization=safe)
    model = load_model(tmp_path)
    shown = picture(224)
    preset = network.pretrained_cfg
    tensor = transforms.functional.to_tensor(shown)
    expected = network(transforms.functional.normalize(tensor, preset["mean"], preset["std"])[None])
    assert close(logits(model, shown), expected)
    assert model.card.class_names == ("benign", "tumour")
    of_timm = "(by timm's configuration: of these or of the weights before)"
    assert model.card.licence == f"{preset['license']} {of_timm}"
    (tmp_path / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    assert load_model(tmp_path).card.licence == "cc0-1.0"
    assert model.card.input_mpp is None
    assert (model.card.input_size, model.card.mean) == (224, tuple(preset["mean"]))


def test_an_encoder_without_classes_is_refused(tmp_path: Path) -> None:
    save_for_hf(timm.create_model("resnet18", num_classes=0), tmp_path)
    with pytest.raises(ModelError, match="encoder"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("decoder", "encoder", "classes"),
    [("Unet", "resnet18", 3), ("FPN", "resnet18", 1), ("DeepLabV3Plus", "mobilenet_v2", 2)],
)
def test_a_folder_of_smp(tmp_path: Path, decoder: str, encoder: str, classes: int) -> None:
    network = getattr(smp, decoder)(encoder, encoder_weights=None, classes=classes).eval()
    network.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(model.module(image), network(image))
    assert model.card.kind == "segmentation" and len(model.card.class_names) == classes
    assert "normalisation" in str(model.card.notes)
    # Which its README says of any weights, until somebody else writes it.
    assert model.card.licence == "mit (as the library writes beside all models that it saves)"
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    assert load_model(tmp_path).card.licence == "cc-by-4.0"


WSINFER = {
    "spec_version": "1.0",
    "architecture": "resnet34",
    "num_classes": 2,
    "patch_size_pixels": 350,
    "spacing_um_px": 0.25,
    "class_names": ["notumor", "tumor"],
    "transform": [
        {"name": "Resize", "arguments": {"size": 224}},
        {"name": "ToTensor"},
        {
            "name": "Normalize",
            "arguments": {"mean": [0.7238, 0.5716, 0.6779], "std": [0.112, 0.1459, 0.1089]},
        },
    ],
    "model_type": "further fields are passed over",
}


@pytest.fixture(scope="module")
def resnet34() -> nn.Module:
    return timm.create_model("resnet34", num_classes=2).eval()


def wsinfer(folder: Path, network: nn.Module, **changed: object) -> Path:
    (folder / "config.json").write_text(json.dumps({**WSINFER, **changed}))
    save_file(network.state_dict(), folder / "model.safetensors")
    return folder


def test_a_folder_of_the_wsinfer_zoo(tmp_path: Path, resnet34: nn.Module) -> None:
    model = load_model(wsinfer(tmp_path, resnet34))
    patch = picture(350)
    normalize = WSINFER["transform"][2]["arguments"]  # type: ignore[index]
    theirs = transforms.Compose(
        [transforms.Resize(224), transforms.ToTensor(), transforms.Normalize(**normalize)]
    )
    # A tile is read as the network sees it: Pillow has made it of the slide's pixels.
    tile = patch.resize((224, 224), Image.Resampling.BILINEAR)
    assert close(logits(model, tile), resnet34(theirs(patch)[None]))
    card = model.card
    assert (card.input_size, card.resampling) == (224, "bilinear")
    assert card.input_mpp == pytest.approx(350 * 0.25 / 224)
    assert card.class_names == ("notumor", "tumor")


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"spec_version": "2.0"}, SettingError, "spec_version"),
        ({"num_classes": 3}, ModelError, "2 classes"),
        ({"transform": [{"name": "RandomErasing"}]}, SettingError, "RandomErasing"),
        (
            {"transform": [{"name": "Resize", "arguments": {"size": [1, 2]}}]},
            SettingError,
            "size",
        ),
        ({"architecture": "preactresnet34"}, UnknownNameError, "preactresnet34"),
        ({"architecture": "hf-hub:someone/model"}, ModelError, "names a place"),
        ({"transform": [{"name": "Normalize"}]}, SettingError, "mean"),
        ({"transform": [{"name": "Resize", "arguments": {"size": 0}}]}, SettingError, "size"),
        ({"transform": [{"name": "Resize", "arguments": [1]}]}, SettingError, "arguments"),
        ({"architecture": "resnet18"}, ModelError, "layer"),
    ],
)
def test_a_zoo_folder_that_does_not_fit(
    tmp_path: Path, resnet34: nn.Module, changed: dict, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        load_model(wsinfer(tmp_path, resnet34, **changed))


def test_torchscript_alone_is_refused_with_the_way_out(tmp_path: Path, resnet34: nn.Module) -> None:
    wsinfer(tmp_path, resnet34)
    (tmp_path / "model.safetensors").rename(tmp_path / "torchscript_model.pt")
    with pytest.raises(ModelError, match=r"hidden layers.*model\.safetensors.*--predict-only"):
        load_model(tmp_path)


def test_a_folder_in_a_hubs_cache_is_called_by_its_repository(
    tmp_path: Path, resnet34: nn.Module
) -> None:
    folder = tmp_path / "models--someone--breast.tcga" / "snapshots" / "0a1b"
    folder.mkdir(parents=True)
    wsinfer(folder, resnet34)
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\ntags: [x]\n---\n# A model\n")
    card = load_model(folder).card
    assert (card.name, card.licence) == ("breast.tcga", "cc-by-4.0")


def test_what_a_source_does_not_say_can_be_given(tmp_path: Path, resnet34: nn.Module) -> None:
    folder = wsinfer(tmp_path, resnet34)
    card = load_model(folder, card={"input_mpp": 0.5, "default_target": "tumor"}).card
    assert (card.input_mpp, card.default_target) == (0.5, "tumor")
    with pytest.raises(SettingError, match="default_target"):
        load_model(folder, card={"default_target": "tumour"})


def test_a_folder_of_nothing_known_names_what_is(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model folder.*WSInfer.*MONAI.*card new"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text('{"architecture": "resnet18", "classes": 2}')
    (tmp_path / "w.pt").touch()
    said = r"it holds 'config\.json', 'w\.pt'; config\.json has 'architecture', 'classes'\. A known"
    with pytest.raises(ModelError, match=said):
        load_model(tmp_path)


def test_torchscript_predicts_where_it_is_asked_for(tmp_path: Path, resnet34: nn.Module) -> None:
    wsinfer(tmp_path, resnet34)
    (tmp_path / "model.safetensors").unlink()
    image = torch.rand(1, 3, 64, 64)
    torch.jit.trace(resnet34, image).save(tmp_path / "torchscript_model.pt")
    model = load_model(tmp_path, torchscript=True)
    assert torch.allclose(model.module(image), resnet34(image), atol=1e-5)
    assert model.card.class_names == ("notumor", "tumor")
    with pytest.raises(ModelError, match="hidden layers"):
        model.layers()


BOMBS = {
    "nested": "[" * 100_000,
    "deep": '{"a":' * 500 + "1" + "}" * 500,
    "digits": '{"num_classes": ' + "9" * 100_000 + "}",
    "large": '{"a": "' + "x" * (2 << 20) + '"}',
    "not finite": '{"spacing_um_px": 1e999}',
    "a list": "[1, 2]",
    "not text": "\x00\x01",
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("file", ["card.json", "config.json", "configs/metadata.json"])
def test_a_description_that_is_a_bomb_is_refused(tmp_path: Path, bomb: str, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(BOMBS[bomb])
    with pytest.raises(ModelError, match=re.escape(Path(file).name)):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"input_size": "large"},
        {"mean": 0.5},
        {"pretrained_cfg": [1]},
        {"model_args": [1]},
        {"architecture": 3},
        {"label_names": 3},
        {"num_classes": "two"},
    ],
)
def test_a_config_of_other_kinds_of_values_is_refused(tmp_path: Path, fields: dict) -> None:
    save_for_hf(timm.create_model("resnet18", num_classes=2), tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config |= config.pop("pretrained_cfg")  # the older layout: all at the top
    path.write_text(json.dumps({**config, **fields}))
    with pytest.raises((ModelError, SettingError)):
        load_model(tmp_path)


def test_the_licence_goes_into_the_store(tmp_path: Path, resnet34: nn.Module) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    wsinfer(folder, resnet34)
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-sa-4.0\n---\n")
    with sample_slide_path() as path, open_slide(path, mpp=0.25) as slide:
        run = explain_slide(
            *(slide, load_model(folder), []),
            out=tmp_path / "case.smoothsal.zarr",
            region=(1000, 1200, 400, 400),
            progress=False,
        )
    assert "cc-by-nc-sa-4.0" in json.dumps(run.provenance)
