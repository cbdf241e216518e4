"""Batches on a cluster of processes, which tests interrupt."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster_models import small_model
from dask_processes import DaskProcesses, client_of_processes, dask_processes, tasks_of
from distributed import Client
from small_runs import ALL

from napari_smoothsal import Compute, SaliencySpec, explain_slides, open_run
from napari_smoothsal.runs.slide_work import SlideResult

SPECS = [SaliencySpec(layer="layer1", samples=2), SaliencySpec(layer="layer2", samples=2)]
ASKED = {
    "tiling": ALL,
    "progress": False,
    "compute": Compute(device="cpu", precision="fp32", batch_size=2),
}
SLOW = {"SMOOTHSAL_TEST_SLEEP_S": "0.1"}
"""A slide of 384 px then takes about ten seconds."""


@contextmanager
def slow_workers(
    folder: Path, *names: str, **environment: str
) -> Iterator[tuple[DaskProcesses, Client]]:
    """Workers that take their time for each pass."""
    with (
        dask_processes(folder, *names, **SLOW, **environment) as cluster,
        client_of_processes(cluster, len(names)) as client,
    ):
        yield cluster, client


@contextmanager
def explaining(client: Client, slides: list[Path], out: Path) -> Iterator[Callable[[], list]]:
    """A batch in a thread; gives what waits for its results."""
    ended: list[list[SlideResult] | BaseException] = []

    def explain() -> None:
        try:
            ended.append(explain_slides(slides, small_model, SPECS, out, client=client, **ASKED))
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits
            ended.append(error)

    thread = threading.Thread(target=explain)
    thread.start()

    def results() -> list[SlideResult]:
        thread.join(240)
        assert ended, "it hangs"
        if isinstance(ended[0], BaseException):
            raise ended[0]
        return ended[0]

    yield results
    thread.join(240)


def calm(slides: list[Path], out: Path) -> list[SlideResult]:
    return explain_slides(slides, small_model, SPECS, out, **ASKED)


def begun(out: Path, tiles: int = 1) -> bool:
    """Whether a store has so many tiles that are done."""
    stores = [one for one in out.glob("*.zarr") if (one / "zarr.json").is_file()]
    return any((open_run(one).tiles.status == "done").sum() >= tiles for one in stores)


def worker_at(client: Client, what: str) -> str:
    """The worker that has a task whose name begins so; empty where none has."""
    return next((name for key, name in tasks_of(client).items() if key.startswith(what)), "")


def worker_task(client: Client, name: str) -> str:
    """What a worker has."""
    return next((key for key, at in tasks_of(client).items() if at == name), "")


def written_once(file: Path) -> None:
    """Whoever wrote a chunk of the finest level, it was the same."""
    chunks: dict[str, set[str]] = {}
    for line in file.read_text().splitlines():
        _, key, sha256 = line.rsplit(" ", 2)
        chunks.setdefault(key, set()).add(sha256)
    assert chunks
    assert all(len(contents) == 1 for contents in chunks.values())
