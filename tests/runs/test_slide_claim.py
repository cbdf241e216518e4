"""Who holds a slide of a batch, and for whom one waits."""

import os
import threading
import time
from pathlib import Path

import pytest

from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs import slide_claim
from napari_smoothsal.runs.slide_claim import claimed
from napari_smoothsal.runs.slide_states import FOLDER
from napari_smoothsal.runs.writer_lock import writer_of

MINE = f"process {os.getpid()} on "


@pytest.fixture
def held(tmp_path: Path):
    """A slide that a thread holds for command "x" until it is told to let go."""
    holding, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with claimed(tmp_path, "s.zarr", "x"):
            holding.set()
            let_go.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(30)
    yield let_go
    let_go.set()
    thread.join()


def test_one_command_waits_for_its_own_process_and_then_holds_the_slide(
    tmp_path: Path, held
) -> None:
    assert writer_of(tmp_path / FOLDER / "s.zarr").command == "x"
    threading.Timer(1.0, held.set).start()
    began = time.monotonic()
    with claimed(tmp_path, "s.zarr", "x"):
        assert 0.9 < time.monotonic() - began < 30
        assert writer_of(tmp_path / FOLDER / "s.zarr").pid == os.getpid()


@pytest.mark.parametrize("command", ["", "y"])
def test_another_command_s_slide_is_refused_at_once(tmp_path: Path, held, command: str) -> None:
    began = time.monotonic()
    with pytest.raises(StoreError, match=MINE), claimed(tmp_path, "s.zarr", command):
        pass
    assert time.monotonic() - began < slide_claim._ASK_S


def test_who_is_told_to_stop_or_waited_long_enough_gives_up(
    tmp_path: Path, held, monkeypatch
) -> None:
    with pytest.raises(StoreError, match=MINE), claimed(tmp_path, "s.zarr", "x", lambda: True):
        pass
    monkeypatch.setattr(slide_claim, "WAIT_S", 0.0)
    with pytest.raises(StoreError, match=MINE), claimed(tmp_path, "s.zarr", "x"):
        pass
