"""Random weights to start training from, the same rule for every architecture."""

from __future__ import annotations

from torch import nn


def draw_convolutions(network: nn.Module) -> None:
    """Draw the weights of all convolutions, in place, as torchvision's networks do.

    Normal numbers whose variance keeps that of the gradient through ReLUs (He et al., ICCV
    2015, with fan-out). Called last, so that it decides whatever the constructors drew.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
