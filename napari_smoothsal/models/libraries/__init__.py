"""Where architectures come from: the registry of libraries, and a network made of a card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError, SmoothsalError
from napari_smoothsal.core.registry import Registry
from napari_smoothsal.models.libraries.base import Library, NamedWeights
from napari_smoothsal.models.libraries.monai_networks import MonaiNetworks
from napari_smoothsal.models.libraries.own import OwnNetworks
from napari_smoothsal.models.libraries.robust_networks import RobustNetworks
from napari_smoothsal.models.libraries.smp_networks import SmpNetworks
from napari_smoothsal.models.libraries.tiatoolbox_networks import TiatoolboxNetworks
from napari_smoothsal.models.libraries.timm_networks import TimmNetworks
from napari_smoothsal.models.libraries.torchvision_networks import TorchvisionNetworks
from napari_smoothsal.models.weights import filled

__all__ = ["LIBRARIES", "Library", "NamedWeights", "network_of"]

LIBRARIES: Registry[Library] = Registry("library of networks")
for _library in (
    OwnNetworks,
    TorchvisionNetworks,
    TimmNetworks,
    SmpNetworks,
    TiatoolboxNetworks,
    RobustNetworks,
    MonaiNetworks,
):
    LIBRARIES.register(_library())

_LARGEST_NUMBER = 1 << 20
_LONGEST = 256
_OF_PLACES = ":/\\"
"""In an architecture's arguments: no network has so many channels or so many stages, and where a
library takes a name with such characters it goes to a model hub or to a path."""


def network_of(card: ModelCard, content: Mapping[str, Any]) -> nn.Module:
    """Build the network that a card names and fill it with what a file of weights holds.

    Parameters
    ----------
    card
        Its ``architecture`` names library, network and arguments.
    content
        See `read_weights`.

    Returns
    -------
    nn.Module
        In evaluation mode.

    Raises
    ------
    UnknownNameError
        If there is no such library, or it has no such network.
    ModelError
        If the arguments cannot work, or the weights are of another network.
    """
    arguments = dict(card.architecture or {})
    library, name = arguments.pop("library", None), arguments.pop("name", None)
    whose = f"model {card.name!r}"
    if not isinstance(library, str) or not isinstance(name, str):
        raise ModelError(
            f"{whose}: its card names no architecture; give library and name, or use "
            "ss.Model(module, card) in Python for a network of your own"
        )
    source = LIBRARIES[library]
    arguments = source.architecture(name, arguments)
    del arguments["library"], arguments["name"]
    _check_plain(card.architecture, whose)  # with what is left out: it goes into stores
    try:
        return filled(lambda: source.build(name, arguments), source.state(content, whose), whose)
    except SmoothsalError:
        raise
    except Exception as error:  # a constructor may fail in any way on what a file says
        raise ModelError(
            f"{whose}: {library}'s {name!r} cannot be built with {arguments} ({error})"
        ) from error


def _check_plain(value: Any, whose: str) -> None:
    """Refuse what no architecture needs, before a library is asked to build it."""
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        if len(value) > _LONGEST:
            raise ModelError(f"{whose}: a list of {len(value)} values in its architecture")
        for one in value:
            _check_plain(one, whose)
    elif isinstance(value, str) and any(c in value for c in _OF_PLACES):
        raise ModelError(
            f"{whose}: its architecture names a place ({value[:60]!r}); give the name of a network "
            "alone, and the weights as a file"
        )
    elif isinstance(value, int | float) and abs(value) > _LARGEST_NUMBER:
        raise ModelError(f"{whose}: {value!r} in its architecture is larger than any network needs")
