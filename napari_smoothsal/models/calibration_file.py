"""``calibration.json`` beside a model's card: the limits of its maps, bound to its weights."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_smoothsal.core.calibration import Calibration
from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import ModelError, SettingError
from napari_smoothsal.core.files import replaced_at_once
from napari_smoothsal.core.kept_calibrations import calibrations_file
from napari_smoothsal.models.card_file import json_object

if TYPE_CHECKING:
    from napari_smoothsal.models.model import Model

CALIBRATION = "calibration.json"
_MOST_BYTES = 1 << 24


def load_calibrations(path: Path, model: Model) -> tuple[Calibration, ...]:
    """Read the calibrations of a model.

    Parameters
    ----------
    path
        The file, or the folder that holds it.
    model
        Whose they must be.

    Raises
    ------
    ModelError
        If the file is missing or unreadable, or of other weights.
    """
    if path.is_dir():
        path = path / CALIBRATION
    if not path.is_file():
        folder = path.absolute().parent.name
        raise ModelError(
            f"calibration: there is no {path.name!r} in {folder!r}; give what `smoothsal "
            "calibrate` wrote"
        )
    fields = json_object(path, "calibration", _MOST_BYTES)
    found = str(fields.get("parameters_sha256"))
    if found != model.parameters_sha256:
        raise ModelError(
            f"calibration: {path.name!r} was measured on other weights ({found[:12]}...) than "
            f"those of model {model.card.name!r} ({model.parameters_sha256[:12]}...); remove it, "
            "or measure again with `smoothsal calibrate`"
        )
    try:
        return tuple(Calibration(**one) for one in fields["calibrations"])
    except (SettingError, KeyError, TypeError) as error:
        raise ModelError(f"calibration: {path.name!r} cannot be read: {error}") from error


def calibrations_beside(folder: Path, model: Model) -> tuple[Calibration, ...]:
    """Those in a model's own folder; none, and a warning, where they cannot be used.

    A model whose weights have changed since can be used without them.
    """
    if not (folder / CALIBRATION).is_file():
        return ()
    try:
        return load_calibrations(folder, model)
    except ModelError as error:
        warn_caller(f"{error}. Until then maps are shown without limits")
        return ()


def kept_file(model: Model) -> Path:
    """Where a user's own calibrations of a model are kept; see `kept_calibrations`."""
    return calibrations_file(model.card.name, model.parameters_sha256, model.card.input_mpp)


def kept_of(model: Model) -> tuple[Calibration, ...]:
    """Those; none, and a warning, where the file cannot be used."""
    path = kept_file(model)
    if not path.is_file():
        return ()
    try:
        return load_calibrations(path, model)
    except ModelError as error:
        warn_caller(
            f"{error}. Until then maps are shown with the model's own limits, if it has any"
        )
        return ()


def calibration_place(path: Path, model: Model) -> Path:
    """The file that a path means, once it is sure that calibrations can be written there.

    Parameters
    ----------
    path
        The file, or a folder for it.
    model
        Whose they will be.

    Raises
    ------
    SettingError
        If nothing can be written there.
    ModelError
        If the file is there and cannot be added to, as one of other weights.
    """
    file = path if path.suffix == ".json" else path / CALIBRATION
    there = next(folder for folder in file.absolute().parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK) or file.is_dir():
        raise SettingError(
            f"calibration: nothing can be written to {file.name!r} in {there.name!r}; give another "
            "file or folder"
        )
    if file.exists():
        load_calibrations(file, model)
    return file


def save_calibrations(
    model: Model, calibrations: Iterable[Calibration], path: Path, *, anew: bool = False
) -> Path:
    """Write calibrations, beside those of other maps that are there.

    Parameters
    ----------
    model
        Whose they are.
    calibrations
        They replace those of the same maps.
    path
        The file, or a folder for it, which is made.
    anew
        Replace a file that is of other weights or damaged.

    Raises
    ------
    ModelError
        If the file is there and of other weights or damaged, unless it may be replaced.
    """
    if path.suffix != ".json":
        path.mkdir(parents=True, exist_ok=True)
        path = path / CALIBRATION
    known: tuple[Calibration, ...] = ()
    if path.exists():
        try:
            known = load_calibrations(path, model)
        except ModelError:
            if not anew:
                raise
    all_of_them = {_of(one): one for one in (*known, *calibrations)}
    text = json.dumps(
        {
            "model": model.card.name,
            "parameters_sha256": model.parameters_sha256,
            "calibrations": [one.model_dump(mode="json") for one in all_of_them.values()],
        },
        indent=1,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_at_once(path) as part:
        part.write_text(text + "\n", encoding="utf-8")
    return path


def _of(one: Calibration) -> str:
    return json.dumps([one.spec, one.target, one.surrogate], sort_keys=True)
