"""The evaluation of Smooth Deep Saliency: Tables 2, 3 and 4 and Figure 4, of any model and tiles.

One row per tile is kept of everything, so that tables, intervals and tests are made of the same
numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.core.total_variation import total_variation
from napari_smoothsal.denoise import DENOISINGS
from napari_smoothsal.evaluation.prediction_difference import (
    prediction_difference,
)
from napari_smoothsal.models import Model

AT_ONCE = 16
"""Tiles that are held at a time."""

Told = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and of how much."""


class Tiles(Protocol):
    """Tiles of one size."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """As tables call a tile."""

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        """(n, C, H, W) uint8, of the model's resolution."""


class Labelled(Tiles, Protocol):
    """Tiles with their truth."""

    @property
    def labels(self) -> Sequence[int]:
        """True class of each."""


class Wanted(NamedTuple):
    """What is evaluated.

    Attributes
    ----------
    layers, methods, denoisings
        Of the maps.
    samples, sigma, seed, jitter
        Of their noise.
    options
        Of the denoisings, by name.
    """

    layers: tuple[str, ...]
    methods: tuple[str, ...] = ("gradient", "deeplift")
    denoisings: tuple[str, ...] = ("original", "backward_hook", "forward_hook", "centred_hook")
    samples: int = 20
    sigma: float = 0.2
    seed: int = 0
    jitter: bool = False
    options: Mapping[str, Mapping[str, Any]] = MappingProxyType({})

    def specs(self, target: int | str | None) -> list[SaliencySpec]:
        """One for each combination."""
        return [
            SaliencySpec(
                layer=layer,
                method=method,
                denoising=denoising,
                samples=self.samples,
                sigma=self.sigma,
                seed=self.seed,
                jitter=self.jitter,
                denoising_options=dict(self.options.get(denoising, {})),
                target=target,
            )
            for denoising in self.denoisings
            for method in self.methods
            for layer in self.layers
        ]


def evaluated_denoisings(model: Model) -> tuple[str, ...]:
    """All that a model can have, the paper's first."""
    names = ["original", "bilinear_surrogate", "backward_hook", "forward_hook", "centred_hook"]
    if model.surrogate is None:
        names.remove("bilinear_surrogate")
    return tuple(names)


def predictions(
    model: Model, tiles: Labelled, compute: Compute, told: Told = lambda *_: None
) -> pd.DataFrame:
    """What the model and its changed versions say of each tile (Tables 2 and 3).

    Parameters
    ----------
    model
        With a surrogate, that is measured as well.
    tiles
        With the true class of each.
    compute, told
        On what; called as it goes on.

    Returns
    -------
    pandas.DataFrame
        One row per tile and denoising that changes the network, and one of the original:
        ``label`` and ``predicted`` (indices), ``correct``, and ``difference_all`` and
        ``difference_target`` of probabilities, from 0 to 1 a class. As the paper has it, every
        strided convolution but the first is changed.
    """
    if model.readout.dense:
        raise SettingError(
            f"model {model.card.name!r} decides per pixel; give --masks instead of labels"
        )
    names, explainer = changed_networks(model, compute)
    labels = torch.tensor(list(tiles.labels))
    rows = []
    for indices in chunks(len(tiles)):
        told("predictions", indices[0], len(tiles))
        images = tiles.images(indices)
        explanation = explainer.begin(images, [(i,) for i in indices])
        original = explanation.decision
        truth = labels[list(indices)]
        for name, decision in zip(names, [original, *explanation.explained], strict=True):
            difference = prediction_difference(
                original.probabilities, decision.probabilities, truth
            )
            for row, index in enumerate(indices):
                rows.append(
                    {
                        "tile": tiles.name(index),
                        "label": int(truth[row]),
                        "denoising": name,
                        "predicted": int(decision.predicted[row]),
                        "correct": float(decision.predicted[row] == truth[row]),
                        "difference_all": float(difference.all_classes[row]),
                        "difference_target": float(difference.target_class[row]),
                    }
                )
    return pd.DataFrame(rows)


def changed_networks(model: Model, compute: Compute) -> tuple[list[str], Explainer]:
    """What predicts: the original and each denoising that changes the network.

    Returns
    -------
    names
        The original first.
    explainer
        Of the others, in their order, everywhere but at the first strided convolution.

    Raises
    ------
    SettingError
        If the model has no strided convolution.
    """
    if not model.strided_convolutions:
        raise SettingError(
            f"model {model.card.name!r} has no strided convolution (nn.Conv2d with a stride above "
            "1), so no denoising has anything to do"
        )
    names = [n for n in evaluated_denoisings(model) if DENOISINGS[n].changes_network]
    layer = model.layers()[-1].name
    specs = [
        SaliencySpec(layer=layer, denoising=n, samples=0, denoising_options={"scope": "paper"})
        for n in names
    ]
    return ["original", *names], Explainer(model, specs, compute, scope="tiles", warn=False)


