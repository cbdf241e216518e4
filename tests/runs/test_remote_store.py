"""Stores on URLs hold what local ones do, also where requests fail or the process is killed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from s3_servers import (
    BUCKET,
    KEY,
    SECRET,
    Faults,
    faulty_proxy,
    keys,
    objects,
    pointing_to,
    s3_server,
)
from small_runs import arrays, assert_same_bits, explained, small_bands

from napari_smoothsal import open_run
from napari_smoothsal.core.errors import (
    SettingError,
    SmoothsalError,
    StoreError,
    UnreachableError,
)
from napari_smoothsal.runs import remote_draft
from napari_smoothsal.runs.layout import check_free_or_own
from napari_smoothsal.runs.places import place_of
from napari_smoothsal.runs.remote_store import RemoteStore


@pytest.fixture(scope="module")
def server():
    with s3_server() as address:
        yield address


@pytest.fixture
def folder(server, request) -> str:
    return f"s3://{BUCKET}/{request.node.name}"


class StoppedError(Exception):
    """The run ends in the middle of a write."""


def stop_at(monkeypatch, number: int) -> None:
    """End a run at the so-manieth object that zarr puts."""
    put, puts = RemoteStore.set, []

    async def counted(self, key, value, byte_range=None):
        puts.append(key)
        if len(puts) == number:
            raise StoppedError
        await put(self, key, value, byte_range)

    monkeypatch.setattr(RemoteStore, "set", counted)


def test_it_is_the_local_store_bit_for_bit(
    folder, server, noisy, classifier, tmp_path: Path
) -> None:
    local = explained(noisy, classifier, tmp_path / "case.zarr")
    for url in (f"{folder}/case.zarr", "memory://here/case.zarr"):
        run = explained(noisy, classifier, url)
        assert run.status == "complete"
        assert_same_bits(local, run)
        assert run.tiles.equals(local.tiles)
        assert open_run(url).provenance["slide"] == local.provenance["slide"]
        assert np.array_equal(run.overview[0], local.overview[0])


def test_nothing_of_the_server_is_in_it(folder, server, noisy, classifier) -> None:
    explained(noisy, classifier, f"{folder}/case.zarr")
    held = objects(folder[12:])
    assert not [key for key in held if "/case.zarr/" not in key]  # no lease, no draft is left
    for content in held.values():
        for secret in (KEY, SECRET, server, BUCKET):
            assert secret.encode() not in content


@pytest.mark.parametrize("at", [3, *(pytest.param(at, marks=pytest.mark.slow) for at in (40, 90))])
def test_stopped_anywhere_and_resumed_it_is_the_same(
    at, folder, noisy, classifier, tmp_path, monkeypatch
) -> None:
    small_bands(monkeypatch)
    straight = explained(noisy, classifier, tmp_path / "case.zarr")
    with monkeypatch.context() as patch:
        stop_at(patch, at)
        with pytest.raises(StoppedError):
            explained(noisy, classifier, f"{folder}/case.zarr")
    assert_same_bits(straight, explained(noisy, classifier, f"{folder}/case.zarr"))


VICTIM = """
import os, signal, sys
sys.path[:0] = {paths!r}
import numpy as np
import conftest
from napari_smoothsal import *
from napari_smoothsal.runs import layout
from napari_smoothsal.runs.remote_store import RemoteStore
from napari_smoothsal.slides import ArraySlide

layout.BAND, layout.COARSEST_PX = 16, 32
put, left = RemoteStore.set, [{puts}]

async def deadly(self, key, value, byte_range=None):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    await put(self, key, value, byte_range)

RemoteStore.set = deadly
pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
explain_slide(ArraySlide([pixels], mpp=(0.5, 0.5)), conftest.random_classifier(),
    [SaliencySpec(layer="layer1", samples=4)], {out!r}, tiling=Tiling(tissue="all"),
    compute=Compute(batch_size=2, device="cpu", readers=1), progress=False)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_and_resumed_it_is_the_same(folder, classifier, tmp_path, monkeypatch) -> None:
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

    def code(out: str, puts: int) -> list[str]:
        return [sys.executable, "-c", VICTIM.format(paths=paths, puts=puts, out=out)]

    subprocess.run(code(str(tmp_path / "case.zarr"), 0), check=True)
    out = f"{folder}/case.zarr"
    for puts in (30, 1):
        assert subprocess.run(code(out, puts)).returncode == -9
        assert open_run(out).status == "running"
    # At once: whose process is known to be gone needs no waiting for.
    subprocess.run(code(out, 0), check=True)
    assert_same_bits(open_run(tmp_path / "case.zarr"), open_run(out))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_object_store_that_fails_one_request_in_twenty_ends_no_run(
    seed, server, folder, noisy, classifier, tmp_path, monkeypatch
) -> None:
    small_bands(monkeypatch)
    straight = explained(noisy, classifier, tmp_path / "case.zarr")
    faults = Faults(0.05, seed)
    with faulty_proxy(server, faults) as address, pointing_to(address):
        run = explained(noisy, classifier, f"{folder}/case.zarr")
        assert run.status == "complete"
        assert_same_bits(straight, run)
    failed = sum(count for how, count in faults.counts.items() if how != "ok")
    assert faults.counts["ok"] > 500
    assert failed > 0.03 * faults.counts["ok"]
    assert set(faults.counts) == {"ok", *Faults.HOW}


