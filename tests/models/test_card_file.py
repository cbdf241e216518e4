"""Descriptions in JSON: bounded, finite, said once; the same for every file that is one."""

import json
import shutil
from pathlib import Path

import pytest

from napari_smoothsal import load_model
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models import Model
from napari_smoothsal.models.calibration_file import load_calibrations
from napari_smoothsal.models.card_file import json_object
from napari_smoothsal.models.surrogate import load_surrogate

BOMBS = {
    "nested lists": b'{"a":' + b"[" * 100_000,
    "nested lists that end": b'{"a":' + b"[" * 200 + b"]" * 200 + b"}",
    "nested objects": b'{"a":' * 100_000,
    "thousands of digits": b'{"a":' + b"9" * 100_000 + b"}",
    "fifty digits": b'{"a":' + b"9" * 50 + b"}",
    "exponent": b'{"a":1e999}',
    "NaN": b'{"a":NaN}',
    "infinity": b'{"a":-Infinity}',
    "said twice": b'{"a":1,"a":2}',
    "said twice within": b'{"b":[{"a":1,"a":2}]}',
    "no UTF-8": b'{"a":"\xff"}',
    "a list": b"[1]",
    "a pickle": b"\x80\x02}q\x00.",
    "nothing": b"",
    "too large": b'{"a":"' + b"x" * (1 << 24) + b'"}',
}
FILES = ("card.json", "surrogate.json", "calibration.json")


def test_a_description_is_read_as_json_has_it(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None, True, "ä"], "b": {"c": {"d": [[[]]]}}, "e": -(10**30)}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert json_object(path, "it", 1 << 10) == content


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_description_is_refused(
    name: str, bomb: str, model_folder_of_classifier: Path, classifier: Model
) -> None:
    folder = model_folder_of_classifier
    (folder / name).write_bytes(BOMBS[bomb])
    shutil.copy(folder / "model.safetensors", folder / "surrogate.safetensors")
    with pytest.raises(ModelError, match=name) as raised:
        if name == "card.json":
            load_model(folder)
        elif name == "surrogate.json":
            load_surrogate(folder, classifier)
        else:
            load_calibrations(folder, classifier)
    assert str(folder.parent) not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_a_missing_description_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a\.json cannot be read"):
        json_object(tmp_path / "a.json", "it", 100)
