"""Small U-Nets: a positive one for placement, a random one for everything else."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models import Model


def segmenter(module: nn.Module, *names: str, size: int = 64, **more: object) -> Model:
    fields: dict[str, object] = {"input_mpp": 0.5, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    card = ModelCard(
        name=type(module).__name__,
        kind="segmentation",
        class_names=names,
        background=names[0] if len(names) > 1 else None,
        default_target=names[-1],
        input_size=size,
        **(fields | more),
    )
    return Model(module.eval(), card)


class PositiveUNet(nn.Module):
    """Positive, symmetric kernels; class "b" is predicted where anything is seen.

    With even kernels (``patchify``) every path to a layer has the same centre; with odd ones
    (``resnet``) an upsampled path lies beside the skip, as in the usual U-Nets.
    """

    def __init__(self, layout: str = "patchify", upsampling: str = "nearest") -> None:
        super().__init__()
        odd = layout == "resnet"
        self.stem = nn.Conv2d(3, 4, 3, 2, 1) if odd else nn.Conv2d(3, 4, 2, 2)
        self.deep = nn.Conv2d(4, 4, 3, 2, 1) if odd else nn.Conv2d(4, 4, 2, 2)
        if upsampling == "transposed":
            self.up1, self.up2 = (nn.ConvTranspose2d(4, 4, 2, 2) for _ in range(2))
        else:
            self.up1, self.up2 = (nn.Upsample(scale_factor=2, mode=upsampling) for _ in range(2))
        self.middle = nn.Conv2d(8, 4, 3, 1, 1)
        self.last = nn.Conv2d(4, 4, 3, 1, 1)
        self.head = nn.Conv2d(4, 2, 1)
        for parameter in self.parameters():
            with torch.no_grad():
                parameter.fill_(0.1 if parameter.ndim > 1 else 0.0)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size[0] == 3:
                taps = torch.tensor([math.comb(2, i) / 4 for i in range(3)])
                with torch.no_grad():
                    module.weight.copy_(torch.outer(taps, taps).expand_as(module.weight))
        with torch.no_grad():
            self.head.weight[0] = 0
            self.head.bias[0] = 1e-3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = F.relu(self.stem(x))
        y = self.up1(F.relu(self.deep(stem)))
        y = F.relu(self.middle(torch.cat([y, stem], 1)))
        return self.head(F.relu(self.last(self.up2(y))))


class SmallUNet(nn.Module):
    """Random weights, two halvings, a skip; fails on sizes that are no multiple of 4."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2, 1)
        self.deep = nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(True))
        self.decode = nn.Sequential(nn.Conv2d(14, 6, 3, 1, 1), nn.ReLU(inplace=True))
        self.head = nn.Conv2d(6, classes, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = F.relu(self.stem(x))
        up = F.interpolate(self.deep(stem), scale_factor=2, mode="nearest")
        y = self.decode(torch.cat([up, stem], 1))
        return self.head(F.interpolate(y, scale_factor=2, mode="bilinear"))


def small_segmenter(*names: str, size: int = 64, seed: int = 0) -> Model:
    names = names or ("bg", "n", "t")
    torch.manual_seed(seed)
    module = SmallUNet(len(names))
    with torch.no_grad():
        for convolution in module.modules():
            if isinstance(convolution, nn.Conv2d):
                nn.init.kaiming_normal_(convolution.weight)
    return segmenter(module, *names, size=size, mean=(0.5,) * 3, std=(0.25,) * 3)
