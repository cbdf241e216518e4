"""Batches in which a device fails, memory runs out or a process dies: what it costs the others."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from batch_slides import broken_model, green_tiff, tissue_tiffs
from small_runs import ALL

from napari_smoothsal import SaliencySpec, explain_slide, explain_slides
from napari_smoothsal.core.errors import DeviceLostError
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.runs.on_cluster import _sendable
from napari_smoothsal.runs.slide_asked import asked_of
from napari_smoothsal.runs.slide_list import SlideJob
from napari_smoothsal.runs.slide_states import SlideState, deaths_at, read_state, state_file
from napari_smoothsal.runs.slide_work import Work

QUICK = {"tiling": ALL, "progress": False}
EXPLAIN = "napari_smoothsal.runs.slide_work.explain_slide"
ILLEGAL = "CUDA error: an illegal memory access was encountered\nCompile with ..."


def state_of(out: Path, slide: Path) -> SlideState:
    state = read_state(state_file(out, f"{slide.stem}.smoothsal.zarr"))
    assert state is not None
    return state


def failing_at(name: str, error: BaseException, calls: list[str] | None = None):
    """`explain_slide`, but for one slide."""

    def explain(slide, model, specs, out, **settings):
        if calls is not None:
            calls.append(slide.name)
        if slide.name == name:
            raise error
        return explain_slide(slide, model, specs, out, **settings)

    return explain


def test_a_broken_device_ends_a_batch_of_one_process_and_no_slide_for_good(
    classifier, tmp_path: Path, monkeypatch
) -> None:
    slides, out = tissue_tiffs(tmp_path / "s", 3, 128), tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(EXPLAIN, failing_at("slide1", RuntimeError(ILLEGAL)))
        with pytest.raises(DeviceLostError, match=r"^slide1: .* was encountered\), .*2 slides are"):
            explain_slides(slides, classifier, [], out, **QUICK)
        states = [state_of(out, slide) for slide in slides[:2]]
        assert [s.state for s in states] == ["complete", "failed"] and not states[1].lasting
        # What broke it comes last, so that the others are done though it does so again.
        with pytest.raises(DeviceLostError, match=r"slide1: .* 1 slide is left"):
            explain_slides(slides, classifier, [], out, **QUICK)
        assert state_of(out, slides[2]).state == "complete"
    results = explain_slides(slides, classifier, [], out, **QUICK)
    assert [r.state for r in results] == ["complete"] * 3


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_memory_that_ran_out_ends_one_slide_and_not_for_good(
    classifier, tmp_path: Path, monkeypatch, error: Exception
) -> None:
    slides, out = tissue_tiffs(tmp_path / "s", 2, 128), tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(EXPLAIN, failing_at("slide0", error))
        results = explain_slides(slides, classifier, [], out, **QUICK)
        assert [r.state for r in results] == ["failed", "complete"]
    results = explain_slides(slides, classifier, [], out, **QUICK)
    assert [r.state for r in results] == ["complete", "complete"]


def test_other_specs_of_a_function_are_another_command(
    classifier, tmp_path: Path, monkeypatch
) -> None:
    (slide,), out, calls = tissue_tiffs(tmp_path / "s", 1, 128), tmp_path / "out", []
    monkeypatch.setattr(EXPLAIN, failing_at("slide0", ValueError("of this spec"), calls))
    for layer, tries in (("layer1", 1), ("layer1", 1), ("layer2", 2)):
        specs = [SaliencySpec(layer=layer, samples=0)]
        explain_slides([slide], classifier, lambda model, specs=specs: specs, out, **QUICK)
        assert len(calls) == tries, layer


def test_pack_reaches_every_process_and_has_no_part_in_a_failure(tmp_path: Path) -> None:
    settings = {"pack": True, "progress": True, "stop": bool, "checksum": True}
    work = Work("demo-classifier", [], tmp_path, None, settings, False)
    given = _sendable(work).settings
    assert given["pack"] is True and given["checksum"] is True
    assert "progress" not in given and "stop" not in given
    job = SlideJob("a.svs", "a", "a.zarr")
    assert asked_of(job, None, [], {"pack": True}) == asked_of(job, None, [], {"pack": False})
    assert asked_of(job, None, [], {"top": 3}) != asked_of(job, None, [], {"top": 4})


def at_work(asked: str = "x", reached: int = 4, deaths: int = 1, **changes) -> SlideState:
    given = {"state": "running", "at_work": True, **changes}
    return SlideState(slide="a", store="a", asked=asked, reached=reached, deaths=deaths, **given)


@pytest.mark.parametrize(
    ("before", "deaths"),
    [
        (None, 0),
        (at_work(deaths=0), 1),
        (at_work(), 2),
        (at_work(reached=3), 1),  # it came further: a time limit, not the slide
        (at_work(at_work=False), 0),
        (at_work(asked="y"), 0),
    ],
)
def test_deaths_in_a_row_are_those_that_brought_nothing(before, deaths: int) -> None:
    assert deaths_at(before, "x", 4) == deaths


class Killed(BaseException):
    """As far as the state is concerned, the end of a process: nothing is written after it."""


def test_a_slide_at_which_two_processes_died_fails_and_the_others_are_done(
    classifier, tmp_path: Path, monkeypatch
) -> None:
    slides, out, calls = tissue_tiffs(tmp_path / "s", 2, 128), tmp_path / "out", []
    with monkeypatch.context() as patched:
        patched.setattr("napari_smoothsal.runs.slide_work.called_off", lambda *_: None)
        patched.setattr(EXPLAIN, failing_at("slide0", Killed(), calls))
        for _ in range(2):
            with pytest.raises(Killed):
                explain_slides(slides, classifier, [], out, **QUICK)
        assert calls == ["slide0", "slide1", "slide0"], "at the repeat it comes last"
        results = explain_slides(slides, classifier, [], out, **QUICK)
        assert [r.state for r in results] == ["failed", "complete"] and len(calls) == 4
        assert "died, and so did the next" in str(results[0].error) and not results[0].computed
        results = explain_slides(slides, classifier, [], out, **QUICK)
        assert "tried before" in str(results[0].error)
    results = explain_slides(slides, classifier, [], out, retry_failed=True, **QUICK)
    assert [r.state for r in results] == ["complete", "complete"]


def test_ctrl_c_is_no_death(classifier, tmp_path: Path, monkeypatch) -> None:
    slides, out = tissue_tiffs(tmp_path / "s", 1, 128), tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(EXPLAIN, failing_at("slide0", KeyboardInterrupt()))
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                explain_slides(slides, classifier, [], out, **QUICK)
            assert state_of(out, slides[0]).state == "running"
    for stop in (lambda: True, None):
        (result,) = explain_slides(slides, classifier, [], out, stop=stop, **QUICK)
    assert result.state == "complete"


CRASHING = """
import os, signal
import napari_smoothsal as ss, napari_smoothsal.runs.slide_work as work
opening = work.open_slide
def crash(path, **settings):
    if "green" in str(path):
        os.kill(os.getpid(), signal.SIGSEGV)
    return opening(path, **settings)
