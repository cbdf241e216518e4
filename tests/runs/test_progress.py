"""What is told of a run while it goes on."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from small_runs import ALL

from napari_smoothsal import Compute, SaliencySpec
from napari_smoothsal.models import Model
from napari_smoothsal.runs import explain_slide, progress
from napari_smoothsal.runs.progress import Meter, Progress, announced
from napari_smoothsal.slides import ArraySlide

REGION = (20, 30, 200, 150)


def test_a_batch_that_takes_long_is_told_of(
    noisy: ArraySlide, classifier: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "WITHIN_S", 0.0)
    spec = SaliencySpec(
        layer="input", method="rise", method_options={"masks": 40, "cells": 3}, target=0
    )
    told: list[Progress] = []
    explain_slide(
        noisy,
        classifier,
        [spec],
        tmp_path / "a.smoothsal.zarr",
        region=REGION,
        tiling=ALL,
        compute=Compute(device="cpu", precision="fp32", batch_size=100),
        progress=told.append,
    )
    total = told[0].total
    done = [one.done for one in told]
    # One batch, of which much is told all the same.
    assert total > 8 and done[0] == 0 and done[-1] == total and done == sorted(done)
    assert len(set(done)) > 3
    assert told[0].seconds_left is None
    assert all(one.seconds_left is not None for one in told[1:])
    left = [one.seconds_left for one in told[1:]]
    assert left[-1] == 0


def test_the_bar_s_times_have_words_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """`0:04:25 left 0:00:00` was read as 4:25 that are left."""
    shown, console = io.StringIO(), Console
    monkeypatch.setattr("rich.console.Console", lambda **_: console(file=shown, width=80))
    with progress.terminal_bar("a slide with a name that is far too long for a line") as report:
        report(Progress(120, 120, 0, 0.6, 0.0))
    (line,) = filter(None, map(str.strip, shown.getvalue().splitlines()))
    assert re.search(r"^a slide.*\u2026 explaining .*120/120 tiles 0\.6/s 0:00:\d\d so far, ", line)
    assert line.endswith("0:00:00 to go")


def test_what_is_announced_is_said_once_and_first() -> None:
    said: list[object] = []
    report = announced(said.append, lambda: said.append("going on"))
    assert said == []
    steps = [Progress(n, 3, 0, 1.0, None) for n in range(3)]
    for step in steps:
        report(step)
    assert said == ["going on", *steps]


def test_it_is_not_told_of_every_pass() -> None:
    told: list[Progress] = []
    meter = Meter(10, 4, told.append)
    for share in range(5):
        meter.within(share)
    assert [one.done for one in told] == [4]
    meter.add(5, 1)
    assert (told[-1].done, told[-1].failed) == (9, 1)
