"""Real slides through the whole run: formats, privacy, batches."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_runs import SPECS

from napari_smoothsal import (
    SaliencySpec,
    explain_slide,
    explain_slides,
    open_slide,
)
from napari_smoothsal.core.errors import StoreError


def test_a_batch_goes_on_after_a_slide_that_fails(
    real_slides: Path, classifier, tmp_path: Path
) -> None:
    text = tmp_path / "notes.svs"
    text.write_text("not a slide")
    results = explain_slides(
        [text, real_slides / "CMU-1-Small-Region.svs"],
        classifier,
        SPECS[:1],
        tmp_path / "out",
        region=(600, 900, 200, 200),
        progress=False,
    )
    assert results[0].run is None and "notes" in str(results[0].error)
    assert results[1].run.status == "complete"
    assert results[1].run.path.name == "CMU-1-Small-Region.smoothsal.zarr"


def test_any_error_of_one_slide_leaves_the_others(
    real_slides: Path, classifier, tmp_path: Path, monkeypatch
) -> None:
    calls = []
    explain = explain_slide

    def full_once(*args, **settings):
        calls.append(args)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        return explain(*args, **settings)

    monkeypatch.setattr("napari_smoothsal.runs.slide_work.explain_slide", full_once)
    slide = real_slides / "CMU-1-Small-Region.svs"
    results = explain_slides(
        [slide, slide], classifier, [], tmp_path, region=(600, 900, 150, 150), progress=False
    )
    assert isinstance(results[0].error, OSError) and results[1].run.status == "complete"
    assert results[1].run.path.name == "CMU-1-Small-Region~2.smoothsal.zarr"


FORBIDDEN = (
    "svs", "dcm", "CMU", "aperio", "ScanScope", "b414003d", "Date", "User", "Filename",
    "Patient", "barcode", "label.", "macro",
)  # fmt: skip


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "CMU-1-Small-Region-dicom"])
def test_nothing_private_is_in_a_store(
    real_slides: Path, classifier, tmp_path: Path, name: str
) -> None:
    with open_slide(real_slides / name) as slide:
        run = explain_slide(
            slide,
            classifier,
            SPECS[:1],
            tmp_path / "case.zarr",
            region=(600, 900, 150, 150),
            progress=False,
        )
    assert run.status == "complete" and len(run.tiles)
    for file in run.path.rglob("*"):
        if file.is_file() and file.name == "zarr.json":
            text = file.read_text()
            for word in FORBIDDEN:
                assert word.lower() not in text.lower(), (word, file)
            assert str(real_slides) not in text and str(tmp_path) not in text
    json.dumps(run.provenance)


def test_svs_and_dicom_of_one_slide_give_nearly_the_same_map(
    real_slides: Path, classifier, tmp_path: Path
) -> None:
    spec = SaliencySpec(layer="layer2", samples=0, method="activation_x_gradient")
    maps = []
    for name in ("CMU-1-Small-Region.svs", "CMU-1-Small-Region-dicom"):
        run = explain_slide(
            real_slides / name,
            classifier,
            [spec],
            tmp_path / name,
            region=(600, 900, 300, 300),
            progress=False,
        )
        (run_map,) = run.maps.values()
        maps.append(np.nan_to_num(run_map.levels[0][:]).ravel())
    # Both are JPEG, one of them compressed twice: 3 grey values apart on average.
    assert np.corrcoef(*maps)[0, 1] > 0.8


def test_a_checksum_tells_a_changed_slide_from_the_same_one(
    real_slides: Path, classifier, tmp_path: Path
) -> None:
    copy, out = tmp_path / "case.svs", tmp_path / "s.zarr"
    copy.write_bytes((real_slides / "CMU-1-Small-Region.svs").read_bytes())
    how = {"region": (600, 900, 200, 200), "progress": False}
    explain_slide(copy, classifier, SPECS[:1], out, checksum=True, stop=lambda: True, **how)
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1  # in a tile that nobody reads here
    copy.write_bytes(content)
    with pytest.raises(StoreError, match=r"slide\.sha256"):
        explain_slide(copy, classifier, SPECS[:1], out, **how)
    content[len(content) // 2] ^= 1
    copy.rename(tmp_path / "renamed.svs").write_bytes(content)
    run = explain_slide(tmp_path / "renamed.svs", classifier, SPECS[:1], out, **how)
    assert run.status == "complete" and len(run.provenance["slide"]["sha256"]) == 64