work.open_slide = crash
results = ss.explain_slides(
    {slides!r}, "demo-classifier", [], {out!r}, predict_only=True, progress=False
)
print(*(r.state for r in results))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes are ended by signals")
def test_a_crash_of_the_decoder_costs_one_slide_of_a_single_process(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    tissue_tiffs(folder, 1, 128)
    green_tiff(folder / "green.tif")
    code = CRASHING.format(slides=str(folder), out=str(tmp_path / "out"))
    for ended, said in ((-signal.SIGSEGV, ""), (-signal.SIGSEGV, ""), (0, "failed complete")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (done.returncode, done.stdout.strip()) == (ended, said), done.stderr


@pytest.mark.slow
def test_a_device_that_is_lost_costs_one_slide_and_is_used_again(tmp_path: Path) -> None:
    broken = green_tiff(tmp_path / "green.tif")
    good = tissue_tiffs(tmp_path / "s", 3, 128)
    asked = {"devices": ["cpu"], "compute": Compute(batch_size=1), **QUICK}
    out = tmp_path / "out"
    results = explain_slides([broken, *good], broken_model, [], out, **asked)
    assert [r.state for r in results] == ["failed", *["complete"] * 3]
    assert "CUDA error" in str(results[0].error) and not state_of(out, broken).lasting
