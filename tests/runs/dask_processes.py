"""A Dask cluster of real processes, as `dask scheduler` and `dask worker` start them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from distributed import Client

HERE = Path(__file__).parent
SMALL_BANDS = HERE / "small_bands_preload.py"
"""For workers: a small slide has several units."""


def until(true: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class DaskProcesses:
    """A scheduler and workers, all ended with the block; see `dask_processes`."""

    def __init__(self, folder: Path, host: str, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.host, self.environment = folder, host, environment
        self.port = free_port()
        self.started: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()

    @property
    def address(self) -> str:
        return f"tcp://{self.host}:{self.port}"

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        """At the same address as the last one."""
        self.scheduler = self._dask(
            "scheduler", "--host", self.host, "--port", str(self.port), "--no-dashboard"
        )
        return self.scheduler

    def start_worker(
        self,
        name: str,
        *arguments: str,
        preload: tuple[Path, ...] = (),
        prefix: tuple[str, ...] = (),
        **environment: str,
    ) -> subprocess.Popen[bytes]:
        """A worker in the hands of a nanny."""
        loads = [word for file in (SMALL_BANDS, *preload) for word in ("--preload", str(file))]
        return self._dask(
            "worker", self.address, "--name", name, "--nthreads", "1",
            "--memory-limit", "0", "--no-dashboard", "--death-timeout", "150",
            "--local-directory", str(self.folder / name), *loads, *arguments,
            prefix=prefix, **environment,
        )  # fmt: skip

    def _dask(
        self, *arguments: str, prefix: tuple[str, ...] = (), **environment: str
    ) -> subprocess.Popen[bytes]:
        # What workers unpickle by name lies here.
        path = os.pathsep.join([str(HERE), str(HERE.parent), *sys.path])
        with (self.folder / "dask.log").open("ab") as log:
            process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "dask", *arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path, **self.environment, **environment},
            )
        self.started.append(process)
        return process

    def said(self) -> str:
        """What all of them wrote."""
        return (self.folder / "dask.log").read_text(errors="replace")

    def end(self) -> None:
        families = [_family(process.pid) for process in self.started]
        for process in (one for family in families for one in family):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
                process.kill()
        for started in self.started:
            started.wait(30)


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@contextmanager
def dask_processes(
    folder: Path, *workers: str, host: str = "127.0.0.1", **environment: str
) -> Iterator[DaskProcesses]:
    """A scheduler and some workers by name, which have small bands, and an environment."""
    cluster = DaskProcesses(folder, host, environment)
    try:
        for name in workers:
            cluster.start_worker(name)
        yield cluster
    finally:
        cluster.end()


@contextmanager
def client_of_processes(cluster: DaskProcesses, workers: int) -> Iterator[Client]:
    """A client that has its workers."""
    with Client(cluster.address, timeout=100) as client:
        client.wait_for_workers(workers, timeout=150)
        yield client


def worker_pids(client: Client) -> dict[str, int]:
    """The process of each worker that computes, by the worker's name."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    pids = client.run(os.getpid)
    return {str(workers[address]["name"]): pid for address, pid in pids.items()}


def tasks_of(client: Client) -> dict[str, str]:
    """Where what is computed: tasks by name, with the worker's name."""
    names = {a: str(w["name"]) for a, w in client.scheduler_info(n_workers=-1)["workers"].items()}
    return {key: names[a] for a, keys in client.processing().items() for key in keys if a in names}