def roughness(
    model: Model,
    tiles: Labelled,
    wanted: Wanted,
    compute: Compute,
    told: Told = lambda *_: None,
) -> pd.DataFrame:
    """Total variation of every map of every tile (Table 4, Figure 4); the label is explained.

    Returns
    -------
    pandas.DataFrame
        One row per tile and map: ``layer``, ``method``, ``denoising``, ``tv``,
        ``standard_error``. None of tiles where a model that decides per pixel sees the label
        nowhere: there is nothing to explain, and the map is zero.

    Raises
    ------
    SettingError
        If there is no such row at all.
    """
    rows = []
    labels = np.asarray(tiles.labels)
    done = 0
    for label in np.unique(labels):
        target, _ = model.readout.score_of(int(label))
        explainer = Explainer(model, wanted.specs(target), compute, scope="tiles", warn=False)
        members = np.flatnonzero(labels == label)
        at_once = tiles_at_once(explainer, tiles)
        for chunk in chunks(len(members), at_once):
            told("maps", done, len(tiles))
            indices = [int(members[i]) for i in chunk]
            result = explainer.explain(tiles.images(indices), [(i,) for i in indices])
            for spec, maps in zip(explainer.specs, result.specs, strict=True):
                values = total_variation(maps.maps)
                for row, index in enumerate(indices):
                    if not maps.explained_px[row]:
                        continue
                    rows.append(
                        {
                            "tile": tiles.name(index),
                            "label": int(label),
                            "layer": spec.layer,
                            "method": spec.method,
                            "denoising": spec.denoising,
                            "tv": float(values[row]),
                            "standard_error": float(maps.standard_error[row]),
                        }
                    )
            done += len(indices)
    if not rows:
        raise SettingError(
            f"model {model.card.name!r} sees the label of none of the {len(tiles)} tiles in it, so "
            "there is no map to measure; give other tiles"
        )
    return pd.DataFrame(rows)


def accuracy_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Table 2: per cent right by denoising."""
    grouped = frame.groupby("denoising", sort=False)["correct"]
    table = pd.DataFrame({"accuracy_pct": 100 * grouped.mean(), "tiles": grouped.count()})
    table["lost_points"] = table["accuracy_pct"].iloc[0] - table["accuracy_pct"]
    return table.reset_index()


def difference_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Table 3: mean and standard deviation of differences, times 100."""
    changed = frame[frame["denoising"] != "original"]
    grouped = changed.groupby("denoising", sort=False)
    columns = {
        f"{short}_x100_{how}": 100 * grouped[column].agg(how, **more)
        for short, column in (
            ("all_classes", "difference_all"),
            ("target_class", "difference_target"),
        )
        for how, more in (("mean", {}), ("std", {"ddof": 0}))
    }
    return pd.DataFrame(columns | {"tiles": grouped["difference_target"].count()}).reset_index()


def roughness_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Table 4: mean and standard deviation of total variation, and the change in per cent."""
    keys = ["method", "layer", "denoising"]
    grouped = frame.groupby(keys, sort=False)["tv"]
    table = pd.DataFrame(
        {"tv_mean": grouped.mean(), "tv_std": grouped.std(ddof=0), "tiles": grouped.size()}
    ).reset_index()
    original = table[table["denoising"] == "original"].set_index(["method", "layer"])["tv_mean"]
    before = [
        original.get((m, y), np.nan) for m, y in zip(table["method"], table["layer"], strict=True)
    ]
    table["reduction_pct"] = 100 * (1 - table["tv_mean"] / np.asarray(before, float))
    return table


def reduction_table(table: pd.DataFrame) -> pd.DataFrame:
    """Mean reduction over layers by method and denoising, of a `roughness_table`."""
    changed = table[table["denoising"] != "original"]
    means = changed.groupby(["method", "denoising"], sort=False)["reduction_pct"].mean()
    return means.rename("reduction_pct").reset_index()


def published(table: str) -> pd.DataFrame:
    """The paper's own rows: ``table2_accuracy``, ``table3_prediction_difference`` or
    ``table4_total_variation``."""
    name = f"smooth_deep_saliency_{table}.csv"
    source = files("napari_smoothsal") / "evaluation" / "reference" / name
    with source.open(encoding="utf-8") as file:
        return pd.read_csv(file)


def block_layers(model: Model) -> list[str]:
    """Outputs of blocks below some strided convolution, for Figure 4.

    A block is a numbered part of a larger one that itself has several parts.
    """
    modules = dict(model.module.named_modules())
    return [
        info.name
        for info in model.layers()
        if info.strided_convs_above
        and info.name.rpartition(".")[2].isdigit()
        and len(list(modules[info.name].children())) > 1
    ]


def tiles_at_once(explainer: Explainer, tiles: Tiles) -> int:
    """How many tiles are held at a time: what fits into a pass, but no more than `AT_ONCE`."""
    side = max(tiles.images([0]).shape[2:])
    return min(AT_ONCE, explainer.batch_size(side))


def chunks(count: int, size: int = AT_ONCE) -> Iterator[range]:
    """The numbers below ``count``, so many at a time."""
    for start in range(0, count, size):
        yield range(start, min(start + size, count))
