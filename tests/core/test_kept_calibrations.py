"""Calibrations of the user's own: plain files, listed, removed one by one."""

import json
from pathlib import Path

import pytest

from napari_smoothsal.core.calibration import Calibration
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.kept_calibrations import (
    ELSEWHERE,
    calibrations_file,
    calibrations_folder,
    calibrations_mark,
    forget_calibration,
    kept_calibrations,
)

FIELDS = {
    "spec": {"layer": "layer1"},
    "limit": 0.5,
    "probability": 0.9,
    "full_colour": 1.0,
    "error_rate": 0.05,
    "expected": (0.02, 0.08),
    "tiles": 30,
    "tile_px": 64,
    "copies": 39,
    "stain": 0.1,
    "predicted": 0.0,
    "tissue": "0.4 mm2 of one slide",
}
SHA = "0123456789abcdef"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ELSEWHERE, str(tmp_path / "kept"))
    return tmp_path / "kept"


def written(model: str, *targets: str, mpp: float | None = 0.5) -> Path:
    path = calibrations_file(model, SHA, mpp)
    path.parent.mkdir(exist_ok=True)
    listed = [Calibration(target=target, **FIELDS).model_dump(mode="json") for target in targets]
    fields = {"model": model, "parameters_sha256": SHA, "calibrations": listed}
    path.write_text(json.dumps(fields), encoding="utf-8")
    return path


def test_they_lie_in_the_home_folder_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ELSEWHERE)
    assert calibrations_folder() == Path.home() / ".smoothsal" / "calibrations"


def test_a_file_is_of_a_model_its_weights_and_its_resolution(folder: Path) -> None:
    paths = {
        calibrations_file(*args)
        for args in (("m", SHA, 0.5), ("n", SHA, 0.5), ("m", SHA[1:], 0.5), ("m", SHA, 0.25))
    }
    assert len(paths) == 4 and {path.parent for path in paths} == {folder}
    assert calibrations_file("../a b/ä", SHA, None).parent == folder


def test_one_is_removed_and_the_file_goes_with_the_last(folder: Path) -> None:
    assert kept_calibrations() == []
    path = written("m", "tumour", "stroma")
    first, second = kept_calibrations()
    assert (first.model, first.calibration.target, second.calibration.target) == (
        "m",
        "tumour",
        "stroma",
    )
    forget_calibration(first)
    (left,) = kept_calibrations()
    assert left.calibration.target == "stroma"
    with pytest.raises(SettingError, match="has changed since"):
        forget_calibration(second)  # it has another number now
    forget_calibration(left)
    assert kept_calibrations() == [] and not path.exists()


def test_files_that_cannot_be_read_are_left_out_and_never_written(folder: Path) -> None:
    written("m", "tumour")
    texts = ("{", "[1]", '{"model": "x"}', '{"model": "x", "calibrations": [{"limit": 1}]}')
    for number, text in enumerate(texts):
        (folder / f"bad{number}.json").write_text(text)
    (only,) = kept_calibrations()
    assert only.model == "m"
    only.path.write_text("{")
    with pytest.raises(SettingError, match="has changed since"):
        forget_calibration(only)
    assert only.path.read_text() == "{"


def test_the_mark_changes_with_what_is_kept_of_that_model() -> None:
    assert calibrations_mark("m") == ""
    written("m", "tumour")
    one = calibrations_mark("m")
    written("other", "tumour")
    assert one and calibrations_mark("m") == one
    written("m", "tumour", "stroma")
    assert calibrations_mark("m") not in ("", one)
