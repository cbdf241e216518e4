"""Calibrations that a user measured on tissue of their own, outside of any model's folder.

One file of a model's weights at one resolution, as ``smoothsal run --calibration`` takes it, in a
folder that one can look into and empty: ``.smoothsal/calibrations`` in the user's home, or where
``SMOOTHSAL_CALIBRATIONS`` says. Here, where nothing needs torch, so that a window can list them.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_smoothsal.core.calibration import Calibration
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.files import replaced_at_once

ELSEWHERE = "SMOOTHSAL_CALIBRATIONS"
_MOST_BYTES = 1 << 24


@dataclass(frozen=True)
class KeptCalibration:
    """One of a file.

    Attributes
    ----------
    path
        The file.
    model
        Name of the model.
    number
        Its place in the file.
    calibration
        What was measured.
    """

    path: Path
    model: str
    number: int
    calibration: Calibration


def calibrations_folder() -> Path:
    """Where they are; it need not be there."""
    given = os.environ.get(ELSEWHERE)
    return Path(given) if given else Path.home() / ".smoothsal" / "calibrations"


def calibrations_file(model: str, parameters_sha256: str, mpp: float | None) -> Path:
    """The file of a model.

    Parameters
    ----------
    model
        Its name.
    parameters_sha256
        Of its weights.
    mpp
        Micrometres per pixel of its tiles; None where nobody says them.
    """
    name = _safe(model)
    scale = "" if mpp is None else f"-{mpp:g}um"
    return calibrations_folder() / f"{name}-{parameters_sha256[:12]}{scale}.json"


def kept_calibrations() -> list[KeptCalibration]:
    """All that are there, by file; files that cannot be read are left out."""
    folder = calibrations_folder()
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        fields = _fields(path)
        try:
            model, listed = str(fields["model"]), fields["calibrations"]
            found += [
                KeptCalibration(path, model, number, Calibration(**one))
                for number, one in enumerate(listed)
            ]
        except (SettingError, KeyError, TypeError):
            continue
    return found


def forget_calibration(kept: KeptCalibration) -> None:
    """Take one out of its file; the file goes with the last one.

    Raises
    ------
    SettingError
        If the file cannot be written, or has changed since it was read.
    """
    fields = _fields(kept.path)
    listed = fields.get("calibrations", [])
    try:
        there = Calibration(**listed[kept.number]) == kept.calibration
    except (IndexError, TypeError, SettingError):
        there = False
    if not there:
        raise SettingError(
            f"calibration: {kept.path.name!r} has changed since it was listed; look at the list "
            "again"
        )
    rest = [one for number, one in enumerate(listed) if number != kept.number]
    try:
        if not rest:
            kept.path.unlink()
            return
        with replaced_at_once(kept.path) as part:
            part.write_text(json.dumps(fields | {"calibrations": rest}, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise SettingError(
            f"calibration: {kept.path.name!r} could not be changed "
            f"({error.strerror or 'its folder cannot be written to'}); remove it by hand"
        ) from error


def calibrations_mark(model: str) -> str:
    """What tells the calibrations of a model that are kept from others; empty where none are."""
    folder, digest = calibrations_folder(), hashlib.sha256()
    files = sorted(folder.glob(f"{glob.escape(_safe(model))}-*.json")) if folder.is_dir() else []
    for path in files:
        with contextlib.suppress(OSError):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12] if files else ""


def _safe(model: str) -> str:
    return re.sub(r"[^\w.+-]", "_", model)


def _fields(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
