"""Options of denoisings and methods survive the way to a process that has no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from pydantic import AfterValidator

from napari_smoothsal.attribution import METHODS
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.denoise import DENOISINGS
from napari_smoothsal.viewer.controls import controls_for
from napari_smoothsal.viewer.option_settings import schema_of, settings_of

ENTRIES: list[Any] = [*DENOISINGS.values(), *METHODS.values()]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_fields_come_back_as_they_were(entry: Any, qapp: Any) -> None:
    model: type[Settings] = entry.options
    made = settings_of(json.loads(json.dumps(schema_of(model))))
    assert list(made.model_fields) == list(model.model_fields)
    for name, field in model.model_fields.items():
        again = made.model_fields[name]
        assert again.default == field.default and again.description == field.description
        # What a fill or baseline may be is code, which the engine's answer holds for.
        limits = [str(x) for x in field.metadata if not isinstance(x, AfterValidator)]
        assert {str(limit) for limit in again.metadata} == set(limits)
    assert set(controls_for(made)) == set(model.model_fields)
    assert {name: c.value for name, c in controls_for(made).items()} == made().model_dump()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("strength", 1.5, "give 1 or less"),
        ("strength", -0.5, "give 0 or more"),
    ],
)
def test_limits_hold(name: str, value: float, message: str) -> None:
    made = settings_of(schema_of(DENOISINGS["centred_hook"].options))
    with pytest.raises(SettingError, match=f"{name} = {value}: {message}"):
        made(**{name: value})


def test_napari_s_process_needs_no_torch_for_them() -> None:
    code = (
        "import sys, napari_smoothsal.viewer.saliency_dock;"
        "print([m for m in ('torch', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
