"""A cluster of processes in which one dies, hangs or is cut off: what it costs, and who says so."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from batch_slides import COMMAND, tissue_tiff, tissue_tiffs
from cluster_batches import (
    ASKED,
    SLOW,
    SPECS,
    begun,
    calm,
    explaining,
    slow_workers,
    worker_at,
    worker_task,
    written_once,
)
from cluster_models import small_model
from dask_processes import (
    HERE,
    client_of_processes,
    dask_processes,
    tasks_of,
    until,
    worker_pids,
)
from small_runs import assert_same_bits, small_bands

from napari_smoothsal import Compute, explain_slides, open_run
from napari_smoothsal.core.errors import ComputeError, SettingError
from napari_smoothsal.runs.slide_states import read_state, state_file

if sys.platform == "win32":
    pytest.skip("processes are ended by signals, which Windows lacks", allow_module_level=True)

pytestmark = pytest.mark.slow

OLD_VERSION, LOST_DEVICE = HERE / "old_version_preload.py", HERE / "lost_device_preload.py"


@pytest.fixture(autouse=True)
def _bands(monkeypatch: pytest.MonkeyPatch) -> None:
    small_bands(monkeypatch)  # as in the workers


def state_of(out: Path, slide: str) -> str:
    state = read_state(state_file(out, f"{slide}.smoothsal.zarr"))
    return "" if state is None else state.state


@pytest.mark.parametrize("whose", ["explaining", "slide"])
def test_a_worker_that_is_killed_costs_its_units(tmp_path: Path, whose: str) -> None:
    slides = [tissue_tiff(tmp_path / "s.tif", 5, 384)]
    with (
        slow_workers(tmp_path / "dask", "a", "b") as (_, client),
        explaining(client, slides, tmp_path / "out") as results,
    ):
        until(lambda: begun(tmp_path / "out"))
        # That which owns the slide, or the other one, which has units only.
        owner = worker_at(client, "slide")
        name = owner if whose == "slide" else next(n for n in worker_pids(client) if n != owner)
        until(lambda: worker_at(client, whose))
        os.kill(worker_pids(client)[name], signal.SIGKILL)
        (result,) = results()
    assert result.state == "complete", result.error
    (alone,) = calm(slides, tmp_path / "alone")
    assert_same_bits(alone.run, result.run)


@pytest.mark.parametrize("units", [False, True], ids=["slides", "units"])
def test_what_a_retired_worker_had_is_handed_on(tmp_path: Path, units: bool) -> None:
    slides = [tissue_tiff(tmp_path / "s.tif", 5, 384)]
    if not units:
        slides = tissue_tiffs(tmp_path / "s", 3, 256)
    out = tmp_path / "out"
    with (
        slow_workers(tmp_path / "dask", "a", "b") as (_, client),
        explaining(client, slides, out) as results,
    ):
        until(lambda: begun(out) and worker_task(client, "a"))
        workers = client.scheduler_info(n_workers=-1)["workers"]
        # As at the end of its --lifetime, or when a cluster shrinks.
        client.retire_workers([address for address, w in workers.items() if w["name"] == "a"])
        ended = results()
    assert [r.state for r in ended] == ["complete"] * len(slides), [r.error for r in ended]
    for one, two in zip(calm(slides, tmp_path / "alone"), ended, strict=True):
        assert_same_bits(one.run, two.run)


def test_a_worker_that_hangs_is_given_up_and_waited_for_once_it_writes_again(
    tmp_path: Path,
) -> None:
    slides = tissue_tiffs(tmp_path / "s", 2, 256)
    out, writes = tmp_path / "out", tmp_path / "writes"
    given_up = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "6s"}
    noted = {"SMOOTHSAL_TEST_WRITES": str(writes)}
    with dask_processes(tmp_path / "dask", **SLOW, **given_up, **noted) as cluster:
        # A nanny would end it.
        started = {name: cluster.start_worker(name, "--no-nanny") for name in ("a", "b")}
        with client_of_processes(cluster, 2) as client, explaining(client, slides, out) as results:
            until(lambda: begun(out) and worker_at(client, "slide-slide0"))
            hung = started[worker_at(client, "slide-slide0")]
            hung.send_signal(signal.SIGSTOP)
            until(lambda: state_of(out, "slide1") == "complete")
            # Its slide is the other's; which finds it held, and waits.
            time.sleep(4)
            assert state_of(out, "slide0") == "running" and worker_at(client, "slide-slide0")
            hung.send_signal(signal.SIGCONT)
            both = results()
    assert [r.state for r in both] == ["complete"] * 2, [r.error for r in both]
    written_once(writes)
    for one, two in zip(calm(slides, tmp_path / "alone"), both, strict=True):
        assert_same_bits(one.run, two.run)


def test_a_scheduler_that_is_gone_is_named_and_the_same_call_goes_on(tmp_path: Path) -> None:
    slides, out = [tissue_tiff(tmp_path / "s.tif", 5, 384)], tmp_path / "out"
    with dask_processes(tmp_path / "dask", "a", "b", **SLOW) as cluster:
        with client_of_processes(cluster, 2) as client, explaining(client, slides, out) as results:
            until(lambda: begun(out))
            cluster.scheduler.kill()
            with pytest.raises(ComputeError, match=r"scheduler is gone.* same command goes on"):
                results()
        assert state_of(out, "s") == "running"
        done = (open_run(out / "s.smoothsal.zarr").tiles.status == "done").sum()
        assert 0 < done < 144
        cluster.start_scheduler()
        for name in ("c", "d"):
            cluster.start_worker(name, **SLOW)
        with client_of_processes(cluster, 2) as client, explaining(client, slides, out) as results:
            (result,) = results()
    assert result.state == "complete", result.error
    (alone,) = calm(slides, tmp_path / "alone")
    assert_same_bits(alone.run, result.run)


def test_two_clients_on_one_folder_share_the_slides(tmp_path: Path) -> None:
    slides, out = tissue_tiffs(tmp_path / "s", 2, 256), tmp_path / "out"
    with (
        slow_workers(tmp_path / "dask", "a", "b") as (cluster, one),
        client_of_processes(cluster, 2) as two,
        explaining(one, slides, out) as first,
    ):
        until(lambda: begun(out))
        began = time.monotonic()
        with explaining(two, slides, out) as second:
            states = list(zip(first(), second(), strict=True))
        assert time.monotonic() - began < 120
    for ours, theirs in states:
        assert ours.state == "complete", ours.error
        # Passed by while it was held, or found complete.
        assert theirs.state in ("skipped", "complete") and not theirs.computed
        assert theirs.state == "complete" or "is writing into" in str(theirs.error)
    for a, (b, _) in zip(calm(slides, tmp_path / "alone"), states, strict=True):
        assert_same_bits(a.run, b.run)


def test_two_commands_that_want_each_others_workers_end_both(tmp_path: Path) -> None:
    slides = [tissue_tiff(tmp_path / f"{name}.tif", seed, 384) for seed, name in enumerate("xy")]
    outs = [tmp_path / "one", tmp_path / "two"]
    with (
        slow_workers(tmp_path / "dask", "a", "b") as (cluster, one),
        client_of_processes(cluster, 2) as two,
        explaining(one, slides[:1], outs[0]) as first,
    ):
        until(lambda: begun(outs[0]))
        # Each is lent the worker that has the other's slide, and hands it a unit.
        with explaining(two, slides[1:], outs[1]) as second:
            ended = [*first(), *second()]
    for one_alone, shared in zip(calm(slides, tmp_path / "alone"), ended, strict=True):
        assert shared.state == "complete", shared.error
        assert_same_bits(one_alone.run, shared.run)


def test_a_worker_of_another_version_is_refused_and_named(tmp_path: Path) -> None:
    slides, out = tissue_tiffs(tmp_path / "s", 1, 128), tmp_path / "out"
    with dask_processes(tmp_path / "dask") as cluster:
        cluster.start_worker("old", preload=(OLD_VERSION,))
        with client_of_processes(cluster, 1) as client:
            (address,) = client.scheduler_info(n_workers=-1)["workers"]
            said = rf"worker {address}: napari_smoothsal 0.0.9 \(here .*same versions everywhere"
            with pytest.raises(SettingError, match=said):
                explain_slides(slides, small_model, SPECS, out, client=client, **ASKED)
        assert not list(out.glob("*.zarr"))


def test_a_worker_of_another_version_that_comes_later_is_given_nothing(tmp_path: Path) -> None:
    slides, out = tissue_tiffs(tmp_path / "s", 3, 256), tmp_path / "out"
    with (
        slow_workers(tmp_path / "dask", "a") as (cluster, client),
        explaining(client, slides, out) as results,
    ):
        until(lambda: begun(out))
        cluster.start_worker("old", preload=(OLD_VERSION,))
        # Its nanny starts it again and again, or it stays without work.
        until(lambda: "worker old at" in cluster.said(), 120)
        assert set(tasks_of(client).values()) == {"a"}
        states = [r.state for r in results()]
    assert states == ["complete"] * 3
    assert "napari-smoothsal 0.0.9 and not" in cluster.said()


def test_a_device_that_a_worker_lacks_or_loses_costs_nothing(tmp_path: Path) -> None:
    slides, out = tissue_tiffs(tmp_path / "s", 4, 192), tmp_path / "out"
    lost = tmp_path / "lost"
    asked = {**ASKED, "compute": Compute(precision="fp32", batch_size=2)}
    with dask_processes(tmp_path / "dask", "good", **SLOW) as cluster:
        cluster.start_worker("none", SMOOTHSAL_DEVICE="cuda:7")
        cluster.start_worker("loses", preload=(LOST_DEVICE,), SMOOTHSAL_TEST_LOST=str(lost))
        with client_of_processes(cluster, 3) as client:
            results = explain_slides(slides, small_model, SPECS, out, client=client, **asked)
    assert [r.state for r in results] == ["complete"] * 4, [r.error for r in results]
    assert lost.read_text() and "none computes nothing: " in cluster.said()
    for a, b in zip(calm(slides, tmp_path / "alone"), results, strict=True):
        assert_same_bits(a.run, b.run)


def command(*arguments: object) -> list[str]:
    """Of the command line, which Ctrl-C reaches though a test started it in the background."""
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    return [*COMMAND[:2], f"{code}; {COMMAND[2]}", *COMMAND[3:], *map(str, arguments)]


@pytest.mark.parametrize("local", [True, False], ids=["local", "address"])
def test_ctrl_c_ends_the_work_and_the_same_command_goes_on(
    model_folder_of_classifier: Path, tmp_path: Path, local: bool
) -> None:
    tissue_tiffs(tmp_path / "s", 3, 256)
    out = tmp_path / "out"
    with dask_processes(tmp_path / "dask", *(() if local else ("a", "b"))) as cluster:
        line = command(
            tmp_path / "s", "--model", model_folder_of_classifier, "--layer", "layer2",
            "--samples", "32", "--batch-size", "1", "--tissue", "all", "--out", out,
            "--scheduler", "local:2" if local else cluster.address,
        )  # fmt: skip
        with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as running:
            try:
                until(lambda: begun(out) or running.poll() is not None, 120)
                family = psutil.Process(running.pid).children(recursive=True)
                running.send_signal(signal.SIGINT)
                _, errors = running.communicate(timeout=120)
            finally:
                running.kill()
        assert running.returncode == 130 and "interrupted" in errors, errors
        assert not psutil.wait_procs(family, timeout=30)[1]
        states = [json.loads(f.read_text()) for f in (out / ".states").glob("*.json")]
        assert {s["state"] for s in states} <= {"running", "complete"}
        assert not any(s["at_work"] for s in states), "nobody died"
        again = subprocess.run(line, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0 and "3 complete" in again.stdout, again.stderr
