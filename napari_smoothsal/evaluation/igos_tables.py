"""The tables of iGOS++: which rows each has, at which mask sizes, and what the paper found.

What is measured of them is in `napari_smoothsal.evaluation.igos_measuring`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import pandas as pd

from napari_smoothsal.attribution.base import METHODS, MaskMethod
from napari_smoothsal.attribution.optimised_masks import Part
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.registry import Registry

OURS = "iGOS++"
"""The row that the others are compared with."""

_PAPERS_TILE_PX = 224
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"rise": {"masks": 8000, "cells": 7, "p1": 0.5}}
"""Of the paper, where they are not the methods' own."""

_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


class Entry(NamedTuple):
    """A row: what orders a tile's cells.

    Attributes
    ----------
    name
        As the paper calls it.
    method, options
        How it comes about.
    part
        Of two masks the one that counts.
    by_slope
        Whether cells that the mask hides alike go by its `slopes`; else in the order of their
        place, as the authors have it.
    """

    name: str
    method: str
    options: Mapping[str, Any] = _NO_OPTIONS
    part: Part = "product"
    by_slope: bool = False

    @property
    def optimised(self) -> bool:
        """Whether it is a mask; else a map, which is pooled to a mask's cells."""
        return isinstance(METHODS[self.method], MaskMethod)

    def told(
        self, mask_px: int, tile_px: int, given: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The method's options.

        Parameters
        ----------
        mask_px, tile_px
            Of the mask, and of the tile.
        given
            Options by method; what makes this row goes before them.
        """
        options = dict(_DEFAULTS.get(self.method, {}))
        if self.optimised:
            options |= _of_size(self.method, mask_px, tile_px)
        options |= {**given.get(self.method, {}), **self.options}
        if options.get("optimiser") == "nesterov" and "step" not in options:
            # The authors give none: so the price alone would hide or show a cell in 20 steps.
            options["step"] = mask_px**2 / (20 * options.get("sparsity", 1.0))
        return options | ({"mask_px": mask_px} if self.optimised else {})


def _of_size(method: str, mask_px: int, tile_px: int) -> dict[str, Any]:
    """What a mask's size asks for."""
    if method == "meaningful_perturbation":
        # It sums over cells: so the same hidden share costs the same at every size.
        return {"sparsity": 1e-4 * (28 / mask_px) ** 2}
    return {"sparsity": 10.0} if mask_px >= tile_px else {}


@dataclass(frozen=True)
class IgosTable:
    """A table, or figure.

    Attributes
    ----------
    name
        As on the command line.
    title
        What it is in the paper.
    entries
        Its rows.
    sizes
        Cells along a mask's side, of tiles of 224 px.
    measures
        ``areas`` under the curves of deletion and insertion, the final ``loss`` or the ``seconds``
        per tile.
    drawn
        Whether masks are drawn.
    """

    name: str
    title: str
    entries: tuple[Entry, ...]
    sizes: tuple[int, ...]
    measures: Literal["areas", "loss", "seconds"] = "areas"
    source: str | None = None
    drawn: bool = False

    def sizes_at(self, tile_px: int) -> dict[int, int]:
        """Sizes for tiles of a side, by those of the table: none is finer than the tile."""
        found: dict[int, int] = {}
        for size in self.sizes:
            if min(size, tile_px) not in found.values():
                found[size] = min(size, tile_px)
        return found

    @property
    def coarsest_px(self) -> float:
        """Side of the largest cell, of tiles of 224 px."""
        return _PAPERS_TILE_PX / min(self.sizes)

    def checked(self, given: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse options that the table sets itself, or that cannot work.

        Raises
        ------
        SettingError
            With what is wrong.
        """
        for method, options in given.items():
            if "mask_px" in options:
                raise SettingError(
                    f"option mask_px = {options['mask_px']} of method {method!r}: the table has "
                    f"its own sizes, {', '.join(map(str, self.sizes))}; leave it away"
                )
            if self.measures == "loss":
                for part in ("deletion", "insertion"):
                    if options.get(part) is False:
                        raise SettingError(
                            f"option {part} = False of method {method!r}: the table is of the sum "
                            "of both; leave it away"
                        )
            if options.get("sparsity") == 0 and any(
                e.method == method and e.options.get("optimiser") == "nesterov"
                for e in self.entries
            ):
                raise SettingError(
                    f"option sparsity = 0 of method {method!r}: the fixed step of a row of this "
                    "table follows from it; give one above 0"
                )
        for entry in self.entries:
            METHODS[entry.method].options(**entry.told(min(self.sizes), _PAPERS_TILE_PX, given))

    def amounts(self, given: Mapping[str, Mapping[str, Any]]) -> str:
        """How many iterations, masks or steps its rows take, in words.

        Parameters
        ----------
        given
            Options by method.
        """
        found: dict[str, list[str]] = {}
        for entry in self.entries:
            told = entry.told(min(self.sizes), _PAPERS_TILE_PX, given)
            options = METHODS[entry.method].options(**told)
            for what in ("iterations", "masks", "steps"):
                if hasattr(options, what):
                    count = getattr(options, what)
                    amount = f"{count} {what.removesuffix('s') if count == 1 else what}"
                    found.setdefault(amount, []).append(entry.name)
                    break
        if len(found) == 1:
            return next(iter(found))
        return ", ".join(f"{amount} ({', '.join(names)})" for amount, names in found.items())

    def published(self) -> pd.DataFrame | None:
        """The paper's rows: ``method``, ``mask_size`` and what was measured; None: it has none."""
        if self.source is None:
            return None
        name = f"igos_plus_plus_{self.source}.csv"
        source = files("napari_smoothsal") / "evaluation" / "reference" / name
        with source.open(encoding="utf-8") as file:
            table = pd.read_csv(file)
        return _long(table) if "variant" in table else table


def _long(table: pd.DataFrame) -> pd.DataFrame:
    """One row per variant and size, of one row per variant."""
    parts = [
        table[["variant", f"deletion_{size}", f"insertion_{size}"]]
        .set_axis(["method", "deletion_auc", "insertion_auc"], axis=1)
        .assign(mask_size=size)
        for size in (224, 28)
    ]
    return pd.concat(parts, ignore_index=True)


TABLES: Registry[IgosTable] = Registry("table")

_METHODS = (
    Entry("Grad-CAM", "grad_cam"),
    Entry("Integrated Gradients", "integrated_gradients"),
    Entry("RISE", "rise"),
    Entry("Mask", "meaningful_perturbation"),
    Entry("I-GOS", "igos"),
    Entry(OURS, "igos_plus_plus"),
)
_ABLATION = (
    Entry("I-GOS", "igos"),
    Entry(
        "insertion only",
        "igos_plus_plus",
        {"deletion": False, "separate_masks": False, "bilateral": False},
    ),
    Entry("I-GOS + insertion (naive)", "igos_plus", {"bilateral": False}),
    Entry("iGOS++ no noise", "igos_plus_plus", {"noise": 0.0}),
    Entry("iGOS++ fixed step", "igos_plus_plus", {"optimiser": "nesterov"}),
    Entry("iGOS++ no BTV", "igos_plus_plus", {"smoothness": 0.0}),
    Entry("iGOS++ TV for BTV", "igos_plus_plus", {"bilateral": False}),
    Entry(OURS, "igos_plus_plus"),
)
_PRICES = ((1.0, 2.0), (1.0, 20.0), (10.0, 20.0), (10.0, 200.0))
_LOSSES = tuple(
    Entry(name, method, {"sparsity": sparsity, "smoothness": smoothness})
    for name, method in (("I-GOS + insertion (naive)", "igos_plus"), (OURS, "igos_plus_plus"))
    for sparsity, smoothness in _PRICES
)
_PARTS = (
    Entry("deletion mask", "igos_plus_plus", part="deletion"),
    Entry("insertion mask", "igos_plus_plus", part="insertion"),
    Entry(OURS, "igos_plus_plus"),
)
_TIMED = (
    Entry(OURS, "igos_plus_plus"),
    Entry("I-GOS", "igos"),
    Entry("Mask", "meaningful_perturbation"),
    Entry("RISE", "rise"),
    Entry("Gradient-based", "gradient"),
)
_SMOOTHED = tuple(
    Entry(
        f"{name}, lambda 2 = {price:g}",
        "igos_plus_plus",
        {"bilateral": name == "BTV", "smoothness": price},
    )
    for name in ("BTV", "TV")
    for price in (2.0, 20.0, 200.0)
)

for _table in (
    IgosTable("igos1", "Table 1 (ResNet50)", _METHODS, (224, 28, 7), source="table1_resnet50"),
    IgosTable("igos2", "Table 2 (VGG19)", _METHODS, (224, 28, 14), source="table2_vgg19"),
    IgosTable(
        "igos3", "Table 3 (ablation)", _ABLATION, (224, 28), source="table3_ablation_resnet50"
    ),
    IgosTable("igos4", "Table 4 (loss)", _LOSSES, (28,), "loss", "table4_loss_resnet50"),
    IgosTable(
        "igos6", "Table 6 (its two masks)", _PARTS, (224, 28), source="table6_masks_resnet50"
    ),
    IgosTable("igos7", "Table 7 (time)", _TIMED, (28, 224), "seconds", "table7_seconds_resnet50"),
    IgosTable("igos12", "Figure 12 (smoothness)", _SMOOTHED, (224,), drawn=True),
):
    TABLES.register(_table)
