"""The summary: all states, whoever writes last."""

import json
from pathlib import Path

import pytest

from napari_smoothsal.runs.slide_list import SlideJob
from napari_smoothsal.runs.slide_states import SlideState, write_state
from napari_smoothsal.runs.summary import JSON, Summary

JOBS = [SlideJob(f"{name}.svs", name, f"{name}.zarr") for name in "abc"]


def told(out: Path) -> dict[str, str]:
    return {row["slide"]: row["state"] for row in json.loads((out / JSON).read_text())["slides"]}


def state(name: str, state: str) -> SlideState:
    return SlideState(slide=name, store=f"{name}.zarr", state=state)


def test_the_list_comes_first_and_others_of_the_folder_after_it(tmp_path: Path) -> None:
    for name in ("z", "b", "y"):
        write_state(tmp_path, state(name, "complete"))
    Summary(tmp_path, JOBS).write()
    assert list(told(tmp_path).items()) == [
        ("a", "waiting"), ("b", "complete"), ("c", "waiting"), ("y", "complete"), ("z", "complete"),
    ]  # fmt: skip


def test_a_state_that_changes_while_the_summary_is_written_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another process does it, whose own summary this one has just replaced."""
    late = [state("b", "running"), state("b", "failed")]
    put = Summary._put

    def slowly(self, states):
        if late:
            write_state(tmp_path, late.pop(0))
        put(self, states)

    monkeypatch.setattr(Summary, "_put", slowly)
    write_state(tmp_path, state("a", "complete"))
    Summary(tmp_path, JOBS).write()
    assert not late
    assert told(tmp_path) == {"a": "complete", "b": "failed", "c": "waiting"}


def test_a_folder_that_cannot_be_written_is_not_the_summary_s_to_tell(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    Summary(tmp_path / "file", JOBS).write()
    write_state(tmp_path / "file", state("a", "complete"))
