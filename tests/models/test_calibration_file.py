"""``calibration.json``: bound to weights, found beside a model, of several maps."""

import json
from pathlib import Path

import pytest

from napari_smoothsal import SaliencySpec, load_model
from napari_smoothsal.core.calibration import Calibration, calibrated_as, in_digits
from napari_smoothsal.core.errors import ModelError, SettingError
from napari_smoothsal.models import Model
from napari_smoothsal.models.calibration_file import (
    CALIBRATION,
    calibration_place,
    load_calibrations,
    save_calibrations,
)

SPEC = SaliencySpec(layer="layer1")


def calibration(spec: SaliencySpec = SPEC, **fields: object) -> Calibration:
    known = {"limit": 0.5, "probability": 0.1, "full_colour": 2.0, "error_rate": 0.05}
    known |= {"expected": (0.02, 0.08), "tiles": 200, "tile_px": 64, "copies": 39}
    known |= {"stain": 0.1, "predicted": 0.0, "target": "tumour"}
    return Calibration(spec=calibrated_as(spec), **(known | fields))


def test_it_is_found_beside_the_model_or_where_one_says(
    classifier: Model, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    assert load_model(model_folder_of_classifier).calibrations == ()
    written = save_calibrations(classifier, [calibration()], model_folder_of_classifier)
    assert written.name == CALIBRATION
    assert load_model(model_folder_of_classifier).calibrations == (calibration(),)
    other = save_calibrations(classifier, [calibration(limit=0.7)], tmp_path / "elsewhere")
    for path in (other, other.parent):
        loaded = load_model(model_folder_of_classifier, calibration=path)
        assert loaded.calibrations == (calibration(limit=0.7),)


def test_those_of_other_maps_stay_and_the_same_one_is_replaced(
    classifier: Model, tmp_path: Path
) -> None:
    layer2 = calibration(SaliencySpec(layer="layer2"))
    of_a_difference = calibration(target="tumour-normal")
    save_calibrations(classifier, [calibration(), layer2], tmp_path)
    save_calibrations(classifier, [calibration(limit=0.1), of_a_difference], tmp_path)
    found = load_calibrations(tmp_path, classifier)
    assert set(map(repr, found)) == set(
        map(repr, (calibration(limit=0.1), layer2, of_a_difference))
    )


def test_other_weights_are_refused(
    classifier: Model, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    path = save_calibrations(load_model("demo-classifier"), [calibration()], tmp_path / "c.json")
    for attempt in (
        lambda: load_calibrations(path, classifier),
        lambda: save_calibrations(classifier, [calibration()], path),
        lambda: load_model(model_folder_of_classifier, calibration=path),
    ):
        with pytest.raises(ModelError, match=r"'c.json' was measured on other weights .*'random'"):
            attempt()


def test_a_file_that_is_no_longer_of_its_model_is_left_out_and_replaced(
    classifier: Model, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    other = save_calibrations(load_model("demo-classifier"), [calibration()], tmp_path / "c.json")
    beside = model_folder_of_classifier / CALIBRATION
    for stale, said in ((other.read_text(), "measured on other weights"), ("{", "not valid JSON")):
        beside.write_text(stale)
        with pytest.warns(UserWarning, match=f"{said}.*maps are shown without limits"):
            assert load_model(model_folder_of_classifier).calibrations == ()
        with pytest.raises(ModelError, match=said):
            load_model(model_folder_of_classifier, calibration=beside)
        save_calibrations(classifier, [calibration()], beside.parent, anew=True)
        assert load_model(model_folder_of_classifier).calibrations == (calibration(),)
    # What is of the same weights is still added to.
    layer2 = calibration(SaliencySpec(layer="layer2"))
    save_calibrations(classifier, [layer2], beside.parent, anew=True)
    assert load_model(model_folder_of_classifier).calibrations == (calibration(), layer2)


def test_where_nothing_can_be_written_is_known_beforehand(
    classifier: Model, tmp_path: Path
) -> None:
    assert calibration_place(tmp_path / "new" / "deep", classifier).name == CALIBRATION
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match=r"nothing can be written to 'c.json' in 'file'"):
        calibration_place(tmp_path / "file" / "c.json", classifier)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"calibrations": [{"limit": -1}]}, "cannot be read: Calibration: "),
        ({"calibrations": [3]}, "cannot be read"),
        ({"calibrations": None}, "cannot be read"),
    ],
)
def test_what_is_damaged_is_refused(
    classifier: Model, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = save_calibrations(classifier, [calibration()], tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=said):
        load_calibrations(path, classifier)
    path.write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        load_calibrations(path, classifier)
    path.unlink()
    with pytest.raises(ModelError, match=r"there is no 'calibration\.json'"):
        load_calibrations(path, classifier)


def test_no_interval_is_told_where_the_file_does_not_say_what_decided() -> None:
    assert "at most 5 % of normal tiles, measured on 200, and in at" in calibration().in_words
    told = calibration(decided_by="normal tissue").in_words
    assert "at most 5 % of normal tiles (95 % interval 2 to 8 %), measured on 200" in told


def test_probabilities_near_one_are_told_from_one() -> None:
    assert [in_digits(p) for p in (0.06178, 0.5, 0.985, 0.9912, 0.99961, 1.0)] == [
        "0.06", "0.50", "0.98", "0.991", "0.9996", "1.000000000",
    ]  # fmt: skip


def test_limits_of_maps_through_a_surrogate_are_of_its_weights() -> None:
    one = calibration(surrogate="aaa")
    assert one.differs_from(SPEC, "tumour", "aaa", 64) == []
    assert one.differs_from(SPEC, "tumour", "bbb", 64) == ["surrogate = 'bbb' (measured: 'aaa')"]
    assert calibration().differs_from(SPEC, "tumour", "bbb", 64) == []
