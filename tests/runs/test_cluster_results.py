"""A cluster of processes gives what one process gives, to the bit, and says whose work it is."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_slides import tissue_tiff, tissue_tiffs
from cluster_models import Counted, small_model
from dask_processes import DaskProcesses, client_of_processes, dask_processes
from distributed import Client, get_task_stream
from small_runs import ALL, assert_same_bits, small_bands

from napari_smoothsal import Compute, Model, SaliencySpec, explain_slide, explain_slides
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.runs.on_cluster import cluster_crew
from napari_smoothsal.runs.slide_states import FOLDER

if sys.platform == "win32":
    pytest.skip("processes are ended by signals, which Windows lacks", allow_module_level=True)

SPECS = [SaliencySpec(layer="layer1", samples=2), SaliencySpec(layer="layer2", samples=2)]
ASKED = {
    "tiling": ALL,
    "progress": False,
    "compute": Compute(device="cpu", precision="fp32", batch_size=2),
}


HOLD = """
import sys
from pathlib import Path
from napari_smoothsal.runs.writer_lock import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    with dask_processes(tmp_path_factory.mktemp("dask"), "a", "b") as running:
        yield running


@pytest.fixture(scope="module")
def client(cluster: DaskProcesses) -> Iterator[Client]:
    with client_of_processes(cluster, 2) as connected:
        yield connected


@pytest.fixture(autouse=True)
def _bands(monkeypatch: pytest.MonkeyPatch) -> None:
    small_bands(monkeypatch)  # as in the workers
    monkeypatch.setattr("napari_smoothsal.runs.unit.MOST_TWICE", 9.0)


def test_slides_of_a_cluster_are_those_of_one_process(client, tmp_path: Path) -> None:
    slides = tissue_tiffs(tmp_path / "s", 3, 128)
    alone = explain_slides(slides, small_model, SPECS, tmp_path / "alone", **ASKED)
    model = Counted(tmp_path / "unpickled")
    shared = explain_slides(slides, model, SPECS, tmp_path / "shared", client=client, **ASKED)
    assert [r.state for r in shared] == ["complete"] * 3, [r.error for r in shared]
    for one, two in zip(alone, shared, strict=True):
        assert_same_bits(one.run, two.run)
    # What is asked came to each worker once, though both had several tasks.
    pids = (tmp_path / "unpickled").read_text().split()
    assert sorted(map(int, pids)) == sorted(client.run(os.getpid).values())


@pytest.mark.parametrize("how", [{}, {"top": 90}], ids=["all", "some"])
def test_units_of_one_slide_are_those_of_one_process(client, tmp_path: Path, how) -> None:
    slide = tissue_tiff(tmp_path / "s.tif", 5, 384)
    (alone,) = explain_slides([slide], small_model, SPECS, tmp_path / "alone", **ASKED, **how)
    with get_task_stream(client) as tasks:
        (shared,) = explain_slides(
            [slide], small_model, SPECS, tmp_path / "shared", client=client, **ASKED, **how
        )
    assert shared.state == "complete", shared.error
    assert (alone.run.tiles.status == "not_explained").any() == bool(how)
    assert_same_bits(alone.run, shared.run)
    # The dashboard groups tasks by their first word, and shows the slide's name.
    done = {task["key"]: task["worker"] for task in tasks.data}
    (owner,) = (done.pop(key) for key in list(done) if key.startswith("slide-s-"))
    stages = {key.partition("-")[0] for key in done}
    assert stages == ({"predicting", "explaining"} if how else {"explaining"}), done
    # The slide's own worker computes the units that the other one does not.
    assert set(done.values()) == set(client.scheduler_info()["workers"]) - {owner}
    numbers = [re.search(r"-s (\d+)of(\d+)-", key) for key in done]
    assert all(numbers) and any(len(done) < int(n[2]) for n in numbers if n)


def test_the_last_slide_is_cut_once_a_worker_has_nothing_left_to_do(client, tmp_path: Path) -> None:
    slides = [tissue_tiff(tmp_path / f"{px}.tif", 5, px) for px in (128, 640)]
    alone = explain_slides(slides, small_model, SPECS, tmp_path / "alone", **ASKED)
    with get_task_stream(client) as tasks:
        shared = explain_slides(
            slides, small_model, SPECS, tmp_path / "shared", client=client, **ASKED
        )
    for one, two in zip(alone, shared, strict=True):
        assert_same_bits(one.run, two.run)
    done = {task["key"]: task["worker"] for task in tasks.data}
    owner = next(worker for key, worker in done.items() if key.startswith("slide-640-"))
    units = {key: worker for key, worker in done.items() if key.startswith("explaining-640 ")}
    assert units and owner not in units.values()
    assert not any(key.startswith("explaining-128 ") for key in done)


def test_a_slide_of_explain_slide_is_computed_by_a_cluster(client, tmp_path: Path) -> None:
    slide, model = tissue_tiff(tmp_path / "s.tif", 1, 256), small_model()
    alone = explain_slide(slide, model, SPECS[:1], tmp_path / "alone.zarr", **ASKED)
    with (
        get_task_stream(client) as tasks,
        cluster_crew(client, Model(model.module, model.card), {}, "s") as crew,
    ):
        shared = explain_slide(slide, model, SPECS[:1], tmp_path / "s.zarr", crew=crew, **ASKED)
    assert_same_bits(alone, shared)
    assert len({task["key"] for task in tasks.data if task["key"].startswith("explaining")}) > 1


def test_what_another_client_holds_is_passed_by_and_its_holder_named(
    cluster, client, tmp_path: Path
) -> None:
    slides = tissue_tiffs(tmp_path / "s", 2, 128)
    out, took = tmp_path / "out", []
    hold = [sys.executable, "-c", HOLD, str(out / FOLDER / "slide0.smoothsal.zarr")]
    with subprocess.Popen(hold, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        began = time.monotonic()
        results = explain_slides(slides, small_model, [], out, client=client, **ASKED)
        took.append(time.monotonic() - began)
        holder.communicate(b"\n")
    assert [r.state for r in results] == ["skipped", "complete"]
    assert f"process {holder.pid} on {socket.gethostname()} is writing" in str(results[0].error)
    again = explain_slides(slides, small_model, [], out, client=client, **ASKED)
    assert [r.state for r in again] == ["complete"] * 2 and took[0] < 20


def test_a_model_that_cannot_be_sent_is_refused_before_any_task(client, tmp_path: Path) -> None:
    slides = tissue_tiffs(tmp_path / "s", 1, 128)
    with pytest.raises(SettingError, match=r"cannot be sent .* function of a module"):
        explain_slides(slides, lambda: small_model(), [], tmp_path / "out", client=client, **ASKED)
