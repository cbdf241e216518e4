"""Is a store's table of tiles consistent: with itself, with the status and with the plan?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.findings import Finding, note, ok, wrong
from napari_smoothsal.runs.layout import (
    DONE,
    FAILED,
    FINISHED,
    NOT_EXPLAINED,
    PENDING,
    STATUS_NAMES,
    WITH_ERRORS,
)

ANOTHER_OUT = "compute the slide into another --out; this store cannot be trusted"
REPAIR = "`smoothsal doctor --repair` lets them wait again, then repeat the `smoothsal run` command"

ROUNDING = 1e-6
WHOLE = 1e-3
"""By how much one probability, and the sum of all of a tile, may be off."""


@dataclass(frozen=True)
class TableCheck:
    """What a table says.

    Attributes
    ----------
    findings
        In words.
    again
        (n,) tiles whose rows cannot be right, and that may be computed again.
    unfinished
        Whether tiles wait in a store that calls itself finished.
    """

    findings: tuple[Finding, ...]
    again: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    unfinished: bool = False


def check_table(
    columns: Mapping[str, NDArray[Any]], own: Mapping[str, Any], unreadable: bool
) -> TableCheck:
    """Compare the tiles' columns with each other, with the status and with the plan.

    Parameters
    ----------
    columns
        Of the table, those that can be read; see `Run.tiles`.
    own
        Our attributes of the store.
    unreadable
        Whether some cannot.
    """
    if "status" not in columns or "predicted" not in columns:
        return TableCheck(() if unreadable else (_lacking(),))
    identity, status = own["identity"], columns["status"]
    if len(status) != identity["grid"]["tiles"]:
        said = f"{len(status)} rows, and the run planned {identity['grid']['tiles']} tiles"
        return TableCheck((wrong("tiles", said, ANOTHER_OUT),))
    found = []
    if not _as_planned(columns, identity):
        found.append(wrong("tiles", "they do not lie where the run planned them", ANOTHER_OUT))
    bad = _strange(columns, identity)
    if len(bad):
        said = f"{len(bad)} have an unknown status, or a decision that cannot be right"
        found.append(wrong("tiles", f"{said} (first: row {bad[0]})", REPAIR))
    waiting = int((status == PENDING).sum())
    unfinished = own["status"] in FINISHED and waiting > 0
    if unfinished:
        said = f"{waiting} wait in a store that calls itself {own['status']}"
        found.append(wrong("tiles", said, REPAIR))
    failed = int((status == FAILED).sum())
    if (own["status"] == WITH_ERRORS) != bool(failed) and own["status"] in FINISHED:
        said = f"{failed} failed, and the store calls itself {own['status']}"
        found.append(wrong("tiles", said, ANOTHER_OUT))
    if not found:
        found.append(_counted(status, failed))
    return TableCheck(tuple(found), bad, unfinished)


def _counted(status: NDArray[np.integer], failed: int) -> Finding:
    counts = [f"{(status == s).sum()} {name}" for s, name in enumerate(STATUS_NAMES)]
    said = ", ".join(words.replace("_", " ") for words in counts if not words.startswith("0 "))
    said = f"{len(status)}: {said}" if said else "none: there is no tissue in what was asked for"
    if failed:
        return note("tiles", said, "repeat the `smoothsal run` command with --retry-failed")
    return ok("tiles", said)


def _lacking() -> Finding:
    return wrong("tiles", "the table lacks columns", ANOTHER_OUT)


def _as_planned(columns: Mapping[str, NDArray[Any]], identity: Mapping[str, Any]) -> bool:
    """Whether the tiles' places are those whose hash is part of the run's identity."""
    if not {"x_px", "y_px"} <= columns.keys():
        return True  # it is said elsewhere that they cannot be read
    places = np.stack([columns["y_px"], columns["x_px"]], axis=1).astype(np.float64)
    if not np.isfinite(places).all():
        return False
    sides = [columns[name] for name in ("w_px", "h_px") if name in columns]
    if not all((side > 0).all() for side in sides):
        return False
    origins = np.rint(places / np.array(identity["grid"]["level0_px_per_model_px"]))
    digest = hashlib.sha256(np.ascontiguousarray(origins.astype(np.int64)).tobytes()).hexdigest()
    return bool(digest == identity["grid"]["origins_sha256"])


def _strange(columns: Mapping[str, NDArray[Any]], identity: Mapping[str, Any]) -> NDArray[np.int64]:
    status = columns["status"]
    bad = status >= len(STATUS_NAMES)
    decided = np.isin(status, (DONE, NOT_EXPLAINED))
    predicted, outcomes = columns["predicted"], len(identity["model"]["outcomes"])
    bad = bad | (decided & ((predicted < 0) | (predicted >= outcomes)))
    names = [f"p_{index}" for index in range(len(identity["model"]["class_names"]))]
    for name in names:
        values = columns.get(name)
        if values is not None:
            # A probability, but for rounding; NaN is none.
            bad = bad | (decided & ~((values >= -ROUNDING) & (values <= 1 + ROUNDING)))
    if all(name in columns for name in names):
        bad = bad.copy()
        rows = np.flatnonzero(decided & ~bad)
        given = np.stack([columns[name][rows] for name in names], axis=1).astype(np.float64)
        dense = identity["model"]["kind"] == "segmentation"
        bad[rows] = ~_is_decision(given, predicted[rows], dense)
    return np.flatnonzero(bad)


def _is_decision(
    given: NDArray[np.float64], predicted: NDArray[np.integer], dense: bool
) -> NDArray[np.bool_]:
    """Whether probabilities and outcome can be those of one tile; see `Readout.decide`.

    Columns of older stores read 0 where a chunk of them is gone.

    Parameters
    ----------
    given
        (N, classes), each 0..1.
    predicted
        (N,) outcome.
    dense
        Whether they are means over pixels, and the outcome is the majority's.
    """
    if given.shape[1] == 1:
        first = given[:, 0]
        against = (predicted == 1) & (first <= 0.5 + ROUNDING)
        # One pixel of 0.5 is enough for the outcome, and too little for the mean.
        least = 0.0 if dense else 0.5 - ROUNDING
        return np.asarray(against | ((predicted == 0) & (first > least)))
    chosen = np.take_along_axis(given, predicted[:, None].astype(np.int64), axis=1)[:, 0]
    least_of_chosen = 0.0 if dense else given.max(axis=1, initial=0) - ROUNDING
    whole = np.abs(given.sum(axis=1) - 1) <= WHOLE
    return np.asarray(whole & (chosen > least_of_chosen))
