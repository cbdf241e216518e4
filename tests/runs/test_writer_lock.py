"""One writer at a time: whatever the store is called, whatever the file system knows."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from small_runs import SPECS, explained

from napari_smoothsal import open_run
from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs.store_check import examine_store
from napari_smoothsal.runs.writer_lock import is_written, lock_file, only_writer

fcntl = pytest.importorskip("fcntl")


def linked(tmp_path: Path) -> tuple[Path, Path]:
    """A store's path, and a link to it."""
    link = tmp_path / "elsewhere" / "link.zarr"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "s.zarr")
    return tmp_path / "s.zarr", link


def test_a_store_is_held_under_all_of_its_names(tmp_path: Path, monkeypatch) -> None:
    store, link = linked(tmp_path)
    store.mkdir()
    monkeypatch.chdir(store)
    for one in (store, link, Path()):
        with only_writer(one):
            for other in (store, link, Path(), Path("..") / store.name):
                assert is_written(other)
                with pytest.raises(StoreError, match=r"is writing into 's\.zarr'"):
                    only_writer(other).__enter__()
        assert not is_written(one)
    assert os.listdir(tmp_path) in (["s.zarr", "elsewhere"], ["elsewhere", "s.zarr"])  # noqa: PTH208


def test_a_run_through_a_link_goes_on_with_what_it_leads_to(
    noisy, classifier, tmp_path: Path
) -> None:
    store, link = linked(tmp_path)
    explained(noisy, classifier, link, SPECS[:1], stop=lambda: True)
    assert link.is_symlink() and store.is_dir() and not store.is_symlink()
    assert explained(noisy, classifier, link, SPECS[:1]).status == "complete"
    assert open_run(store).status == "complete"
    assert [f.state for f in examine_store(link)] == [f.state for f in examine_store(store)]


def test_an_empty_current_folder_becomes_the_store(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    place = tmp_path / "case"
    place.mkdir()
    monkeypatch.chdir(place)
    run = explained(noisy, classifier, Path(), SPECS[:1], stop=lambda: True)
    assert run.status == "running" and open_run(place).status == "running"
    assert [one.name for one in tmp_path.iterdir()] == ["case"]


def test_a_lock_whose_file_was_removed_meanwhile_holds_nothing(tmp_path: Path, monkeypatch) -> None:
    """B opens the file that A removes, C makes a new one; B then gets the lock of the old one."""
    store, real = tmp_path / "s.zarr", fcntl.flock
    opened, go, leave = threading.Event(), threading.Event(), threading.Event()
    inside: list[str] = []

    def flock(handle, operation):
        if threading.current_thread().name == "B" and operation & fcntl.LOCK_EX:
            opened.set()
            go.wait(20)
        return real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", flock)

    def late() -> None:
        try:
            with only_writer(store):
                inside.append("B")
                leave.wait(20)
        except StoreError:
            pass

    b = threading.Thread(target=late, name="B")
    with only_writer(store):
        b.start()
        assert opened.wait(20)
    with only_writer(store):
        go.set()
        b.join(2)
        assert inside == []
    leave.set()
    b.join(20)


def no_flock(_handle, _operation):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_where_the_file_system_knows_no_locks_a_file_stands_for_one(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", no_flock)
    store = tmp_path / "s.zarr"
    with only_writer(store):
        assert is_written(store)
        for _ in range(2):
            with pytest.raises(StoreError, match=f"process {os.getpid()} on"), only_writer(store):
                pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_without_locks_who_comes_while_another_leaves_is_not_pushed_out(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", no_flock)
    store, unlink = tmp_path / "s.zarr", Path.unlink
    next_one = ExitStack()

    def unlink_and_come(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        if path == lock_file(store):
            patched.undo()
            next_one.enter_context(only_writer(store))

    with next_one:
        with pytest.MonkeyPatch.context() as patched, only_writer(store):
            patched.setattr(Path, "unlink", unlink_and_come)
        with pytest.raises(StoreError, match="is writing"), only_writer(store):
            pass
    assert list(tmp_path.iterdir()) == []
