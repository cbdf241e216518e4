"""What can go wrong around a run: power, disks, processes, clocks, single tiles."""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from small_runs import SPECS, arrays, assert_same_bits, explained, small_bands

from napari_smoothsal import Compute, open_run
from napari_smoothsal.core.errors import StoreError, TileReadError
from napari_smoothsal.runs import durable_store
from napari_smoothsal.runs.store import StoreWriter
from napari_smoothsal.runs.writer_lock import lock_file, only_writer, writer_of
from napari_smoothsal.slides import ArraySlide

CPU = Compute(batch_size=3, device="cpu")


class PowerCut(BaseException):
    """No handler sees it: nothing is tidied up."""


class Disk:
    """What is left of a folder after a power cut.

    Names are there once their folder is settled, and content once its file is. Of the rest the
    cut keeps what is worst: marks of work without the work, or what chance wants; and new names of
    files whose content was not settled, with nothing in them.
    """

    def __init__(self, folder: Path, kept: Path, cut_after: int, chance: random.Random | None):
        self.folder, self.kept, self.left = folder, kept, cut_after
        self.chance, self.whole = chance, {file.stat().st_ino for file in folder.rglob("*")}
        self.settle = durable_store.settle
        shutil.copytree(folder, kept)

    def settled(self, path: Path) -> None:
        self.settle(path)
        if path.is_file():
            self.whole.add(path.stat().st_ino)  # which it takes along to its new name
        elif path == self.folder or self.folder in path.parents:
            for name in self.names(path):
                self.keep(name)
        self.left -= 1
        if not self.left:
            self.cut()

    def cut(self) -> None:
        for name in {name for path in self.everything() for name in self.names(path)}:
            mark = name.parts[0] in ("state", "zarr.json") or name.parts[:2] == ("tiles", "status")
            if mark if self.chance is None else self.chance.random() < 0.5:
                self.keep(name)
        raise PowerCut

    def everything(self) -> list[Path]:
        return [path for path in [self.folder, *self.folder.rglob("*")] if path.is_dir()]

    def names(self, path: Path) -> set[Path]:
        """Of files in a folder, now or on the disk."""
        inside = path.relative_to(self.folder)
        found = [*path.iterdir(), *(self.kept / inside).glob("*")]
        return {inside / file.name for file in found if not file.is_dir()}

    def keep(self, name: Path) -> None:
        """Let a name mean on the disk what it means now."""
        file, there = self.folder / name, self.kept / name
        if not file.exists():
            there.unlink(missing_ok=True)
            return
        there.parent.mkdir(parents=True, exist_ok=True)
        whole = file.stat().st_ino in self.whole
        there.write_bytes(file.read_bytes() if whole else b"")


POWER_CUTS = {
    # Where marks are kept before the work, each cut tells; they lie in the first bands.
    "worst": (None, range(3, 200, 12)),
    "chance": (None, range(7, 200, 26)),
    "worst where": ("p(tumour) > 0.5", range(2, 200, 5)),
    "every worst": (None, range(1, 10_000, 3)),
    "every chance": ("p(tumour) > 0.5", range(2, 10_000, 7)),
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=[pytest.mark.slow] if "every" in c else []) for c in POWER_CUTS],
)
def test_a_power_cut_loses_nothing_that_was_marked(
    noisy, classifier, tmp_path: Path, monkeypatch, case: str
) -> None:
    where, cuts = POWER_CUTS[case]
    small_bands(monkeypatch)
    how = {"compute": CPU, "region": (0, 0, 130, 100), "where": where, "specs": SPECS[:1]}
    monkeypatch.setattr("napari_smoothsal.runs.writing.TABLE_S", 0.0)
    straight = explained(noisy, classifier, tmp_path / "straight.zarr", **how)
    out, kept = tmp_path / "s.zarr", tmp_path / "disk"
    chance = random.Random(0) if "chance" in case else None
    happened = 0
    for cut in cuts:
        for folder in (kept, out):
            shutil.rmtree(folder, ignore_errors=True)
        explained(noisy, classifier, out, **how, stop=lambda: True)
        disk = Disk(out, kept, cut, chance)
        with monkeypatch.context() as patched, contextlib.suppress(PowerCut):
            patched.setattr(durable_store, "settle", disk.settled)
            explained(noisy, classifier, out, **how)
        if disk.left > 0:
            break
        shutil.rmtree(out)
        shutil.copytree(kept, out)
        assert_same_bits(straight, explained(noisy, classifier, out, **how))
        happened += 1
    assert happened >= 5


def test_what_a_killed_process_was_writing_is_swept(noisy, classifier, tmp_path: Path) -> None:
    out = tmp_path / "s.zarr"
    explained(noisy, classifier, out, compute=CPU, stop=iter((False, True)).__next__)
    (out / "maps" / "0.abc.partial").write_bytes(b"half a chunk")
    draft = tmp_path / ".s.zarr.draft-abc"
    (draft / "store").mkdir(parents=True)
    assert explained(noisy, classifier, out, compute=CPU).status == "complete"
    assert not list(out.rglob("*.partial"))
    shutil.rmtree(out)
    explained(noisy, classifier, out, compute=CPU)
    assert [p.name for p in tmp_path.iterdir()] == ["s.zarr"]


