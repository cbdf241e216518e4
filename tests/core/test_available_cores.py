"""Available cores: affinity, and quotas of control groups in both versions, nested and not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_smoothsal.core import available_cores as cores
from napari_smoothsal.core.available_cores import (
    OMP,
    available_cores,
    cgroup_cores,
    compute_threads,
    limit_compute_threads,
)
from napari_smoothsal.slides.threads import default_threads


@pytest.fixture
def many_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Root of a file system without quotas, on a machine of 64 cores."""
    monkeypatch.setattr(cores, "_ROOT", tmp_path)
    if hasattr(cores.os, "sched_getaffinity"):
        monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(64)))
    else:
        monkeypatch.setattr(cores.os, "cpu_count", lambda: 64)
    return tmp_path


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000\n", 8),
        ("350000 100000\n", 3),
        ("50000 100000", 1),
        ("1 0", 8),
        ("nonsense", 8),
        ("", 8),
    ],
)
def test_quota_of_version_2(many_cores: Path, text: str, expected: int) -> None:
    assert default_threads() == 8
    write(many_cores, **{"sys/fs/cgroup/cpu.max": text})
    assert default_threads() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("250000", 2), ("1000", 1), ("", 8)])
@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
def test_quota_of_version_1(many_cores: Path, folder: str, quota: str, expected: int) -> None:
    home = f"sys/fs/cgroup/{folder}"
    write(
        many_cores,
        **{f"{home}/cpu.cfs_quota_us": quota, f"{home}/cpu.cfs_period_us": "100000\n"},
    )
    assert default_threads() == expected


def test_the_tightest_of_nested_groups_counts(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            "proc/self/cgroup": "0::/slurm/job 7/step\n",
            "sys/fs/cgroup/slurm/cpu.max": "max 100000",
            "sys/fs/cgroup/slurm/job 7/cpu.max": "400000 100000",
            "sys/fs/cgroup/slurm/job 7/step/cpu.max": "600000 100000",
            "sys/fs/cgroup/slurm/job 8/cpu.max": "100000 100000",
        },
    )
    assert cgroup_cores(tmp_path) == 4


def test_groups_of_version_1_are_found_by_their_controller(tmp_path: Path) -> None:
    names = "9:name=systemd:/\n4:memory:/a\n3:cpuset:/b\n2:cpu,cpuacct:/a/b\n0::/\n"
    group = "sys/fs/cgroup/cpu,cpuacct/a/b"
    write(
        tmp_path,
        **{
            "proc/self/cgroup": names,
            f"{group}/cpu.cfs_quota_us": "500000",
            f"{group}/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpuset/b/cpu.max": "100000 100000",
        },
    )
    assert cgroup_cores(tmp_path) == 5


def test_no_control_groups_is_no_limit(tmp_path: Path) -> None:
    assert cgroup_cores(tmp_path) is None


def test_readers_are_at_most_8_and_cores_as_many_as_there_are(many_cores: Path) -> None:
    assert (available_cores(), default_threads()) == (64, 8)
    write(many_cores, **{"sys/fs/cgroup/cpu.max": "1200000 100000"})
    assert (available_cores(), default_threads()) == (12, 8)


def test_threads_to_compute_with_follow_the_quota_but_not_against_the_user(
    many_cores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OMP, "")  # put back afterwards, whatever is set below
    monkeypatch.delenv(OMP)
    assert compute_threads() is None, "without a quota the libraries know the cores themselves"
    limit_compute_threads()
    assert OMP not in os.environ
    write(many_cores, **{"sys/fs/cgroup/cpu.max": "1200000 100000"})
    assert compute_threads() == 12
    limit_compute_threads()
    assert os.environ[OMP] == "12"
    monkeypatch.setenv(OMP, "16")
    assert compute_threads() is None
    limit_compute_threads()
    assert os.environ[OMP] == "16"


def test_a_command_limits_torch_before_it_is_there() -> None:
    """In a process of its own, as the variable is read once."""
    code = """
import sys
from napari_smoothsal.core import available_cores as cores
cores.available_cores, cores._affine_cores = (lambda: 1), (lambda: 64)
from napari_smoothsal.cli import app
assert "torch" not in sys.modules and "numpy" not in sys.modules
app._frame(version=False)
import torch
print(torch.get_num_threads())
"""
    environment = {name: value for name, value in os.environ.items() if name != OMP}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "1", done.stderr
