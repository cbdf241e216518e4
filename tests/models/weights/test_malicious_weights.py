"""No file of weights runs code, or takes more memory than it is long; each says why it is refused.

The files are made by `hostile_files` and read by `read_hostile` in one process of little memory.
"""

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hostile_files import BOMB_BYTES, Calls, bombs, code_files

READER = Path(__file__).with_name("read_hostile.py")
ROOM_BYTES = 160 << 20
"""Largest rise of memory for one file; the largest has 17 MiB."""

assert ROOM_BYTES < BOMB_BYTES


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of reading each file, beside what should (`kind`, `words`)."""
    folder, canary = tmp_path_factory.mktemp("hostile"), tmp_path_factory.mktemp("c") / "ran"
    of_code = code_files(canary, tmp_path_factory.mktemp("other"))
    expected = {}
    for kind, files in (("UnsafeModelError", of_code), ("ModelError", bombs())):
        for name, (content, words) in files.items():
            assert name not in expected
            (folder / name).write_bytes(content)
            expected[name] = {"kind": kind, "words": words}
    command = [sys.executable, READER, folder, canary]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    told = {one["file"]: one for one in map(json.loads, ended.stdout.splitlines())}
    missing = sorted(expected.keys() - told.keys())
    assert not missing, f"the reader ended at {missing[:1]}: {ended.stderr[-2000:]}"
    return {name: told[name] | expected[name] for name in expected}


def test_the_payload_would_run(tmp_path: Path) -> None:
    canary = tmp_path / "ran"
    pickle.loads(pickle.dumps(Calls(Path.touch, canary)))
    assert canary.exists()


def test_nothing_ran(refusals: dict[str, dict[str, Any]]) -> None:
    assert [name for name, one in refusals.items() if one["ran"]] == []


def test_what_would_run_code_is_refused_as_unsafe(refusals: dict[str, dict[str, Any]]) -> None:
    code = {n: one for n, one in refusals.items() if one["kind"] == "UnsafeModelError"}
    assert len(code) > 40
    assert {n: one["error"] for n, one in code.items() if one["error"] != one["kind"]} == {}


def test_what_claims_more_than_it_holds_is_refused(refusals: dict[str, dict[str, Any]]) -> None:
    others = {n: one for n, one in refusals.items() if one["kind"] == "ModelError"}
    assert len(others) > 40
    assert {n: one["error"] for n, one in others.items() if one["error"] != one["kind"]} == {}


def test_refusals_say_what_is_wrong_and_not_where_files_lie(
    refusals: dict[str, dict[str, Any]],
) -> None:
    told = {name: one["message"] for name, one in refusals.items()}
    assert {n: m for n, m in told.items() if refusals[n]["words"] not in m} == {}
    assert {n: m for n, m in told.items() if "/tmp" in m or len(m) > 600} == {}


def test_memory_and_time_are_bounded_by_the_file(refusals: dict[str, dict[str, Any]]) -> None:
    rises = {name: one["rise_bytes"] >> 20 for name, one in refusals.items()}
    assert {n: rise for n, rise in rises.items() if rise > ROOM_BYTES >> 20} == {}
    assert {n: one["seconds"] for n, one in refusals.items() if one["seconds"] > 10} == {}
