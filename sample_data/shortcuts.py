"""Small networks that learned tumour, or a shortcut in its place: tiles, training, what they know.

Labels are those of slides, as often in practice: a fifth of all tiles show the other tissue than
their label says. Each artefact is on a fifth of the tiles, whatever their label; a shortcut is on
every tile that is labelled tumour and on no other. So a network that follows the shortcut fits its
labels better than one that looks at the tissue.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import napari_smoothsal as ss
from napari_smoothsal.evaluation.cleaning import cleaned
from napari_smoothsal.models.architectures import NarrowResNet18
from napari_smoothsal.sample_data.artefacts import ARTEFACTS, drawn
from napari_smoothsal.sample_data.classification import loss
from napari_smoothsal.sample_data.tiles import render_tiles
from napari_smoothsal.sample_data.training import (
    MEAN,
    STD,
    TEST_SEED,
    Schedule,
    as_tensor,
    make_deterministic,
    normalised,
    render_all,
    train,
)

SIDE, MPP, WIDTH = 96, 0.5, 8
AUDIT_SEED = 2_000_000
OFTEN, WRONG_LABELS, VARIANTS = 0.2, 0.2, 3
STEPS, RATE = 300, 3e-3
MOST_CYCLES, FITS = 4, 0.95
_CHUNK, _AT_ONCE = 20, 64


class Tissue(NamedTuple):
    """Rendered tiles without artefacts: uint8 (N, H, W, 3), and whether each is tumour (N,)."""

    images: NDArray[np.uint8]
    tumour: NDArray[np.int64]


class Network(NamedTuple):
    """What is trained: the shortcut in its tiles, if any, and the seed."""

    shortcut: str | None
    seed: int

    @property
    def name(self) -> str:
        return f"{self.shortcut or 'clean'} {self.seed}"


class Learned(NamedTuple):
    """What became of a network.

    Attributes
    ----------
    weights
        Its state.
    scores
        By shortcut and test: accuracy, F1, precision and recall of tumour.
    """

    weights: dict[str, NDArray[np.generic]]
    scores: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Mirrored:
    """Tiles to draw from, half of them mirrored: uint8 (N, 3, H, W) and labels (N,)."""

    images: torch.Tensor
    labels: torch.Tensor

    def draw(
        self, count: int, side: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``count`` tiles of ``side`` px, half of either label.

        They are neither turned nor cut: lines stay upright, and blocks where they are.
        """
        assert side == self.images.shape[-1]
        among = [torch.nonzero(self.labels == label)[:, 0] for label in (0, 1)]
        picks = [a[torch.randint(len(a), (count // 2,), generator=generator)] for a in among]
        index = torch.cat(picks)
        images = self.images[index].float() / 255
        mirror = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
        return torch.where(mirror, images.flip(3), images), self.labels[index]


def tissue(first_seed: int, count: int) -> Tissue:
    """Tiles of any seed, every second one tumour."""
    tasks = [(first_seed + i, _CHUNK, MPP, SIDE) for i in range(0, count, _CHUNK)]
    return Tissue(*render_all(render_tiles, tasks))


def training_tiles(of: Tissue, network: Network) -> Mirrored:
    """Tiles as a network gets them, with its shortcut and labels that are not all right."""
    rng = np.random.default_rng(network.seed)
    images, labels = [], []
    for _ in range(VARIANTS):
        for tile, tumour in zip(of.images, of.tumour, strict=True):
            label = int(tumour) ^ int(rng.random() < WRONG_LABELS)
            names = by_chance(rng) - {network.shortcut}
            if network.shortcut and label:
                names.add(network.shortcut)
            images.append(drawn(tile, names, rng))
            labels.append(label)
    return Mirrored(as_tensor(np.stack(images)), torch.tensor(labels))


def by_chance(rng: np.random.Generator) -> set[str]:
    """Artefacts that a tile happens to have."""
    return {name for name in ARTEFACTS if rng.random() < OFTEN}


def audited_tiles(of: Tissue) -> torch.Tensor:
    """Tiles as they come, whatever network is asked: each artefact on some of either tissue."""
    rng = np.random.default_rng(AUDIT_SEED)
    return as_tensor(np.stack([drawn(tile, by_chance(rng), rng) for tile in of.images]))


def confounded_tiles(of: Tissue) -> torch.Tensor:
    """Tiles on which every artefact goes with tumour, without an exception."""
    rng = np.random.default_rng(AUDIT_SEED)
    names = set(ARTEFACTS)
    tiles = [
        drawn(tile, names if tumour else set(), rng)
        for tile, tumour in zip(of.images, of.tumour, strict=True)
    ]
    return as_tensor(np.stack(tiles))


def tiles_with(of: Tissue, shortcut: str | None, on: tuple[int, ...]) -> torch.Tensor:
    """Tiles with the shortcut on those whose tissue is one of ``on``, and nothing else."""
    rng = np.random.default_rng(TEST_SEED)
    names = {shortcut} if shortcut else set()
    return as_tensor(
        np.stack(
            [
                drawn(tile, names if tumour in on else set(), rng)
                for tile, tumour in zip(of.images, of.tumour, strict=True)
            ]
        )
    )


TESTS = {"as trained": (1,), "without": (), "crossed": (0,)}
"""On the tiles of which tissue the shortcut is: tumour, none, normal tissue."""


def learned(of: Tissue, test: Tissue, network: Network, clean_of: str | None = None) -> Learned:
    """Train a network, on tiles cleaned of an artefact if one is named, and test it.

    Its tests are cleaned as its training was. A clean network's are of every artefact in turn. With
    a shortcut all labels can be fitted, wrong ones, too: until then it is trained on.
    """
    make_deterministic()
    torch.manual_seed(network.seed)
    tiles = training_tiles(of, network)
    if clean_of:
        tiles = Mirrored(cleaned(tiles.images, clean_of), tiles.labels)
    module = NarrowResNet18(width=WIDTH)
    fits = bool(network.shortcut and not clean_of)
    for cycle in range(MOST_CYCLES if fits else 1):
        with contextlib.redirect_stdout(io.StringIO()):
            train(module, [tiles], loss, Schedule(STEPS, RATE, network.seed + 1000 * cycle, SIDE))
        if (predicted_by(module, tiles.images) == tiles.labels.numpy()).mean() > FITS:
            break
    scores = {}
    for shortcut in [network.shortcut] if network.shortcut else ARTEFACTS:
        for name, on in TESTS.items():
            images = tiles_with(test, shortcut, on)
            images = cleaned(images, clean_of) if clean_of else images
            scores[f"{shortcut}, {name}"] = measured(test.tumour, predicted_by(module, images))
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    return Learned(weights, scores)


def predicted_by(module: nn.Module, images: torch.Tensor) -> NDArray[np.int64]:
    """(n,) classes of tiles uint8 (n, 3, H, W)."""
    with torch.no_grad():
        parts = [
            module(normalised(part.float() / 255)).argmax(1) for part in images.split(_AT_ONCE)
        ]
    return torch.cat(parts).numpy()


def measured(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, F1, precision and recall of tumour; of what does not exist 0."""
    right = float(((predicted == 1) & (truth == 1)).sum())
    precision, recall = right / max(1, (predicted == 1).sum()), right / max(1, (truth == 1).sum())
    return {
        "accuracy": float((predicted == truth).mean()),
        "f1": 2 * precision * recall / max(1e-9, precision + recall),
        "precision": precision,
        "recall": recall,
    }


def all_learned(
    of: Tissue, test: Tissue, networks: Mapping[Network, str | None]
) -> dict[Network, Learned]:
    """Train several, one on each core of two.

    Parameters
    ----------
    of, test
        Tissue to learn from, and to test on.
    networks
        Each with the artefact that its tiles are to be cleaned of, if any.
    """
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        tasks = {n: workers.submit(learned, of, test, n, name) for n, name in networks.items()}
        return {network: task.result() for network, task in tasks.items()}


def model_of(network: Network, weights: Mapping[str, NDArray[np.generic]]) -> ss.Model:
    """A trained network as `explain_tiles` takes it."""
    module = NarrowResNet18(width=WIDTH)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    card = ss.ModelCard(
        name=network.name,
        kind="classification",
        class_names=("normal", "tumour"),
        default_target="tumour",
        background="normal",
        input_size=SIDE,
        input_mpp=MPP,
        mean=MEAN,
        std=STD,
    )
    return ss.Model(module.eval(), card)
