"""Comparison: maps of one place beside each other, and whether their values compare."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from napari_smoothsal.core.variants import check_columns
from napari_smoothsal.runs.run import Run, RunMap

LABELS = {
    "layer": "layer_label",
    "channel": "layer_label",
    "denoising": "denoising_label",
    "denoising_options": "denoising_label",
    "jitter": "denoising_label",
    "method": "method_label",
    "method_options": "method_label",
}
"""Fields of a spec that are told in words, and by what."""


@dataclass(frozen=True)
class ComparedMap:
    """One column.

    Attributes
    ----------
    run, key
        The store, and the map's name in it.
    """

    run: Run
    key: str

    @cached_property
    def map(self) -> RunMap:
        """The map itself."""
        return self.run.maps[self.key]

    @cached_property
    def model(self) -> dict[str, Any]:
        """What the store says of the model."""
        found: dict[str, Any] = self.run.provenance["model"]
        return found

    @property
    def total_variation(self) -> float | None:
        """Of the raw map, mean over its tiles; None where no tile has one."""
        return self._mean("tv")

    @property
    def standard_error(self) -> float | None:
        """Relative, of the mean over noise samples, mean over tiles; None without noise."""
        return self._mean("se")

    def _mean(self, name: str) -> float | None:
        tiles = self.run.tiles
        values = tiles.loc[tiles["status"] == "done", f"{name}_{self.key}"].to_numpy(float)
        values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else None


@dataclass(frozen=True)
class Comparison:
    """Maps of one place; those of a comparison that is not finished are fewer than were asked for.

    Attributes
    ----------
    columns
        In the order in which they were asked for.
    """

    columns: tuple[ComparedMap, ...]

    @classmethod
    def of(cls, *runs: Run) -> Comparison:
        """All maps of some runs of one slide.

        Raises
        ------
        SettingError
            If these are not 2 to 4 maps.
        """
        columns = tuple(ComparedMap(run, key) for run in runs for key in run.maps)
        check_columns(len(columns))
        return cls(columns)

    @property
    def labels(self) -> tuple[str, ...]:
        """Of each column what tells it from the others; where nothing does, its number."""
        told = [_told(column) for column in self.columns]
        differing = [n for n in told[0] if len({one[n] for one in told}) > 1] if told else []
        if not differing:
            return tuple(f"column {number}" for number in range(1, len(told) + 1))
        return tuple(", ".join(one[n] for n in differing) for one in told)

    @property
    def unlike(self) -> tuple[str, ...]:
        """Why the values of the columns do not compare, as what differs; empty where they do.

        Maps of one model, layer and method are in the same units, whatever their class and
        denoising; a sum over the channels of another layer is not, nor what another method calls
        an attribution.
        """
        quantities = [_quantity(column) for column in self.columns]
        return tuple(
            name
            for name in (quantities[0] if quantities else {})
            if len({one[name] for one in quantities}) > 1
        )


def _told(column: ComparedMap) -> dict[str, str]:
    """What a column is, by what it is called."""
    spec, model = column.map.spec, column.model
    words: dict[str, str] = {"model": str(model["name"])}
    for name in type(spec).model_fields:
        if name == "target":
            words[name] = column.map.target
        elif name in LABELS:
            words[LABELS[name]] = str(getattr(spec, LABELS[name])).replace("_", " ")
        else:
            words[name] = f"{name.replace('_', ' ')} {getattr(spec, name)}"
    return words


def _quantity(column: ComparedMap) -> dict[str, str]:
    """What two maps must have in common for their values to compare."""
    spec, target = column.map.spec, column.map.target
    return {
        "model": f"{column.model['parameters_sha256']} {column.model['input_mpp']}",
        "layer": spec.layer_label,
        "method": spec.method_label,
        "channels": spec.reduction,
        "aggregate": spec.aggregate,
        "kind of target": target.partition(":")[0] if target.startswith("unit:") else "class",
    }
