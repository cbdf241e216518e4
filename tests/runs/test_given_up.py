"""Slides that Dask gives up: which are tried again, and what is said of the others."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

from distributed import KilledWorker

from napari_smoothsal.runs import on_cluster
from napari_smoothsal.runs.on_cluster import explain_on
from napari_smoothsal.runs.slide_list import SlideJob
from napari_smoothsal.runs.slide_states import SlideState, read_state, state_file, write_state
from napari_smoothsal.runs.slide_work import SlideResult, Work

JOB = SlideJob("a.svs", "a", "a.zarr")


class Lost:
    key = "slide-a"

    def result(self) -> None:
        raise KilledWorker("slide-a", SimpleNamespace(address="tcp://x"), 3)  # type: ignore[arg-type]


def asked_of_workers_that_die(
    monkeypatch, out: Path, states: list[dict | None]
) -> tuple[list[SlideResult], int]:
    """What is told of a slide, and how often it was handed out, where each try leaves a state."""
    tries = iter(states)
    handed = []

    def submit(client, token, job):
        handed.append(job)
        left = next(tries)
        if left is not None:
            write_state(out, SlideState(slide="a", store=JOB.store, **left))
        return Lost()

    told: list[SlideResult] = []
    monkeypatch.setattr(on_cluster, "commanded", lambda *_: nullcontext("token"))
    monkeypatch.setattr(on_cluster, "Workers", lambda *_: lambda: ("x", "y"))
    monkeypatch.setattr(on_cluster.Lending, "tell", lambda *_: None)
    monkeypatch.setattr(on_cluster, "_submit", submit)
    monkeypatch.setattr(on_cluster, "_ended", lambda _client, running: list(running))
    client = SimpleNamespace(status="closed")
    work = Work("demo-classifier", [], out, None, {}, False)
    explain_on(client, work, [JOB], lambda _job, result: told.append(result))
    return told, len(handed)


AT_WORK = {"state": "running", "at_work": True}


def test_a_slide_at_which_nobody_began_to_work_is_failed(monkeypatch, tmp_path: Path) -> None:
    (result,), handed = asked_of_workers_that_die(monkeypatch, tmp_path, [None])
    assert (result.state, handed) == ("failed", 1) and "may crash the decoder" in str(result.error)
    state = read_state(state_file(tmp_path, JOB.store))
    assert state is not None and state.lasting


def test_a_slide_that_was_being_computed_is_handed_out_again(monkeypatch, tmp_path: Path) -> None:
    # Whoever takes it up counts the deaths that brought nothing, and fails it.
    failed = {"state": "failed", "error": "a: its memory may not suffice"}
    tries = [AT_WORK, AT_WORK, AT_WORK, failed]
    (result,), handed = asked_of_workers_that_die(monkeypatch, tmp_path, tries)
    assert (result.state, str(result.error), handed) == ("failed", failed["error"], 4)


def test_no_slide_comes_back_for_ever(monkeypatch, tmp_path: Path) -> None:
    most = on_cluster.MOST_LEFT
    (result,), handed = asked_of_workers_that_die(monkeypatch, tmp_path, [AT_WORK] * 2 * most)
    assert (result.state, handed) == ("failed", most)
