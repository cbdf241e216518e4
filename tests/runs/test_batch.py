"""Batches: each slide on its own, what is recorded of it, and what the same call does again."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from batch_slides import tissue_tiff, tissue_tiffs
from small_runs import ALL

from napari_smoothsal import SaliencySpec, SmoothsalError, explain_slide, explain_slides
from napari_smoothsal.models import load_model
from napari_smoothsal.runs.batch import _ordered
from napari_smoothsal.runs.slide_list import SlideJob
from napari_smoothsal.runs.slide_states import (
    SlideState,
    read_state,
    state_file,
    without_folders,
    write_state,
)

QUICK = {"tiling": ALL, "progress": False}
SPEC = SaliencySpec(layer="layer2", samples=0)


def table(out: Path) -> dict[str, dict[str, str]]:
    with (out / "summary.csv").open(newline="") as file:
        rows = {row["store"]: row for row in csv.DictReader(file)}
    told = json.loads((out / "summary.json").read_text())["slides"]
    assert [row["store"] for row in told] == list(rows)
    assert [row["state"] for row in told] == [row["state"] for row in rows.values()]
    return rows


@pytest.fixture
def counted(monkeypatch) -> list[str]:
    """Names of the stores that `explain_slide` was called for."""
    calls: list[str] = []

    def explain(slide, model, specs, out, **settings):
        calls.append(out.name)
        return explain_slide(slide, model, specs, out, **settings)

    monkeypatch.setattr("napari_smoothsal.runs.slide_work.explain_slide", explain)
    return calls


def test_a_failed_slide_is_tried_again_only_if_told_to_or_changed(
    classifier, tmp_path: Path, counted
) -> None:
    good, bad = tissue_tiff(tmp_path / "good.tif"), tmp_path / "bad.svs"
    bad.write_text("not a slide")
    out = tmp_path / "out"

    def again(**settings):
        return explain_slides([bad, good], classifier, [], out, **QUICK, **settings)

    first, second = again(), again()
    assert [r.state for r in first] == [r.state for r in second] == ["failed", "complete"]
    assert first[0].computed and not second[0].computed and not second[1].computed
    assert "--retry-failed" in str(second[0].error) and "bad.svs" in str(second[0].error)
    assert second[1].run.status == "complete" and second[1].error is None
    assert again(retry_failed=False)[0].computed is False
    assert again(mpp=0.5)[0].computed, "another command"
    bad.write_text("not a slide either")
    assert again()[0].computed, "another file"
    bad.write_bytes(tissue_tiff(tmp_path / "other.tif", 1).read_bytes())
    assert again()[0].state == "complete"
    rows = table(out)
    assert [row["state"] for row in rows.values()] == ["complete", "complete"]
    assert float(rows["good.smoothsal.zarr"]["seconds"]) > 0


def test_retry_failed_tries_a_failed_slide(classifier, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(
        "napari_smoothsal.runs.slide_work.explain_slide", lambda *_a, **_k: pytest.fail("called")
    )
    bad = tmp_path / "bad.svs"
    bad.write_text("not a slide")
    for retry, computed in ((False, True), (False, False), (True, True)):
        (result,) = explain_slides(
            [bad], classifier, [], tmp_path / "out", retry_failed=retry, **QUICK
        )
        assert (result.state, result.computed) == ("failed", computed)


def test_a_full_disk_is_no_failure_that_lasts(classifier, tmp_path: Path, monkeypatch) -> None:
    def full(*_args, **_settings):
        raise OSError(28, "No space left on device", str(tmp_path / "out" / "secret" / "c"))

    slides, out = tissue_tiffs(tmp_path / "s", 2), tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr("napari_smoothsal.runs.slide_work.explain_slide", full)
        results = explain_slides(slides, classifier, [], out, **QUICK)
    assert [r.state for r in results] == ["failed", "failed"]
    assert table(out)["slide0.smoothsal.zarr"]["error"] == "No space left on device: c"
    results = explain_slides(slides, classifier, [], out, **QUICK)
    assert [r.state for r in results] == ["complete", "complete"]


def test_what_cannot_work_for_any_slide_is_raised_before_anything_is_written(
    classifier, tmp_path: Path
) -> None:
    slides, out = tissue_tiffs(tmp_path / "s", 1), tmp_path / "out"
    for changes, said in (
        ({"specs": [SaliencySpec(layer="layer9")]}, "layer"),
        ({"model": "demo-clasifier"}, "demo-classifier"),
        ({"model": None}, "no model is named"),
        ({"shard": "3/2"}, "give i/n"),
        ({"devices": ["cuda:99"]}, "no such device"),
        ({"predict_only": True, "where": "p(tumour) > 0.5"}, "where and top"),
        ({"where": "p(tumor) > 0.5"}, "tumour"),
        ({"top": 0}, "top = 0"),
        ({"slides": [tmp_path / "no.csv"]}, "no such file"),
    ):
        asked = {"slides": slides, "model": classifier, "specs": [SPEC], "out": out} | changes
        with pytest.raises(SmoothsalError, match=said):
            explain_slides(**asked, **QUICK)
    assert not out.exists()


@pytest.mark.filterwarnings("ignore::UserWarning")  # mpp contradicts the file
def test_a_manifest_gives_each_slide_its_own(
    model_folder_of_classifier: Path, segmenter_folder: Path, tmp_path: Path, monkeypatch
) -> None:
    tissue_tiffs(tmp_path, 2)
    mask = np.zeros((64, 64), np.uint8)
    mask[:32, :32] = 255
    from PIL import Image

    Image.fromarray(mask).save(tmp_path / "mask.png")
    loaded: list[str] = []

    def loading(source, *args, **settings):
        loaded.append(Path(source).name)
        return load_model(source, *args, **settings)

    monkeypatch.setattr("napari_smoothsal.runs.slide_work.load_model", loading)
    one, two = model_folder_of_classifier.name, segmenter_folder
    (tmp_path / "slides.csv").write_text(
        "slide,mpp,region,mask,model\n"
        f'slide0.tif,,"0,0,128,192",,{one}\n'
        f"slide1.tif,,,,{two}\n"
        f"slide1.tif,0.25,,mask.png,{one}\n"
        f"slide0.tif,,,,{one}\n"
    )
    out = tmp_path / "out"
    results = explain_slides(tmp_path / "slides.csv", None, lambda m: [], out, progress=False)
    assert [r.state for r in results] == ["complete"] * 4, results
    assert loaded == [one, two.name]
    region, whole, masked, plain = (r.run for r in results)
    assert region.region == (0, 0, 128, 192) and whole.provenance["model"]["name"] == "tiny-unet"
    assert whole.class_map is not None
    assert masked.mpp == (0.25, 0.25)
    assert (masked.tiles[["x_px", "y_px"]].max() < 128).all() and len(masked.tiles)
    assert plain.path.name == "slide0~2.smoothsal.zarr" and len(plain.tiles) > len(region.tiles)
    rows = table(out)
    assert rows["slide0.smoothsal.zarr"]["region"] == "0,0,128,192"
    assert rows["slide1.smoothsal.zarr"]["model"] == "tiny-unet"


def test_a_model_that_cannot_be_loaded_fails_its_slides_alone(classifier, tmp_path: Path) -> None:
    tissue_tiffs(tmp_path, 2)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "slides.csv").write_text("slide,model\nslide0.tif,nothing\nslide1.tif,\n")
    results = explain_slides(tmp_path / "slides.csv", classifier, [], tmp_path / "out", **QUICK)
    assert [r.state for r in results] == ["failed", "complete"]
    assert "nothing" in str(results[0].error)
    rows = table(tmp_path / "out")
    assert rows["slide0.smoothsal.zarr"]["model"] == "nothing"


def test_a_region_of_all_slides_is_told_with_each(classifier, tmp_path: Path) -> None:
    slides = tissue_tiffs(tmp_path / "s", 1)
    explain_slides(slides, classifier, [], tmp_path / "out", region=(0, 0, 128, 192), **QUICK)
    assert table(tmp_path / "out")["slide0.smoothsal.zarr"]["region"] == "0,0,128,192"


def test_an_argument_that_there_is_not_is_no_failure_of_slides(classifier, tmp_path: Path) -> None:
    slides = tissue_tiffs(tmp_path / "s", 1)
    with pytest.raises(TypeError, match=r"explain_slides\(\).*'bogus'"):
        explain_slides(slides, classifier, [], tmp_path / "out", bogus=1, **QUICK)
    assert not (tmp_path / "out").exists()


def test_a_shard_takes_its_share_and_tells_of_all(classifier, tmp_path: Path) -> None:
    slides, out = tissue_tiffs(tmp_path / "s", 3, 128), tmp_path / "out"
    (first, third) = explain_slides(slides, classifier, [], out, shard="1/2", **QUICK)
    assert (first.name, third.name) == ("slide0", "slide2")
    assert [row["state"] for row in table(out).values()] == ["complete", "waiting", "complete"]
    explain_slides(slides, classifier, [], out, shard=(2, 2), **QUICK)
    assert {row["state"] for row in table(out).values()} == {"complete"}
    assert explain_slides(slides, classifier, [], tmp_path / "no", shard=(5, 5), **QUICK) == []
    assert not (tmp_path / "no").exists()


def test_a_stop_leaves_the_rest_waiting(classifier, tmp_path: Path) -> None:
    slides, out = tissue_tiffs(tmp_path / "s", 3, 128), tmp_path / "out"
    told: list[tuple[str, int, int]] = []
    results = explain_slides(
        slides, classifier, [], out, **QUICK, stop=lambda: bool(told),
        on_slide=lambda result, ended, total: told.append((result.name, ended, total)),
    )  # fmt: skip
    assert told == [("slide0", 1, 3)]
    assert [r.state for r in results] == ["complete", "waiting", "waiting"]
    assert [row["state"] for row in table(out).values()] == ["complete", "waiting", "waiting"]


def test_where_top_and_others_reach_every_slide(classifier, tmp_path: Path, monkeypatch) -> None:
    given: list[dict] = []

    def explain(slide, model, specs, out, **settings):
        given.append(settings)
        return explain_slide(slide, model, [], out, **QUICK)

    monkeypatch.setattr("napari_smoothsal.runs.slide_work.explain_slide", explain)
    slides = tissue_tiffs(tmp_path / "s", 2, 128)
    explain_slides(
        slides, classifier, [SPEC], tmp_path / "out", where="p(tumour) > 0.5", top=3,
        retry_failed=True, checksum=True,
    )  # fmt: skip
    wanted = {"where": "p(tumour) > 0.5", "top": 3, "retry_failed": True, "checksum": True}
    assert given == [wanted, wanted]
    explain_slides(slides, classifier, [SPEC], tmp_path / "out", predict_only=True)
    assert given[2] == {}


def test_tiles_that_are_not_explained_are_counted(classifier, tmp_path: Path) -> None:
    slides, out = tissue_tiffs(tmp_path / "s", 2, 128), tmp_path / "out"
    results = explain_slides(slides, classifier, [SPEC], out, top=2, **QUICK)
    for result, row in zip(results, table(out).values(), strict=True):
        tiles = result.run.tiles
        assert (tiles.status == "done").sum() == 2
        left = (int(row["tiles"]), int(row["failed_tiles"]), int(row["not_explained"]))
        assert left == (len(tiles), 0, len(tiles) - 2)


def test_nothing_in_states_and_summary_names_a_folder(classifier, tmp_path: Path) -> None:
    place = tmp_path / "with blanks in it"
    place.mkdir()
    bad = place / "bad.svs"
    bad.write_text("not a slide")

    def tell(*_args, **_settings):
        raise RuntimeError(f"cannot read '{bad}' nor /elsewhere/secret/x.bin, 1/4 of it")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("napari_smoothsal.runs.slide_work.open_slide", tell)
        explain_slides([bad], classifier, [], place / "out", **QUICK)
    state = read_state(state_file(place / "out", "bad.smoothsal.zarr"))
    assert state.error == "cannot read 'bad.svs' nor x.bin, 1/4 of it"
    for file in (place / "out").rglob("*"):
        if file.is_file():
            text = file.read_text()
            assert str(tmp_path) not in text and "secret" not in text, file


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("no /a/b/c.svs here", "no c.svs here"),
        (r"C:\data\my\c.svs: no", "c.svs: no"),
        ("p(tumour)/p(normal) and 1/2 of https://example.org/a/b", None),
        ("timm:resnet50:/home/me/w.pt is not there", None),
    ],
)
def test_folders_go_and_other_slashes_stay(said: str, left: str | None) -> None:
    kept = without_folders(said)
    assert kept == (left or said) or (left is None and "/home" not in kept and "1/2" in kept)


def test_states_of_other_versions_or_half_written_ones_do_not_stop_a_batch(
    classifier, tmp_path: Path
) -> None:
    (slide,), out = tissue_tiffs(tmp_path / "s", 1, 128), tmp_path / "out"
    file = state_file(out, "slide0.smoothsal.zarr")
    file.parent.mkdir(parents=True)
    for text in ("", "{", '{"schema_version": 9}', "\0\0\0"):
        file.write_text(text)
        (result,) = explain_slides([slide], classifier, [], out, **QUICK)
        assert result.state == "complete"
        assert read_state(file).state == "complete"
    assert list(file.parent.iterdir()) == [file]


def test_several_workers_take_the_largest_slides_of_each_model_first(tmp_path: Path) -> None:
    sizes = {"a": 3, "b": 9, "c": 5, "d": 7}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    models = {"a": None, "b": "other", "c": None, "d": None}
    listed = [SlideJob(str(tmp_path / n), n, n, model=m) for n, m in models.items()]
    listed.append(SlideJob("s3://nowhere/e", "e", "e"))
    write_state(tmp_path, SlideState(slide="d", store="d", state="failed"))
    for largest_first, wanted in ((True, "caebd"), (False, "acebd")):
        ordered = _ordered(listed, tmp_path, largest_first=largest_first)
        assert "".join(job.name for job in ordered) == wanted
