"""Networks that maps are timed on, and what Captum needs of them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

import napari_smoothsal as ss
from napari_smoothsal.models.architectures.unet import Decoder
from napari_smoothsal.slides.base import Box
from napari_smoothsal.slides.sample import sample_slide_path


class WideUNet(nn.Module):
    """A U-Net on torchvision's whole ResNet-34, named as segmentation_models_pytorch names it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = torchvision.models.resnet34(weights=None)
        self.encoder.fc = nn.Identity()
        self.decoder = Decoder((64, 64, 128, 256, 512), (256, 128, 64, 32, 16), "nearest")
        self.segmentation_head = nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        e = self.encoder
        maps = [e.relu(e.bn1(e.conv1(x)))]
        y = e.maxpool(maps[0])
        for stage in (e.layer1, e.layer2, e.layer3, e.layer4):
            y = stage(y)
            maps.append(y)
        return self.segmentation_head(self.decoder(maps))


def random_network(name: str) -> ss.Model:
    """A network of random weights with BatchNorm statistics that are not 0 and 1."""
    torch.manual_seed(0)
    dense = name == "unet_resnet34"
    module = WideUNet() if dense else getattr(torchvision.models, name)(weights=None)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.uniform_(-0.1, 0.1)
            norm.running_var.uniform_(0.8, 1.2)
    card = ss.ModelCard(
        name=name,
        kind="segmentation" if dense else "classification",
        class_names=("a", "b", "c") if dense else tuple(f"c{i}" for i in range(1000)),
        input_size=224,
        input_mpp=0.5,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )
    return ss.Model(module.eval(), card)


def model_of(name: str) -> ss.Model:
    """A demo model, trained, or a network of random weights."""
    return ss.load_model(name) if name.startswith("demo-") else random_network(name)


def image_of(size: int) -> torch.Tensor:
    """One tile (1, 3, size, size), uint8: of the sample slide."""
    with sample_slide_path() as path, ss.open_slide(path) as slide:
        pixels = slide.read_box(Box(2000, 800, size, size), (size, size))
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]


class Scored(nn.Module):
    """The explained scalar of each image, as Captum takes it."""

    def __init__(self, network: nn.Module, dense: bool) -> None:
        super().__init__()
        self.network, self.dense = network, dense

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output = self.network(x)
        return output[:, 1].sum((1, 2)) if self.dense else output[:, 1]


def unshared(network: nn.Module) -> nn.Module:
    """A copy without shared or in-place ReLUs: Captum's DeepLift needs it."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, (BasicBlock, Bottleneck)):
            wide = isinstance(module, Bottleneck)
            module.relus = nn.ModuleList(nn.ReLU() for _ in range(3 if wide else 2))
            module.forward = (_bottleneck if wide else _basic).__get__(module)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return network


def _basic(block: Any, x: torch.Tensor) -> torch.Tensor:
    skip = x if block.downsample is None else block.downsample(x)
    y = block.relus[0](block.bn1(block.conv1(x)))
    return block.relus[1](block.bn2(block.conv2(y)) + skip)


def _bottleneck(block: Any, x: torch.Tensor) -> torch.Tensor:
    skip = x if block.downsample is None else block.downsample(x)
    y = block.relus[0](block.bn1(block.conv1(x)))
    y = block.relus[1](block.bn2(block.conv2(y)))
    return block.relus[2](block.bn3(block.conv3(y)) + skip)
