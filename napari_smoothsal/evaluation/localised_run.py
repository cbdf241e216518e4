"""Every map of a run against known nuclei: the public `localisation`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SettingError, StoreError
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.evaluation.bootstrap import BLOCK_UM, RESAMPLES, Blocks, Measured
from napari_smoothsal.evaluation.coverage import Coverage, Placement, coverage
from napari_smoothsal.evaluation.localised_map import localise
from napari_smoothsal.evaluation.nuclei import Nuclei, nuclei_of
from napari_smoothsal.slides.outlines import Outlines, read_outlines

Pair = tuple[float, float]

RIM_UM = 1.0


class PlacedMap(Protocol):
    """What is asked of a map: `napari_smoothsal.runs.RunMap` is one."""

    spec: SaliencySpec
    target: str
    shape: tuple[int, int]
    scale_um: Pair
    translate_um: Pair

    @property
    def levels(self) -> Sequence[Any]: ...


class MappedRun(Protocol):
    """What is asked of a run: `napari_smoothsal.runs.Run` is one."""

    @property
    def maps(self) -> Mapping[str, Any]: ...

    @property
    def mpp(self) -> Pair: ...

    @property
    def provenance(self) -> dict[str, Any]: ...


def localisation(
    run: MappedRun,
    nuclei: str | Path | Outlines,
    *,
    nuclei_class: str | None = None,
    other_classes: Sequence[str] = (),
    rim_um: float = RIM_UM,
    block_um: float = BLOCK_UM,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure whether the maps of a run lie on the right nuclei.

    Parameters
    ----------
    run
        From `open_run` or `explain_slide`.
    nuclei
        GeoJSON file of outlines with classes, in level-0 px of the run's slide (QuPath's export
        is), or what `read_outlines` made of it.
    nuclei_class, other_classes
        Classes of the explained nuclei and of the others, where the maps' target and the names
        in the file do not say it: see `nuclei_of`.
    rim_um
        How far a nucleus's rim reaches to both sides of its outline.
    block_um, resamples, seed
        Of the bootstrap that the 95 % intervals come from.

    Returns
    -------
    pandas.DataFrame
        One row per map in the run's order: ``model``, ``key``, ``layer``, ``denoising``,
        ``method``, ``target``, classes, ``um_per_px``, counts, ``rim_resolved`` (False where a
        layer pixel is wider than a whole rim, 2 ``rim_um``, and so always mixes it with its
        surroundings), and every entry of `localise` with ``_low`` and ``_high``.

    Raises
    ------
    SlideError
        If the outlines cannot be read or are not of this slide.
    SettingError
        If the classes are not clear or ``rim_um`` is not positive.
    StoreError
        If the run has no maps, or a map covers none of the nuclei of its class.
    """
    rows: dict[str, dict[str, Any]] = {}
    for found in over_nuclei(run, nuclei, nuclei_class, other_classes, rim_um):
        one, part = run.maps[found.key], found.part
        blocks = Blocks(part.centres_um, block_um, resamples, seed)
        measured = localise(found.values, part, blocks)
        about = _about(found.key, one, part, found.nuclei, rim_um, len(blocks))
        model = {"model": run.provenance["model"]["name"]}
        rows[found.key] = model | about | _columns(measured)
    return pd.DataFrame([rows[key] for key in run.maps])


class OverNuclei(NamedTuple):
    """A map, and what it lies on.

    Attributes
    ----------
    key
        Of the map.
    values
        (n,) of the explained pixels.
    part
        What these pixels lie on.
    nuclei
        Those it is measured against.
    """

    key: str
    values: NDArray[np.float32]
    part: Coverage
    nuclei: Nuclei


def over_nuclei(
    run: MappedRun,
    nuclei: str | Path | Outlines,
    nuclei_class: str | None,
    other_classes: Sequence[str],
    rim_um: float = RIM_UM,
) -> Iterator[OverNuclei]:
    """The maps of a run one after the other, those of one place together; see `localisation`."""
    if not (np.isfinite(rim_um) and rim_um > 0):
        raise SettingError(f"rim_um = {rim_um:g}: give the micrometres of a rim, above 0")
    if not run.maps:
        raise StoreError(
            "the store holds no maps (it was made with --predict-only); make one with --layer"
        )
    outlines = nuclei if isinstance(nuclei, Outlines) else read_outlines(nuclei)
    size = run.provenance["slide"]
    outlines.check_on_slide((size["width"], size["height"]))
    for target, keys in _grouped(run.maps, lambda one: one.target).items():
        chosen = nuclei_of(
            outlines, target, run.mpp, nuclei_class=nuclei_class, other_classes=other_classes
        )
        maps = {key: run.maps[key] for key in keys}
        for same in _grouped(maps, _place).values():
            values = {key: _values(maps[key]) for key in same}
            explained = np.any([np.isfinite(v) for v in values.values()], axis=0)
            first = maps[same[0]]
            placement = Placement.of(first.scale_um, first.translate_um, first.shape, run.mpp)
            covered = coverage(placement, explained, chosen, rim_um)
            for key in same:
                flat = values[key][explained]
                known = np.isfinite(flat)
                part = covered.restricted(known)
                _check_covers(key, part, chosen)
                yield OverNuclei(key, flat[known], part, chosen)


def _grouped(maps: Mapping[str, PlacedMap], by: Any) -> dict[Any, list[str]]:
    groups: dict[Any, list[str]] = {}
    for key, one in maps.items():
        groups.setdefault(by(one), []).append(key)
    return groups


def _place(one: PlacedMap) -> tuple[Pair, Pair, tuple[int, int]]:
    return one.scale_um, one.translate_um, one.shape


def _values(one: PlacedMap) -> NDArray[np.float32]:
    h, w = one.shape  # a level is padded beyond it
    return np.asarray(one.levels[0][:h, :w], np.float32)


def _check_covers(key: str, part: Coverage, nuclei: Nuclei) -> None:
    if not part.areas[nuclei.of_class].any():
        raise StoreError(
            f"map {key!r} covers none of the {int(nuclei.of_class.sum())} outlines of class "
            f"{nuclei.class_name!r}; explain a region that holds some, or check that the outlines "
            "are of this slide"
        )


def _about(
    key: str, one: PlacedMap, part: Coverage, nuclei: Nuclei, rim_um: float, blocks: int
) -> dict[str, Any]:
    there = part.areas > 0
    um_per_px = max(one.scale_um)
    return {
        "key": key,
        "layer": one.spec.layer,
        "denoising": one.spec.denoising_label,
        "method": one.spec.method_label,
        "target": one.target,
        "class": nuclei.class_name,
        "others": ", ".join(nuclei.other_names),
        "um_per_px": um_per_px,
        "rim_um": rim_um,
        "rim_resolved": um_per_px <= 2 * rim_um * (1 + 1e-6),
        "explained_mm2": len(part.centres_um) * float(np.prod(one.scale_um)) / 1e6,
        "blocks": blocks,
        "nuclei_of_class": int((there & nuclei.of_class).sum()),
        "nuclei_other": int((there & ~nuclei.of_class).sum()),
        "nuclei_left_out": int((~there).sum()),
    }


def _columns(measured: Mapping[str, Measured]) -> dict[str, float]:
    return {
        name + ending: number
        for name, result in measured.items()
        for ending, number in zip(("", "_low", "_high"), result, strict=True)
    }
