"""Explain only where: the fields, the estimate, the two stages, and what is left on screen."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import pytest
from viewer_listening import PATIENCE_MS, described, finish

from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.runs import open_run
from napari_smoothsal.viewer.copied_settings import Setting, as_command, as_python
from napari_smoothsal.viewer.readers import read_stores
from napari_smoothsal.viewer.run_bar import estimate_in_words
from napari_smoothsal.viewer.saliency_dock import SaliencyDock
from napari_smoothsal.viewer.spec_form import SpecForm
from napari_smoothsal.viewer.told import Estimated
from napari_smoothsal.viewer.which_tiles import WhichTiles

LOOSE = "p(tumour) > 0.0001"


def test_an_expression_is_checked_as_it_is_entered(form: SpecForm, model_folder: Path) -> None:
    which = form.which
    where, top = (which.controls[name] for name in ("where", "top"))
    assert which.settings() == WhichTiles() and where.native.placeholderText() == "all tiles"
    for text, said in (
        ("p(tumor) > 0.5", "did you mean 'tumour'"),
        ("p(tumour)", "is no comparison"),
        ("p(tumour) >", "cannot be read"),
        ("__import__('os')", "is no comparison"),
    ):
        where.value = text
        assert which.settings() is None and said in which.problem
        assert which.problem.startswith("explain only where: ")
        assert where.native.property("smoothsal_problem")
    where.value = "predicted == tumour and p(tumour) < 0.9"
    assert which.settings() == WhichTiles(where=where.value) and which.problem == ""
    top.value = "0"
    assert which.settings() is None and which.problem.startswith("at most N tiles: ")
    top.value = "5"
    assert which.settings() == WhichTiles(where=where.value, top=5)
    assert "dotted" in where.tooltip and "p(tumour) > 0.5" in where.tooltip
    # Of another model, it is looked at again.
    form.describe_model(described(model_folder).model_copy(update={"classes": ("a", "b")}))
    assert which.settings() is None and "named 'tumour'" in which.problem
    form.restore({})
    assert which.settings() == WhichTiles()


def test_an_estimate_says_what_the_plan_of_a_command_does() -> None:
    told = {"id": 1, "bytes": 3_000_000, "memory_bytes": 1_200_000_000}
    every = Estimated(tiles=500, explained=500, seconds=70, prediction_seconds=None, **told)
    assert estimate_in_words(every) == (
        "500 tiles, about 70 s of computing; at most 3 MB on disk and 1.2 GB of memory. Start?"
    )
    some = Estimated(tiles=500, explained=1, seconds=1.44, prediction_seconds=600, **told)
    assert estimate_in_words(some).startswith(
        "500 tiles, about 10 min of computing to predict them; then maps of at most 1 tile, at "
        "most about 1.4 s; at most"
    )


def test_copies_name_the_choice() -> None:
    spec = SaliencySpec(layer="layer2")
    which = WhichTiles(where="p(tumour) > 0.5", top=7)
    setting = Setting("a.svs", "out.zarr", None, "m", spec, which=which)
    assert "out='out.zarr', where='p(tumour) > 0.5', top=7)" in as_python(setting)
    assert "--where 'p(tumour) > 0.5' --top 7 --out out.zarr" in as_command(setting)
    plain = Setting("a.svs", "out.zarr", None, "m", spec)
    assert "where" not in as_python(plain) + as_command(plain)


def test_a_slide_is_predicted_and_its_strongest_tiles_are_explained(
    ready: SaliencyDock, viewer: Any, tiff_slide: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    told = ready.bar.say
    monkeypatch.setattr(ready.bar, "say", lambda text: (said.append(text), told(text)))
    ready.form.which.controls["where"].value = "p(tumour) > two"
    ready.explain_slide()
    assert "explain only where" in ready.bar.status.lower() and not ready.busy
    ready.form.which.controls["where"].value = LOOSE
    ready.form.which.controls["top"].value = "6"
    ready.estimate_slide()
    qtbot.waitUntil(ready.bar.start.isEnabled, timeout=PATIENCE_MS)
    assert "to predict them; then maps of at most 6 tiles" in ready.bar.status
    ready.bar.start.click()
    finish(ready, qtbot)
    assert ready.bar.status.startswith("Done.")
    todo = [text for text in said if text.endswith(" ...") and " tiles to " in text]
    (store,) = tiff_slide.parent.glob("*.smoothsal.zarr")
    run = open_run(store)
    count = len(run.tiles)
    assert todo[0] == f"{count} tiles to predict ..." and "6 tiles to explain ..." in todo
    assert (run.tiles.status == "done").sum() == 6 and len(run.not_explained) == count - 6
    dots = viewer.layers[-1]
    assert dots.name == "dotted: predicted, not explained" and dots.visible
    words = f"({count - 6} of {count} tiles; explained: where {LOOSE}, at most 6)"
    assert words in ready.colours.text.replace("&gt;", ">")
    assert f"6 tiles explained (where {escape(LOOSE)}, at most 6)" in ready.reading.text
    assert f"of {count}" in ready.reading.text
    # A table of all that is predicted; the same again is the same store, another choice is not.
    _, rows = ready.session.choice.last_explained
    assert len(rows) == count and sum(row.saliency is not None for row in rows) == 6
    ready.form.which.controls["top"].value = "5"
    ready.explain_slide()
    finish(ready, qtbot)
    assert len(list(tiff_slide.parent.glob("*.smoothsal.zarr"))) == 2
    # A view is explained as it is looked at.
    ready.explain_view()
    finish(ready, qtbot)
    assert not dots.visible and "dotted" not in ready.colours.text
    # Dropped on the viewer, a store brings its dots.
    names = [options["name"] for _, options, _ in read_stores(str(store))]
    assert "dotted: predicted, not explained" in names


def test_where_no_tile_is_one_to_be_explained_that_is_said(
    ready: SaliencyDock, viewer: Any, qtbot: Any
) -> None:
    ready.form.which.controls["where"].value = "p(tumour) > 1"
    ready.explain_slide()
    finish(ready, qtbot)
    assert "No tile is one to be explained (where p(tumour) > 1)" in ready.bar.status
    assert viewer.layers[-1].name == "dotted: predicted, not explained"
    assert "0 tiles explained (where p(tumour) &gt; 1)" in ready.reading.text
