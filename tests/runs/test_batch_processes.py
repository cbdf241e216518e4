"""Batches of several processes: devices, shards, and processes that are killed."""

import csv
import importlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from batch_slides import COMMAND, deadly_model, green_tiff, tissue_tiff, tissue_tiffs
from small_runs import ALL, arrays

from napari_smoothsal import SaliencySpec, explain_slides, open_run
from napari_smoothsal.core.errors import ComputeError
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.runs.slide_work import Work

if sys.platform == "win32":
    pytest.skip("processes are ended by signals, which Windows lacks", allow_module_level=True)

QUICK = {"tiling": ALL, "progress": False}


def states(out: Path) -> list[str]:
    with (out / "summary.csv").open(newline="") as file:
        return [row["state"] for row in csv.DictReader(file)]


def until(true: Callable[[], object], running: subprocess.Popen[str], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def workers_of(running: subprocess.Popen[str]) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(running.pid).children()
        if "spawn_main" in " ".join(child.cmdline())
    ]


def started(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def slow_run(model_folder_of_classifier: Path, tmp_path: Path) -> list[object]:
    """Arguments of a run of three slides, each of a few seconds."""
    tissue_tiffs(tmp_path / "s", 3, 256)
    return [
        tmp_path / "s", "--model", model_folder_of_classifier, "--layer", "layer2",
        "--samples", "16", "--batch-size", "1", "--tissue", "all",
    ]  # fmt: skip


def begun(out: Path) -> list[Path]:
    """Stores with a tile that is done."""
    stores = [store for store in out.glob("*.zarr") if (store / "zarr.json").is_file()]
    return [store for store in stores if (open_run(store).tiles.status == "done").any()]


def test_devices_give_what_one_process_gives_and_a_bad_slide_is_isolated(
    classifier, tmp_path: Path
) -> None:
    slides = tissue_tiffs(tmp_path / "s", 3, 192)
    bad = tmp_path / "bad.svs"
    bad.write_text("not a slide")
    spec = SaliencySpec(layer="layer2", samples=2)
    compute = Compute(batch_size=2, precision="fp32")
    told: list[str] = []
    results = explain_slides(
        [bad, *slides], classifier, [spec], tmp_path / "two", devices=["cpu", "cpu"],
        compute=compute, on_slide=lambda r, n, of: told.append(f"{n}/{of}"), **QUICK,
    )  # fmt: skip
    assert [r.state for r in results] == ["failed", *["complete"] * 3]
    assert "bad.svs" in str(results[0].error) and results[1].run is not None
    assert told == ["1/4", "2/4", "3/4", "4/4"]
    assert states(tmp_path / "two") == [r.state for r in results]
    one = explain_slides(slides, classifier, [spec], tmp_path / "one", compute=compute, **QUICK)
    for alone, shared in zip(one, results[1:], strict=True):
        assert alone.name == shared.name
        a, b = arrays(alone.run), arrays(shared.run)
        for path, values in a.items():
            np.testing.assert_allclose(values, b[path], rtol=1e-4, atol=1e-6, err_msg=path)


@pytest.mark.slow
def test_a_slide_that_kills_its_processes_is_reported_and_the_others_are_done(
    tmp_path: Path,
) -> None:
    deadly = green_tiff(tmp_path / "deadly.tif")
    good = [tissue_tiff(tmp_path / f"good{i}.tif", i, 128) for i in range(2)]
    results = explain_slides(
        [deadly, *good], deadly_model, [], tmp_path / "out", devices=["cpu"], **QUICK
    )
    assert [r.state for r in results] == ["failed", "complete", "complete"]
    assert "died, and so did the next" in str(results[0].error)
    assert states(tmp_path / "out") == ["failed", "complete", "complete"]
    (again,) = explain_slides(
        [deadly], deadly_model, [], tmp_path / "out", devices=["cpu"], **QUICK
    )
    assert again.state == "failed"


def test_a_process_that_cannot_take_the_work_is_an_error_and_not_a_slide_s(
    classifier, tmp_path: Path, monkeypatch
) -> None:
    # As where a function's module is not there.
    monkeypatch.setattr(Work, "__reduce__", lambda self: (importlib.import_module, ("not_there",)))
    slides = tissue_tiffs(tmp_path / "s", 1, 128)
    with pytest.raises(ComputeError, match=r"cannot take what is asked .*not_there"):
        explain_slides(slides, classifier, [], tmp_path / "out", devices=["cpu"], **QUICK)
    assert states(tmp_path / "out") == ["waiting"]


@pytest.mark.slow
def test_shards_share_a_folder_at_the_same_time(
    model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    tissue_tiffs(tmp_path / "s", 4, 128)
    out = tmp_path / "out"
    arguments = (tmp_path / "s", "--model", model_folder_of_classifier, "--predict-only")
    running = [started(*arguments, "--out", out, "--shard", f"{i}/2") for i in (1, 2)]
    for i, process in enumerate(running):
        said, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert said.count("complete, ") == 2 and f"slide{i}: complete" in said
        # The same slide is never done by both.
        assert f"slide{1 - i}:" not in said
    assert states(out) == ["complete"] * 4


@pytest.mark.slow
def test_a_slide_of_a_killed_process_is_taken_over(slow_run: list[object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    running = started(*slow_run, "--out", out, "--device", "cpu,cpu")
    try:
        until(lambda: begun(out), running)
        workers_of(running)[0].kill()
        said, errors = running.communicate(timeout=240)
    finally:
        running.kill()
    assert running.returncode == 0, errors
    assert "the process that worked on it died; it is taken over" in errors
    assert states(out) == ["complete"] * 3 and "3 complete" in said
    # What was taken over is what nobody interrupted.
    calm = explain_slides_calmly(slow_run, tmp_path / "calm")
    for name in sorted(p.name for p in calm.glob("*.zarr")):
        a, b = arrays(open_run(calm / name)), arrays(open_run(out / name))
        for path, values in a.items():
            np.testing.assert_allclose(values, b[path], rtol=1e-4, atol=1e-6, err_msg=path)


def explain_slides_calmly(arguments: list[object], out: Path) -> Path:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments), "--out", str(out)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
@pytest.mark.parametrize("devices", ["cpu", "cpu,cpu"])
def test_a_batch_killed_as_a_whole_goes_on(
    slow_run: list[object], tmp_path: Path, devices: str
) -> None:
    out = tmp_path / "out"
    running = started(*slow_run, "--out", out, "--device", devices)
    try:
        until(lambda: begun(out), running)
        workers = workers_of(running)
        running.send_signal(signal.SIGKILL)
        running.wait(30)
    finally:
        running.kill()
    # Orphans notice, and end at the end of their pass.
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive and len(workers) == (2 if "," in devices else 0)
    assert {"running", "waiting"} & set(states(out))
    again = subprocess.run(
        [*COMMAND, *map(str, slow_run), "--out", out, "--device", devices],
        capture_output=True,
        text=True,
    )
    assert again.returncode == 0, again.stderr
    assert states(out) == ["complete"] * 3


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_and_the_same_command_goes_on(
    slow_run: list[object], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [*COMMAND[:2], f"{code}; {COMMAND[2]}", *COMMAND[3:]]
    arguments = [*map(str, slow_run), "--out", str(out), "--device", "cpu,cpu"]
    running = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: begun(out), running)
        workers = workers_of(running)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=90)
    finally:
        running.kill()
    assert running.returncode == 130 and "interrupted" in errors
    assert len(workers) == 2 and not any(worker.is_running() for worker in workers)
    assert "running" in states(out) and "failed" not in states(out)
    assert explain_slides_calmly(slow_run, out) == out
    assert states(out) == ["complete"] * 3
