"""Copies of a model that have forgotten what they learned, in some of their blocks.

A map that stays as it is when the parameters are random does not explain the model (Adebayo et
al., Sanity Checks for Saliency Maps, NeurIPS 2018). *Cascading*: all blocks from the output down
to one; *independent*: one block alone.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Collection, Iterable

import torch
from torch import nn

from napari_smoothsal.core.checks import Randomisation
from napari_smoothsal.core.errors import TooFewTilesError
from napari_smoothsal.evaluation.blocks import Block
from napari_smoothsal.models import Model
from napari_smoothsal.models.fitting import padded_to_fit
from napari_smoothsal.models.surrogate import Surrogate

_Norm = nn.modules.batchnorm._NormBase
_AT_ONCE = 8


def randomised(
    model: Model, blocks: Iterable[Block], how: Randomisation, images: torch.Tensor
) -> Model:
    """A copy of a model with new parameters in some blocks; the model stays as it is.

    A module draws by its own initialiser (``reset_parameters``) where it has one; else its
    parameters are drawn from normal distributions of the mean and spread that they had. What a
    module draws depends on the seed and its name alone: the same in every copy.

    Parameters
    ----------
    model
        Trained. Of its surrogate, paths of randomised convolutions are drawn anew as well.
    blocks
        Of `blocks_of`.
    how
        Seed, and what becomes of running statistics.
    images
        (n, C, H, W), uint8 or floats 0..1: tiles that running statistics are refitted to.
    """
    module = copy.deepcopy(model.module)
    parts = [part for block in blocks for part in block.parts]
    for part in parts:
        draw(module.get_submodule(part), _seed(how.seed, part), how.statistics == "reset")
    surrogate = None if model.surrogate is None else _surrogate(model.surrogate, parts, how.seed)
    forgotten = model.with_network(module, surrogate)
    if how.statistics == "refitted":
        _refit(forgotten, parts, images)
    return forgotten


def draw(module: nn.Module, seed: int, reset_statistics: bool = False) -> None:
    """Draw a module's own parameters anew, in place, not those of its children.

    Parameters
    ----------
    module
        Changed.
    seed
        Of its numbers.
    reset_statistics
        Forget running statistics as well.
    """
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers(recurse=False)}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
        else:
            for parameter in module.parameters(recurse=False):
                spread, mean = torch.std_mean(parameter.float(), correction=0)
                drawn = mean + spread * torch.randn(parameter.shape)
                parameter.copy_(drawn)
        if not reset_statistics:
            for name, buffer in module.named_buffers(recurse=False):
                buffer.copy_(buffers[name])


def _seed(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:7], "big")


def _surrogate(trained: Surrogate, parts: Collection[str], seed: int) -> Surrogate:
    paths = {name: copy.deepcopy(path) for name, path in trained.paths.items()}
    for name in paths.keys() & set(parts):
        for inner in ("before", "after"):
            draw(getattr(paths[name], inner), _seed(seed, f"{name} {inner}"))
    return Surrogate(paths, trained.card)


def _refit(model: Model, parts: Collection[str], images: torch.Tensor) -> None:
    """Set running statistics of BatchNorms to the mean over batches of tiles, in one pass."""
    network, card = model.module, model.card
    named = (network.get_submodule(part) for part in parts)
    norms = [m for m in named if isinstance(m, _Norm) and m.running_mean is not None]
    if not norms:
        return
    mean, std = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (card.mean, card.std))
    like = next(network.parameters())
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
        norm.train()
    try:
        with torch.no_grad():
            for given in images.split(_AT_ONCE):
                batch = model.stain_normalised(given).images
                colours = batch.float() / 255 if batch.dtype == torch.uint8 else batch
                network(padded_to_fit(((colours - mean) / std).to(like), model.unit))
    except ValueError as error:  # one value per channel has no variance
        raise TooFewTilesError(
            f"model {card.name!r}: running statistics cannot be fitted to {len(images)} tile(s) "
            f"({error}); give more tiles, or statistics = 'kept'"
        ) from error
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
