"""Names that parameters had in older files, and have no more."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

_DOTTED = re.compile(r"(denselayer\d+\.\w+)\.([12])\.")


def renamed_densenet(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Parameters of a DenseNet by today's names.

    torchvision's published files of it have names like ``denselayer1.norm.1.weight``: a dot could
    stand in a module's name once. Names of other networks stay.
    """
    return {_DOTTED.sub(r"\1\2.", name): tensor for name, tensor in state.items()}
