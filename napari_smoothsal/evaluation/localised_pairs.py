"""Is one map on the right nuclei more than another? Differences of maps, paired by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.evaluation.bootstrap import BLOCK_UM, RESAMPLES, Blocks
from napari_smoothsal.evaluation.localised_map import rankings
from napari_smoothsal.evaluation.localised_run import MappedRun, PlacedMap, over_nuclei
from napari_smoothsal.slides.outlines import Outlines

FIGURES = (
    "pixel_auroc",
    "pixel_auroc_magnitude",
    "nucleus_auroc",
    "nucleus_auroc_magnitude",
    "nucleus_ap",
)
_BLUR = "gaussian_blur"
_Resampled = tuple[float, NDArray[np.float64]]


def compared_localisation(
    run: MappedRun,
    nuclei: str | Path | Outlines,
    *,
    nuclei_class: str | None = None,
    other_classes: Sequence[str] = (),
    block_um: float = BLOCK_UM,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare each denoising's map with the original's, and with the blur as smooth as it.

    Parameters
    ----------
    run, nuclei, nuclei_class, other_classes, block_um, resamples, seed
        See `localisation`. The same blocks of the slide are drawn for both maps of a pair.

    Returns
    -------
    pandas.DataFrame
        One row per pair and figure: ``layer``, ``method``, ``target``, ``denoising``, ``against``,
        ``figure`` (one of `FIGURES`), ``difference``, its 95 % interval ``low`` to ``high`` and the
        two-sided bootstrap p-value ``p`` of this one comparison. Empty where there are no pairs.
    """
    pairs = control_pairs(run.maps)
    wanted = {key for pair in pairs for key in pair}
    blocks: dict[str, Blocks] = {}
    found: dict[str, dict[str, _Resampled]] = {}
    for one in over_nuclei(run, nuclei, nuclei_class, other_classes):
        if one.key not in wanted:
            continue
        # Maps that were laid back lie a little beside the others: the blocks are the same for all.
        target = run.maps[one.key].target
        if target not in blocks:
            blocks[target] = Blocks(one.part.centres_um, block_um, resamples, seed)
        values = np.asarray(one.values, np.float64)
        found[one.key] = {
            name: (value, drawn)
            for name, value, drawn in rankings(values, one.part, blocks[target])
            if name in FIGURES
        }
    rows = []
    for key, other in pairs:
        spec, against = run.maps[key].spec, run.maps[other].spec
        for name in FIGURES:
            (value, drawn), (less, drawn_of_other) = found[key][name], found[other][name]
            drawn = drawn - drawn_of_other
            difference, low, high = blocks[run.maps[key].target].measured(value - less, drawn)
            rows.append(
                {
                    "layer": spec.layer,
                    "method": spec.method_label,
                    "target": run.maps[key].target,
                    "denoising": spec.denoising_label,
                    "against": _named(against, spec),
                    "figure": name,
                    "difference": difference,
                    "low": low,
                    "high": high,
                    "p": two_sided_p(drawn) if np.isfinite(low) else np.nan,
                }
            )
    return pd.DataFrame(rows)


def control_pairs(maps: Mapping[str, PlacedMap]) -> list[tuple[str, str]]:
    """Keys of each denoising's map, and of the original's or the blur's that is to be beaten."""
    pairs = []
    for key, one in maps.items():
        if one.spec.denoising in ("original", _BLUR):
            continue
        for other, control in maps.items():
            if _alike(one) == _alike(control) and _is_control(control.spec, one.spec):
                pairs.append((key, other))
    return pairs


def _alike(one: PlacedMap) -> tuple[object, ...]:
    same: dict[str, object] = {"denoising": "original", "denoising_options": {}, "target": None}
    return (one.spec.model_copy(update=same), one.target)


def _is_control(control: SaliencySpec, spec: SaliencySpec) -> bool:
    if control.denoising == _BLUR:
        return control.denoising_options.get("match") == spec.denoising
    if (spec.denoising, control.denoising) == ("centred_hook", "backward_hook"):
        return True
    return control.denoising == "original"


def _named(control: SaliencySpec, spec: SaliencySpec) -> str:
    return (
        f"blur as smooth as {spec.denoising}" if control.denoising == _BLUR else control.denoising
    )


def two_sided_p(drawn: NDArray[np.float64]) -> float:
    """Two-sided: how rarely resamples fall on the other side of zero."""
    finite = drawn[np.isfinite(drawn)]
    tail = min((finite <= 0).sum(), (finite >= 0).sum())
    return float(min(1.0, 2 * (1 + tail) / (1 + len(finite))))
