"""A worker whose network is cut off, in a network namespace of its own: Linux, as root."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from batch_slides import tissue_tiff, tissue_tiffs
from cluster_batches import begun, calm, explaining, worker_task, written_once
from dask_processes import client_of_processes, dask_processes, until, worker_pids
from small_runs import assert_same_bits, small_bands

pytestmark = pytest.mark.slow

HERE, THERE = "198.18.213.1", "198.18.213.2"
"""Of the range that is set aside for tests of networks."""
SLOWER = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s", "SMOOTHSAL_TEST_SLEEP_S": "0.4"}
"""A slide takes longer than Dask needs to take a connection for dead that says nothing."""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@dataclass(frozen=True)
class Apart:
    """A place behind a cable that can be pulled."""

    name: str

    @property
    def prefix(self) -> tuple[str, ...]:
        return "ip", "netns", "exec", self.name

    def pull(self) -> None:
        ip("link", "set", f"{self.name}v", "down")

    def plug_in(self) -> None:
        ip("link", "set", f"{self.name}v", "up")


@pytest.fixture
def apart() -> Iterator[Apart]:
    if sys.platform != "linux" or os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need Linux, root and iproute2")
    place = Apart(f"sal{os.getpid()}")
    try:
        ip("netns", "add", place.name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    try:
        ip("link", "add", f"{place.name}v", "type", "veth", "peer", "eth", "netns", place.name)
        ip("address", "add", f"{HERE}/30", "dev", f"{place.name}v")
        place.plug_in()
        inside = ("-n", place.name)
        ip(*inside, "address", "add", f"{THERE}/30", "dev", "eth")
        ip(*inside, "link", "set", "eth", "up")
        ip(*inside, "link", "set", "lo", "up")
        yield place
    finally:
        subprocess.run(["ip", "link", "del", f"{place.name}v"], check=False)
        subprocess.run(["ip", "netns", "del", place.name], check=False)


@pytest.fixture(autouse=True)
def _bands(monkeypatch: pytest.MonkeyPatch) -> None:
    small_bands(monkeypatch)  # as in the workers


@pytest.mark.parametrize("units", [False, True], ids=["slides", "units"])
@pytest.mark.parametrize("for_good", [True, False], ids=["given up", "for a while"])
def test_a_worker_that_is_cut_off_ends_and_its_work_is_done_once(
    tmp_path: Path, apart: Apart, units: bool, for_good: bool
) -> None:
    slides = [tissue_tiff(tmp_path / "s.tif", 5, 384)] if units else tissue_tiffs(tmp_path, 2, 256)
    out, writes = tmp_path / "out", tmp_path / "writes"
    noted = {"SMOOTHSAL_TEST_WRITES": str(writes)}
    with dask_processes(tmp_path / "dask", host=HERE, **SLOWER, **noted) as cluster:
        cluster.start_worker("near", "--host", HERE)
        cluster.start_worker("far", "--host", THERE, prefix=apart.prefix)
        with client_of_processes(cluster, 2) as client, explaining(client, slides, out) as results:
            until(lambda: begun(out) and worker_task(client, "far"))
            far = worker_pids(client)["far"]
            apart.pull()
            if for_good:
                # It is given up, and its work is with the other, while nobody can tell it.
                until(lambda: not worker_task(client, "far") and worker_task(client, "near"))
            else:
                time.sleep(4)
            apart.plug_in()
            ended = results()
            assert for_good == (
                "far" not in worker_pids(client) or worker_pids(client)["far"] != far
            )
    assert [r.state for r in ended] == ["complete"] * len(slides), [r.error for r in ended]
    written_once(writes)
    for one, two in zip(calm(slides, tmp_path / "alone"), ended, strict=True):
        assert_same_bits(one.run, two.run)