HOLDER = """
import sys, time
from pathlib import Path
from napari_smoothsal.runs.writer_lock import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_process_learns_who_writes_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    out = tmp_path / "s.zarr"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    said = rf"process {holder.pid} on \S+ is writing into 's.zarr'"
    with pytest.raises(StoreError, match=said), only_writer(out):
        pass
    holder.kill()
    holder.wait()
    assert writer_of(out).alive is False  # what it left
    with only_writer(out):
        assert writer_of(out).pid == os.getpid() and writer_of(out).alive
    assert not lock_file(out).exists() and writer_of(out) is None


def test_clocks_may_jump(noisy, classifier, tmp_path: Path, monkeypatch) -> None:
    straight = explained(noisy, classifier, tmp_path / "a.zarr", compute=CPU)
    now = time.time()
    jumps = random.Random(0)
    monkeypatch.setattr(time, "time", lambda: now + jumps.uniform(-1e7, 1e7))
    seen = []
    out = tmp_path / "b.zarr"
    explained(noisy, classifier, out, compute=CPU, stop=iter([False] * 9 + [True]).__next__)
    run = explained(noisy, classifier, out, compute=CPU, progress=seen.append)
    assert_same_bits(straight, run)
    assert all(p.tiles_per_s >= 0 and (p.seconds_left or 0) >= 0 for p in seen)


class Scratched(ArraySlide):
    """Some of its regions cannot be decoded, until it is copied anew."""

    bad: tuple[tuple[int, int], ...] = ((100, 100), (210, 30))

    def read_box(self, box, size, resampling="area"):
        for x, y in self.bad:
            if box.x <= x < box.x + box.w and box.y <= y < box.y + box.h:
                raise TileReadError(f"{self.name}: cannot be decoded at {x}, {y}")
        return super().read_box(box, size, resampling)


@pytest.mark.parametrize(
    "how", [{}, {"where": "p(tumour) > 0.4"}, {"top": 60}, {"predict_only": True}]
)
def test_failed_tiles_are_computed_again_on_request_alone(
    noisy, classifier, tmp_path: Path, monkeypatch, how
) -> None:
    small_bands(monkeypatch)
    how = {"compute": CPU, **how}
    good = ArraySlide(noisy._levels, mpp=(0.5, 0.5), name="s")
    straight = explained(good, classifier, tmp_path / "straight.zarr", **how)
    out = tmp_path / "s.zarr"
    scratched = Scratched(noisy._levels, mpp=(0.5, 0.5), name="s")
    with pytest.warns(UserWarning, match="cannot be decoded"):
        broken = explained(scratched, classifier, out, **how)
    assert broken.status == "complete_with_errors"
    failed = int((broken.tiles.status == "failed").sum())
    assert 0 < failed < len(broken.tiles) // 2
    assert explained(good, classifier, out, **how).status == "complete_with_errors"

    computed = []
    begin = type(good).read_box
    monkeypatch.setattr(
        type(good), "read_box", lambda *args: computed.append(args[1]) or begin(*args)
    )
    mended = explained(good, classifier, out, retry_failed=True, **how)
    assert mended.status == "complete"
    if "top" not in how:
        assert_same_bits(straight, mended)
        return
    # Other tiles than the first time: other batches, whose last bits differ.
    assert (mended.tiles.status == straight.tiles.status).all()
    assert (mended.tiles.status == "done").sum() == how["top"]
    found, wanted = arrays(mended), arrays(straight)
    for path in (path for path in wanted if path.startswith(("maps", "tiles/tv"))):
        largest = np.nanmax(np.abs(wanted[path]))
        np.testing.assert_allclose(found[path], wanted[path], atol=1e-5 * largest)


def test_only_neighbours_of_failed_tiles_are_computed_with_them(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    small_bands(monkeypatch)
    tall = np.concatenate([noisy._levels[0]] * 4)
    scratched = Scratched([tall], mpp=(0.5, 0.5), name="s")
    out = tmp_path / "s.zarr"
    with pytest.warns(UserWarning, match="cannot be decoded"):
        broken = explained(scratched, classifier, out, SPECS[:1], compute=CPU)
    seen = []
    scratched.bad = ()
    again = explained(
        scratched, classifier, out, SPECS[:1], compute=CPU, retry_failed=True, progress=seen.append
    )
    assert again.status == "complete"
    assert seen[0].total - seen[0].done < len(broken.tiles) / 2


def test_a_failed_try_again_leaves_nothing_of_the_old_tile(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    small_bands(monkeypatch)
    out = tmp_path / "s.zarr"
    scratched = Scratched(noisy._levels, mpp=(0.5, 0.5), name="s")
    with pytest.warns(UserWarning, match="cannot be decoded"):
        explained(scratched, classifier, out, SPECS[:1], compute=CPU)
    with pytest.warns(UserWarning, match="cannot be decoded"):
        scratched.bad = ((100, 100), (210, 30), (140, 100))
        worse = explained(scratched, classifier, out, SPECS[:1], compute=CPU, retry_failed=True)
        fresh = explained(scratched, classifier, tmp_path / "f.zarr", SPECS[:1], compute=CPU)
    assert worse.status == "complete_with_errors"
    assert_same_bits(fresh, worse)


@pytest.fixture
def disk_of(tmp_path: Path):
    """Mounts a file system of some size, which only a privileged process may do."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mounted(size: int, *more: str) -> Path:
        options = ",".join([*more, f"size={size}"])
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no file system may be mounted here")
        return folder

    yield mounted
    while folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_a_run_that_goes_on_when_there_is_room(
    noisy, classifier, tmp_path: Path, monkeypatch, disk_of
) -> None:
    small_bands(monkeypatch)
    straight = explained(noisy, classifier, tmp_path / "straight.zarr", compute=CPU)
    begun = explained(noisy, classifier, tmp_path / "begun.zarr", compute=CPU, stop=lambda: True)
    used = [
        sum(-(-f.stat().st_size // 4096) for f in run.path.rglob("*") if f.is_file())
        for run in (begun, straight)
    ]
    out = disk_of(4096 * (sum(used) // 2)) / "s.zarr"
    with pytest.raises(OSError, match="No space left"):
        explained(noisy, classifier, out, compute=CPU)
    half = open_run(out)
    assert half.status in ("failed", "running") and (half.tiles.status == "done").any()
    subprocess.run(["mount", "-o", "remount,size=64m", str(out.parent)], check=True)
    assert_same_bits(straight, explained(noisy, classifier, out, compute=CPU))


def test_memory_that_ran_out_is_recorded_and_not_asked_for_again(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    from napari_smoothsal.attribution import Explainer

    straight = explained(noisy, classifier, tmp_path / "straight.zarr", compute=CPU)
    predict, rows = Explainer.begin, []

    def scarce(self, images, *args, **kwargs):
        rows.append(self.rows.limit)
        if len(rows) == 3:
            list(self.rows.parts(range(3), lambda part: part if len(part) < 3 else run_out()))
        return predict(self, images, *args, **kwargs)

    def run_out():
        raise MemoryError

    out = tmp_path / "s.zarr"
    with monkeypatch.context() as patched, pytest.warns(UserWarning, match="memory ran out"):
        patched.setattr(Explainer, "begin", scarce)
        explained(noisy, classifier, out, compute=CPU, stop=iter([False] * 60 + [True]).__next__)
    own = json.loads((out / "zarr.json").read_text())["attributes"]["smoothsal"]
    (fallback,) = own["provenance"]["fallbacks"]
    assert fallback["rows_per_pass"] == 1 and fallback["first_tile"] > 0
    monkeypatch.setattr(Explainer, "begin", scarce)
    rows[:] = [0] * 5
    run = explained(noisy, classifier, out, compute=CPU)
    assert run.status == "complete" and set(rows[5:]) == {1}
    for key, run_map in run.maps.items():
        expected = straight.maps[key].levels[0][:]
        scale = np.nanmax(np.abs(expected))
        assert np.allclose(run_map.levels[0][:], expected, atol=1e-4 * scale, equal_nan=True)


def test_nothing_is_written_into_the_folder_that_a_drive_was_mounted_on(tmp_path: Path) -> None:
    folder = tmp_path / "disk" / "s.zarr"
    group = zarr.create_group(durable_store.DurableStore(folder))
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    folder.mkdir(parents=True)
    for act in (lambda: group.attrs.update(a=1), lambda: group.create_group("b")):
        with pytest.raises(OSError, match="No such device"):
            act()
    assert not list(folder.iterdir())


def test_a_retry_that_is_killed_halfway_is_taken_up(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    small_bands(monkeypatch)
    how = {"specs": SPECS[:1], "compute": CPU}
    good = ArraySlide(noisy._levels, mpp=(0.5, 0.5), name="s")
    scratched = Scratched(noisy._levels, mpp=(0.5, 0.5), name="s")
    straight = explained(good, classifier, tmp_path / "straight.zarr", **how)
    with pytest.warns(UserWarning, match="cannot be decoded"):
        explained(scratched, classifier, tmp_path / "s.zarr", **how)

    def killed(*_: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patched, pytest.raises(PowerCut):
        patched.setattr(StoreWriter, "set_aside", killed)
        explained(good, classifier, tmp_path / "s.zarr", retry_failed=True, **how)
    mended = explained(good, classifier, tmp_path / "s.zarr", retry_failed=True, **how)
    assert mended.status == "complete"
    assert_same_bits(straight, mended)