def test_a_start_that_was_killed_is_no_store_and_the_next_one_sweeps_it(
    folder, noisy, classifier, monkeypatch
) -> None:
    url = f"{folder}/case.zarr"

    def ends(place, content):
        if place.name == "zarr.json":
            raise StoppedError
        put(place, content)

    put = remote_draft.write_whole
    with monkeypatch.context() as patch:
        patch.setattr(remote_draft, "write_whole", ends)
        with pytest.raises(StoppedError):
            explained(noisy, classifier, url)
    assert check_free_or_own(place_of(url)) is None
    with pytest.raises(StoreError, match="no saliency store"):
        open_run(url)
    place_of(f"{url}/maps/left/over").fs.pipe_file(f"{url}/maps/left/over", b"by the killed one")
    run = explained(noisy, classifier, url)
    assert run.status == "complete"
    assert not [key for key in keys() if "left/over" in key or ".draft" in key]


def test_what_is_not_ours_is_left_alone(folder, noisy, classifier) -> None:
    place = place_of(f"{folder}/case.zarr")
    place.fs.pipe_file(f"{place.path}/letter.txt", b"of somebody else")
    before = objects(folder[12:])
    with pytest.raises(StoreError, match="no store of this program"):
        explained(noisy, classifier, str(place))
    assert objects(folder[12:]) == before


def test_tiles_are_chosen_on_a_url_as_in_a_folder(folder, noisy, classifier, tmp_path) -> None:
    chosen = {"where": "p(tumour) > 0.02", "top": 5}
    local = explained(noisy, classifier, tmp_path / "case.zarr", **chosen)
    assert_same_bits(local, explained(noisy, classifier, f"{folder}/case.zarr", **chosen))


def test_shards_need_a_folder(folder, noisy, classifier) -> None:
    with pytest.raises(SettingError, match="pack needs a folder of this machine"):
        explained(noisy, classifier, f"{folder}/case.zarr", pack=True)
    assert not keys(folder[12:])


def test_a_bucket_that_is_not_there_is_named(server, noisy, classifier) -> None:
    with pytest.raises(UnreachableError, match="s3://elsewhere is not there; make it"):
        explained(noisy, classifier, "s3://elsewhere/case.zarr")


def test_without_credentials_it_says_where_they_go(server, noisy, classifier, monkeypatch) -> None:
    from s3fs import S3FileSystem

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, os.devnull)
    S3FileSystem.clear_instance_cache()
    with pytest.raises(UnreachableError, match=r"does not let this process in .*credentials"):
        explained(noisy, classifier, f"s3://{BUCKET}/case.zarr")
    S3FileSystem.clear_instance_cache()


def test_where_nobody_answers_the_address_stays_unsaid(noisy, classifier, monkeypatch) -> None:
    from fsspec.config import conf

    # What fsspec is configured to goes before what is set here.
    monkeypatch.setitem(conf, "s3", {"config_kwargs": {"retries": {"max_attempts": 1}}})
    with (
        pointing_to("http://127.0.0.1:9"),
        pytest.raises(UnreachableError, match="did not answer") as caught,
    ):
        explained(noisy, classifier, f"s3://{BUCKET}/case.zarr")
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "missing", "said"),
    [
        ("s3://slides/case.zarr", "s3fs", r"\(s3fs\); install it with pip install 'napari-smoo"),
        ("s3://slides/case.zarr", "upath", r"'napari-smoothsal\[remote\]'"),
        ("gopher://slides/case.zarr", "", "nothing that is installed knows gopher://"),
        ("zip://case.zarr::s3://slides/a.zip", "", "give the URL of a folder alone"),
        ("s3://", "", "names no folder"),
    ],
)
def test_urls_that_cannot_be_written_are_refused_at_once(url, missing, said, monkeypatch) -> None:
    if missing == "s3fs":
        from s3fs import S3FileSystem

        S3FileSystem.clear_instance_cache()
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SmoothsalError, match=said):
        place_of(url)


def test_file_urls_and_paths_are_folders_of_this_machine(tmp_path: Path) -> None:
    assert place_of(tmp_path.as_uri()) == tmp_path
    assert place_of(str(tmp_path)) == tmp_path
    assert place_of(tmp_path) is not None and isinstance(place_of(tmp_path), Path)


def test_maps_are_read_where_they_lie(folder, noisy, classifier) -> None:
    run = explained(noisy, classifier, f"{folder}/case.zarr")
    again = open_run(f"{folder}/case.zarr")
    assert again.status == "complete" and list(again.maps) == list(run.maps)
    key = next(iter(again.maps))
    assert np.isfinite(again.maps[key].levels[0][:]).any()
    assert arrays(again).keys() == arrays(run).keys()
    with pytest.raises(StoreError, match="no saliency store"):
        open_run(f"{folder}/another.zarr")
