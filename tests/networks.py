"""Small networks with the traits that break naive hooking, and a positive one for placement."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models import Model
from napari_smoothsal.models.architectures import NarrowResNet18


class Functional(nn.Module):
    """Functional ReLUs, a skip that aliases an in-place ReLU's tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.b = nn.Conv2d(6, 6, 3, padding=1)
        self.c = nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2)
        self.d = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.out = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.a(x))
        y = self.b(x)
        y = F.relu(y, inplace=True) + y  # both are the rectified tensor
        y = F.relu(self.d(F.relu(self.c(y))))
        return self.out(y.mean((2, 3)))


class SingleLogit(nn.Module):
    """One logit as a 1x1 map, as MONAI's convolutional head gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1))
        self.fc = nn.Conv2d(4, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(x).mean((2, 3), keepdim=True))


def wrapped(module: nn.Module, *names: str, size: int = 32) -> Model:
    card = ModelCard(
        name=type(module).__name__,
        kind="classification",
        class_names=names,
        input_size=size,
        input_mpp=0.5,
        mean=(0.5, 0.4, 0.6),
        std=(0.2, 0.3, 0.25),
    )
    return Model(module.eval(), card)


def every_model() -> dict[str, Model]:
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, 2, stride=2),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    models = {
        "plain": wrapped(plain, "a", "b"),
        "resnet": wrapped(NarrowResNet18(width=4), "a", "b", size=64),
        "functional": wrapped(Functional(), "a", "b", "c"),
        "single_logit": wrapped(SingleLogit(), "t"),
    }
    for model in models.values():  # running statistics that are not 0 and 1
        for module in model.module.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 1.5)
    return models


LAYERS = {
    "plain": ("input", "0", "1", "2", "3", "4"),
    "resnet": ("input", "conv1", "bn1", "maxpool", "layer1", "layer2.0", "layer3", "layer4"),
    "functional": ("input", "a", "b", "c", "d"),
    "single_logit": ("input", "features.0", "features.1", "features"),
}
