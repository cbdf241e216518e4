"""Threads: affinity, and quotas of control groups in both versions, nested and not."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_smoothsal.slides import threads
from napari_smoothsal.slides.threads import cgroup_cores, default_threads


@pytest.fixture
def many_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Root of a file system without quotas, on a machine of 64 cores."""
    monkeypatch.setattr(threads, "_ROOT", tmp_path)
    if hasattr(threads.os, "sched_getaffinity"):
        monkeypatch.setattr(threads.os, "sched_getaffinity", lambda pid: set(range(64)))
    else:
        monkeypatch.setattr(threads.os, "cpu_count", lambda: 64)
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
