"""The list of a batch: every slide in one shard, every store for one slide."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_smoothsal import SmoothsalError
from napari_smoothsal.runs.slide_list import SlideJob, in_shard, shard_from, slide_jobs


@given(st.integers(0, 40), st.integers(1, 12))
def test_shards_share_all_slides_evenly(count: int, shards: int) -> None:
    jobs = [SlideJob(f"{i}.svs", str(i), f"{i}.zarr") for i in range(count)]
    parts = [in_shard(jobs, (i, shards)) for i in range(1, shards + 1)]
    assert sorted(job.store for part in parts for job in part) == sorted(j.store for j in jobs)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert in_shard(jobs, None) == jobs


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "a/b", "1/0", "1/2/3", (0, 1), "-1/2"])
def test_a_shard_that_there_is_not(shard) -> None:
    with pytest.raises(SmoothsalError, match="give i/n"):
        shard_from(shard)


def test_no_two_slides_have_one_store(tmp_path: Path) -> None:
    for place in ("one", "two", "three"):
        (tmp_path / place).mkdir()
    paths = [tmp_path / "one" / "Case.svs", tmp_path / "two" / "case.svs"]
    paths += [tmp_path / "three" / "case~2.svs", tmp_path / "one" / "Case.svs"]
    stores = [job.store for job in slide_jobs(paths)]
    # Case.svs and case.svs would be one folder on some file systems.
    assert len({store.casefold() for store in stores}) == 4
    assert stores[0] == "Case.smoothsal.zarr" and stores[1] == "case~2.smoothsal.zarr"
    assert slide_jobs(paths) == slide_jobs(list(map(str, paths)))


def test_folders_manifests_and_urls_are_one_list(tmp_path: Path) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    for name in ("b.svs", "a.svs", "notes.txt"):
        (folder / name).write_bytes(b"")
    (tmp_path / "more.csv").write_text("slide,mpp\nslides/a.svs,0.5\n")
    jobs = slide_jobs([folder, tmp_path / "more.csv", "https://example.org/c.svs"])
    assert [job.name for job in jobs] == ["a", "b", "a", "c"]
    assert [job.mpp for job in jobs] == [None, None, 0.5, None]
    assert jobs[2].store == "a~2.smoothsal.zarr"
    assert slide_jobs(folder) == slide_jobs([folder])
