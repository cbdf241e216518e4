"""Networks by name and a file of weights: the logits are those of the library itself."""

import re
from pathlib import Path

import pytest
import timm
import torch
from oracles import robust_model, tiatoolbox_model
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from napari_smoothsal import Compute, Model, SaliencySpec, explain_tiles, load_model
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError, UnknownNameError
from napari_smoothsal.models.libraries import LIBRARIES, NamedWeights, network_of
from napari_smoothsal.models.saving import save_model

FP32 = Compute(device="cpu", precision="fp32")


def alive(network: nn.Module) -> nn.Module:
    """With norms that do something: random weights leave theirs at 0 and 1."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def saved(network: nn.Module, path: Path) -> Path:
    torch.save(network.state_dict(), path)
    return path


def logits(model: Model, images: torch.Tensor) -> torch.Tensor:
    spec = SaliencySpec(layer="input", method="gradient", samples=0)
    return explain_tiles(model, images, spec, FP32).logits


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return bool((found - expected.detach()).abs().max() <= 1e-5 * expected.abs().max())


def test_a_training_module_that_holds_the_network_beside_its_loss(tmp_path: Path) -> None:
    network = alive(timm.create_model("resnet18", num_classes=2))
    state = {f"model.{k}": v for k, v in network.state_dict().items()}
    file = tmp_path / "epoch=3.ckpt"
    loss = {"criterion.weight": torch.ones(2)}
    torch.save({"state_dict": state | loss, "pytorch-lightning_version": "2.5"}, file)
    with pytest.warns(UserWarning, match=r"'model\.'; the rest .* 'criterion\.weight'"):
        model = load_model(f"timm:resnet18:{file}")
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(model.module(images), network(images))
    torch.save({"state_dict": state | loss | {"model.more": torch.ones(1)}}, file)
    with (
        pytest.warns(UserWarning, match="is left out"),
        pytest.raises(ModelError, match="1 not of the network: more"),
    ):
        load_model(f"timm:resnet18:{file}")


def test_the_weights_of_an_encoder_have_no_classes(tmp_path: Path) -> None:
    file = saved(timm.create_model("vit_tiny_patch16_224", num_classes=0), tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"no head\..*encoder without classes.*ss\.Model"):
        load_model(f"timm:vit_tiny_patch16_224:{file}")


@pytest.mark.parametrize(
    ("name", "side"), [("densenet121", 64), ("googlenet", 64), ("inception_v3", 80)]
)
def test_torchvisions_published_file_of_a_network_it_changes_while_loading(
    tmp_path: Path, name: str, side: int
) -> None:
    entry = models.get_model_weights(name).IMAGENET1K_V1
    with_heads = {} if name == "densenet121" else {"aux_logits": True, "init_weights": False}
    network = alive(models.get_model(name, weights=None, **with_heads))
    if with_heads:
        network.transform_input = True
    file = tmp_path / entry.url.rpartition("/")[2]
    # As the published file of DenseNet has it: a dot within a layer's name.
    state = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", k): v
        for k, v in network.state_dict().items()
    }
    torch.save(state, file)
    model = load_model(f"torchvision:{name}:{file}")
    image = torch.rand(1, 3, side, side)
    assert close(model.module(image), network(image))
    assert model.card.class_names[7] == "cock"


def test_torchvisions_networks_for_segmentation(tmp_path: Path) -> None:
    name = "lraspp_mobilenet_v3_large"
    network = alive(models.get_model(name, weights_backbone=None))
    url = models.get_model_weights(name).DEFAULT.url
    published = saved(network, tmp_path / url.rpartition("/")[2])
    model = load_model(f"torchvision:{name}:{published}")
    assert model.card.kind == "segmentation" and model.card.background == "__background__"
    assert model.card.class_names[15] == "person"
    # Of another file with as many classes nobody knows that they are the same.
    own = load_model(f"torchvision:{name}:{saved(network, tmp_path / 'own.pth')}").card
    assert own.class_names[15] == "class 15" and own.background is None


def test_classes_of_ones_own_are_counted(tmp_path: Path) -> None:
    network = alive(models.resnet18(num_classes=3))
    save_file(network.state_dict(), tmp_path / "mine.safetensors")
    model = load_model(f"torchvision:resnet18:{tmp_path / 'mine.safetensors'}")
    assert model.card.class_names == ("class 0", "class 1", "class 2")
    assert "not known" in str(model.card.notes)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(model.module(image), network(image))


@pytest.mark.parametrize("name", ["resnet26d", "efficientnet_b0", "vit_tiny_patch16_224"])
def test_networks_of_timm(tmp_path: Path, name: str) -> None:
    network = alive(timm.create_model(name, num_classes=5))
    model = load_model(f"timm:{name}:{saved(network, tmp_path / 'w.pt')}")
    side = model.card.input_size
    images = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8)
    settings = network.pretrained_cfg
    mean, std = (torch.tensor(settings[k])[:, None, None] for k in ("mean", "std"))
    assert close(logits(model, images), network((images / 255 - mean) / std))


def test_a_network_of_smp_by_its_names(tmp_path: Path) -> None:
    import segmentation_models_pytorch as smp

    network = alive(smp.UnetPlusPlus("resnet18", encoder_weights=None, classes=4))
    file = saved(network, tmp_path / "w.pth")
    model = load_model(f"smp:UnetPlusPlus:resnet18:{file}")
    image = torch.rand(1, 3, 64, 64)
    assert close(model.module(image), network(image))
    with pytest.raises(ModelError, match="smp:DECODER:ENCODER:FILE"):
        load_model(f"smp:Unet:{file}")
    with pytest.raises(ModelError, match="segmentation head"):
        load_model(f"smp:Unet:resnet18:{saved(nn.Conv2d(1, 1, 1), tmp_path / 'other.pt')}")


@pytest.mark.parametrize(
    "backbone", ["resnet18", "alexnet", "densenet121", "mobilenet_v3_small", "googlenet"]
)
def test_a_patch_model_of_tiatoolbox(tmp_path: Path, backbone: str) -> None:
    network = alive(tiatoolbox_model("CNNModel", backbone, 2))
    model = load_model(f"tiatoolbox:{backbone}-pcam:{saved(network, tmp_path / 'w.pth')}")
    images = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    theirs = network(images / 255)  # probabilities
    assert (logits(model, images).softmax(1) - theirs).abs().max() < 1e-5
    card = model.card
    assert (card.input_size, card.input_mpp, card.default_target) == (96, 1.0, "metastasis")
    assert model.readout.outcomes == ("normal", "metastasis") and "CC0" in str(card.licence)


def test_idars_of_tiatoolbox(tmp_path: Path) -> None:
    network = alive(tiatoolbox_model("IDaRS", "resnet34", 2))
    model = load_model(f"tiatoolbox:resnet34-idars-msi:{saved(network, tmp_path / 'w.pth')}")
    images = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    shown = images[0].permute(1, 2, 0).numpy()
    theirs = network(type(network).preproc(shown).permute(2, 0, 1)[None])
    assert (logits(model, images).softmax(1) - theirs).abs().max() < 1e-5
    assert (model.card.input_size, model.card.input_mpp) == (224, 1.0)


def test_the_kather_models_have_nine_classes_by_name() -> None:
    card = LIBRARIES["tiatoolbox"].described(NamedWeights("resnet18-kather100k", {}, Path("w.pth")))
    assert card.class_names[3] == card.default_target == "TUM" and len(card.class_names) == 9
    assert (card.input_size, card.input_mpp) == (224, 0.5)


def test_a_robust_checkpoint(tmp_path: Path) -> None:
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
    network = alive(robust_model("resnet18", mean, std, 7))
    # As the library saves it: within DataParallel, with the state of its optimiser.
    state = {f"module.{k}": v for k, v in network.state_dict().items()}
    optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    file = tmp_path / "resnet18_l2_eps3.ckpt"
    torch.save({"model": state, "epoch": 90, "optimizer": optimiser.state_dict()}, file)
    model = load_model(f"robustness:resnet18:{file}")
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    theirs, _ = network(images / 255)
    assert close(logits(model, images), theirs)
    assert model.card.mean == pytest.approx(mean.tolist())
    assert model.card.std == pytest.approx(std.tolist())
    assert not any("attacker" in name for name, _ in model.module.named_parameters())
    with pytest.raises(ModelError, match="torchvision:resnet18:FILE"):
        plain = saved(models.resnet18(), tmp_path / "plain.pt")
        load_model(f"robustness:resnet18:{plain}")


@pytest.mark.parametrize(
    ("library", "name", "right"),
    [
        ("timm", "resnet18_", "resnet18"),
        ("torchvision", "resnet81", "resnet18"),
        ("tiatoolbox", "resnet18-pcamm", "resnet18-pcam"),
        ("robustness", "resnet81", "resnet18"),
        ("smp", "Unett:resnet18", "Unet"),
        ("smp", "Unet:resnet81", "resnet18"),
    ],
)
def test_a_name_that_there_is_not_offers_the_nearest(
    tmp_path: Path, library: str, name: str, right: str
) -> None:
    state = models.resnet18().state_dict()
    if library == "smp":
        state = {"segmentation_head.0.weight": torch.zeros(2, 16, 3, 3)}
    if library == "robustness":
        state = {"normalizer.new_mean": torch.zeros(3), "normalizer.new_std": torch.ones(3)} | {
            f"model.{k}": v for k, v in state.items()
        }
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(UnknownNameError) as told:
        load_model(f"{library}:{name}:{tmp_path / 'w.pt'}")
    assert right in told.value.near


def tiny(library: str, folder: Path) -> str:
    """A source of a network of a library, from a file of weights."""
    file = folder / "w.pt"
    if library == "smp":
        import segmentation_models_pytorch as smp

        saved(smp.Unet("resnet18", encoder_weights=None, classes=2), file)
        return f"smp:Unet:resnet18:{file}"
    if library == "tiatoolbox":
        saved(tiatoolbox_model("CNNModel", "resnet18", 2), file)
        return f"tiatoolbox:resnet18-pcam:{file}"
    if library == "robustness":
        saved(robust_model("resnet18", torch.zeros(3), torch.ones(3), 3), file)
        return f"robustness:resnet18:{file}"
    saved(models.resnet18(num_classes=3), file)
    return f"{library}:resnet18:{file}"


@pytest.mark.parametrize("library", ["timm", "torchvision", "smp", "tiatoolbox", "robustness"])
def test_a_model_that_is_saved_is_the_same_when_it_is_loaded(tmp_path: Path, library: str) -> None:
    model = load_model(tiny(library, tmp_path))
    written = save_model(model, tmp_path / "folder")
    again = load_model(tmp_path / "folder")
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(again.module(image), model.module(image))
    assert again.card == written and again.parameters_sha256 == model.parameters_sha256


@pytest.mark.parametrize("source", ["timm:resnet18", "timm:resnet18:nowhere.pt", "timm::x.pt"])
def test_a_file_that_is_not_there(source: str) -> None:
    with pytest.raises(ModelError, match="timm:NAME:FILE"):
        load_model(source)


def card(**architecture: object) -> ModelCard:
    fields = {"kind": "classification", "class_names": ("a", "b"), "input_size": 64}
    return ModelCard(name="m", mean=(0.0,) * 3, std=(1.0,) * 3, architecture=architecture, **fields)


@pytest.mark.parametrize(
    ("architecture", "says"),
    [
        ({}, "no architecture"),
        ({"library": "timm"}, "no architecture"),
        ({"library": "keras", "name": "x"}, "timm"),
        ({"library": "timm", "name": "hf-hub:a/b"}, "hf-hub"),
        ({"library": "timm", "name": "resnet18", "depth": 1}, "depth"),
        ({"library": "timm", "name": "vit_tiny_patch16_224", "depth": 10**9}, "larger"),
        ({"library": "smp", "name": "Unet", "decoder_channels": [10**12]}, "larger"),
        ({"library": "smp", "name": "os", "encoder_name": "resnet18"}, "os"),
        ({"library": "monai", "name": "HoVerNet"}, "TorchVisionFCModel"),
    ],
)
def test_an_architecture_that_cannot_be_built(architecture: dict, says: str) -> None:
    with pytest.raises((ModelError, UnknownNameError), match=says):
        network_of(card(**architecture), models.resnet18(num_classes=2).state_dict())
