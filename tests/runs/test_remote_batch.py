"""Batches into a URL: states, summary, and what the same call does again."""

import json

import pytest
from batch_slides import tissue_tiffs
from s3_servers import BUCKET, s3_server
from small_runs import ALL, assert_same_bits

from napari_smoothsal import SaliencySpec, explain_slides, open_run
from napari_smoothsal.core.errors import SettingError, UnreachableError
from napari_smoothsal.runs.layout import own_attributes
from napari_smoothsal.runs.places import place_of, read_whole
from napari_smoothsal.runs.slide_states import read_state, state_file

QUICK = {"tiling": ALL, "progress": False}
SPECS = [SaliencySpec(layer="layer2", samples=0)]


@pytest.fixture(scope="module")
def server():
    with s3_server() as address:
        yield address


@pytest.fixture(params=["s3", "memory"])
def out(server, request) -> str:
    name = request.node.name
    return f"s3://{BUCKET}/{name}" if request.param == "s3" else f"memory://{name}"


def summary(out: str) -> dict[str, str]:
    told = json.loads(read_whole(place_of(out) / "summary.json"))
    lines = read_whole(place_of(out) / "summary.csv").decode().splitlines()
    assert len(lines) == 1 + len(told["slides"])
    return {row["slide"]: row["state"] for row in told["slides"]}


def test_a_batch_is_the_local_one_and_is_left_as_it_is(out, classifier, tmp_path) -> None:
    slides = tissue_tiffs(tmp_path / "slides", 2)
    local = explain_slides(slides, classifier, SPECS, tmp_path / "out", **QUICK)
    for computed in (True, False):
        results = explain_slides(slides, classifier, SPECS, out, **QUICK)
        assert [one.state for one in results] == ["complete", "complete"]
        assert [one.computed for one in results] == [computed, computed]
        assert summary(out) == {"slide0": "complete", "slide1": "complete"}
    for one, same in zip(results, local, strict=True):
        assert_same_bits(one.run, same.run)
        assert_same_bits(open_run(f"{out}/{one.name}.smoothsal.zarr"), same.run)
    place = place_of(out)
    assert {one.rpartition("/")[2] for one in place.fs.find(place.path, maxdepth=1)} == {
        "summary.json",
        "summary.csv",
    }


def test_a_slide_that_failed_is_tried_again_only_if_told_to(out, classifier, tmp_path) -> None:
    bad = tmp_path / "bad.svs"
    bad.write_text("not a slide")
    for retry, computed in ((False, True), (False, False), (True, True)):
        (result,) = explain_slides([bad], classifier, SPECS, out, retry_failed=retry, **QUICK)
        assert (result.state, result.computed) == ("failed", computed)
        assert summary(out) == {"bad": "failed"}
    state = read_state(state_file(place_of(out), "bad.smoothsal.zarr"))
    assert state is not None and state.lasting and str(tmp_path) not in state.error


def test_a_slide_that_was_stopped_goes_on(out, classifier, tmp_path) -> None:
    slides = tissue_tiffs(tmp_path / "slides", 1)
    asked = iter([False] * 3)
    explain_slides(slides, classifier, SPECS, out, stop=lambda: next(asked, True), **QUICK)
    assert summary(out)["slide0"] == "running"
    (result,) = explain_slides(slides, classifier, SPECS, out, **QUICK)
    assert result.computed and summary(out)["slide0"] == "complete"


@pytest.mark.slow
def test_two_processes_share_a_url(server, classifier, tmp_path, request) -> None:
    slides = tissue_tiffs(tmp_path / "slides", 2)
    out = f"s3://{BUCKET}/{request.node.name}"
    results = explain_slides(slides, "demo-classifier", SPECS, out, devices=["cpu", "cpu"], **QUICK)
    assert [one.state for one in results] == ["complete", "complete"]
    assert all(one.run is not None for one in results)
    assert summary(out) == {"slide0": "complete", "slide1": "complete"}


def test_one_that_another_process_holds_is_passed_by(out, classifier, tmp_path) -> None:
    slides = tissue_tiffs(tmp_path / "slides", 1)
    claim = place_of(out) / ".states" / ".slide0.smoothsal.zarr.writer" / "00000001"
    said = {"pid": 7, "host": "elsewhere", "numbered": "", "token": "x"}
    claim.fs.pipe_file(claim.path, json.dumps(said).encode())
    (result,) = explain_slides(slides, classifier, SPECS, out, **QUICK)
    assert result.state == "skipped" and "process 7 on elsewhere" in str(result.error)
    assert own_attributes(place_of(out) / "slide0.smoothsal.zarr") is None


def test_what_cannot_work_is_raised_before_anything_is_written(
    server, classifier, tmp_path
) -> None:
    slides = tissue_tiffs(tmp_path / "slides", 1)
    with pytest.raises(UnreachableError, match="s3://nowhere is not there"):
        explain_slides(slides, classifier, SPECS, "s3://nowhere/out", **QUICK)
    with pytest.raises(SettingError, match="pack needs a folder"):
        explain_slides(slides, classifier, SPECS, f"s3://{BUCKET}/p", pack=True, **QUICK)
    assert not place_of(f"s3://{BUCKET}/p").fs.find(f"{BUCKET}/p")
