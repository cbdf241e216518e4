"""The parts of TIAToolbox and robustness that build networks, without the rest of them.

Both pin or import versions that go with nothing else here, so that they are installed without what
they require (tests/oracles.txt), and only the files that are needed are imported: a package's own
``__init__`` would import everything.
"""

import importlib
import importlib.util
import logging
import sys
from types import ModuleType
from typing import Any

import torch
from torch import nn


def tiatoolbox_model(kind: str, backbone: str, classes: int) -> nn.Module:
    """A patch model of TIAToolbox with random weights; ``kind`` is CNNModel or IDaRS."""
    _bare("tiatoolbox", logger=logging.getLogger("tiatoolbox"))
    _bare("tiatoolbox.models")
    _bare("tiatoolbox.models.architecture")
    file = {"CNNModel": "vanilla", "IDaRS": "idars"}[kind]
    module = importlib.import_module(f"tiatoolbox.models.architecture.{file}")
    return getattr(module, kind)(backbone, num_classes=classes)


def robust_model(name: str, mean: torch.Tensor, std: torch.Tensor, classes: int) -> nn.Module:
    """What the robustness library trains and saves: the network, its normaliser, its attacker."""
    _bare("cox", store=ModuleType("cox.store"))
    _bare("robustness")
    _bare("robustness.imagenet_models")
    networks = importlib.import_module("robustness.imagenet_models.resnet")
    attacker = importlib.import_module("robustness.attacker")

    class Dataset:
        pass

    dataset: Any = Dataset()
    dataset.mean, dataset.std = mean, std
    return attacker.AttackerModel(getattr(networks, name)(num_classes=classes), dataset)


def _bare(package: str, **attributes: Any) -> None:
    """Put a package in place whose ``__init__`` has not been run."""
    if package in sys.modules:
        return
    module = ModuleType(package)
    parent, _, _ = package.rpartition(".")
    places = list(sys.modules[parent].__path__) if parent else None
    spec = importlib.machinery.PathFinder.find_spec(package, places)
    module.__path__ = list(spec.submodule_search_locations or []) if spec else []
    for name, value in attributes.items():
        setattr(module, name, value)
        if isinstance(value, ModuleType):
            sys.modules[f"{package}.{name}"] = value
    sys.modules[package] = module
