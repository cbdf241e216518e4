"""``smoothsal doctor``: what it is told apart by, what it prints, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from command_line import smoothsal
from safetensors.torch import load_file, save_file

from napari_smoothsal.core.findings import anything_wrong
from napari_smoothsal.runs import machine_check
from napari_smoothsal.runs.machine_check import (
    examine_machine,
    folder_finding,
    memory_finding,
    openslide_finding,
)


def listed(*arguments: object, code: int = 0) -> dict[str, dict]:
    """Findings by name of each thing."""
    result = smoothsal("doctor", *arguments, "--json")
    assert result.exit_code == code, result.output
    return {
        one["name"]: {finding["name"]: finding for finding in one["findings"]}
        for one in json.loads(result.stdout)
    }


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """Stained noise on glass, in tiles of JPEG."""
    pixels = np.full((1400, 1600, 3), 245, np.uint8)
    rng = np.random.default_rng(0)
    pixels[200:1200, 300:1400] = rng.integers((90, 20, 110), (220, 120, 220), (1000, 1100, 3))
    path = tmp_path / "slides" / "case.tif"
    path.parent.mkdir()
    with tifffile.TiffWriter(path) as tiff:
        for k in range(2):
            tiff.write(
                pixels[:: 2**k, :: 2**k],
                tile=(256, 256),
                photometric="rgb",
                compression="jpeg",
                subfiletype=k,
                resolution=(20000, 20000),
                resolutionunit="CENTIMETER",
            )
    return path


def test_the_machine() -> None:
    findings = listed()["this machine"]
    assert {"versions", "OpenSlide", "devices", "bf16", "threads", "memory", "disk"} <= set(
        findings
    )
    assert findings["versions"]["what"].startswith("python ")
    assert "cpu" in findings["devices"]["what"]


def test_looking_at_the_machine_leaves_nothing_behind(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert not anything_wrong(examine_machine())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("packed", "library", "state"),
    [
        ("4.0.1.2", "4.0.1", "ok"),
        ("4.0.1.1", "4.0.1", "ok"),
        ("10.0.0.0", "10.0.0", "ok"),
        ("4.0.1.0", "4.0.1", "wrong"),
        ("4.0.0.11", "4.0.0", "wrong"),
        (None, "4.0.1", "note"),
        (None, "3.4.1", "wrong"),
    ],
)
def test_an_openslide_with_known_holes_is_told(packed, library: str, state: str) -> None:
    found = openslide_finding(packed, library)
    assert found.state == state and ("CVE-2026-48977" in found.what) == (state == "wrong")
    assert (found.remedy == "") == (state == "ok")


def test_little_memory_and_a_folder_that_takes_nothing(tmp_path: Path, monkeypatch) -> None:
    assert memory_finding(8 << 30).state == "ok" and memory_finding(1 << 30).state == "note"
    gone = folder_finding(tmp_path / "gone")
    assert gone.state == "wrong" and "--out" in gone.remedy
    monkeypatch.setattr(machine_check, "SLOW_WRITE_S", 0.0)
    assert "slow" in folder_finding(tmp_path).what


def test_memory_is_what_a_cgroup_leaves(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(machine_check, "_CGROUP", tmp_path)
    assert machine_check._free_memory() == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_check._free_memory() > 2_000_000


def test_a_demonstration_model_says_that_it_is_one() -> None:
    findings = listed("demo-classifier")["demo-classifier"]
    assert findings["purpose"]["state"] == "note" and "demonstration" in findings["purpose"]["what"]
    for name in ("loading", "decisions", "layers", "card", "surrogate", "calibration"):
        assert findings[name]["state"] == "ok", findings[name]


def test_a_model_folder_and_what_it_lacks(model_folder_of_classifier: Path) -> None:
    findings = listed(model_folder_of_classifier)["model"]
    assert "licence" in findings["card"]["what"]
    assert findings["surrogate"]["state"] == findings["calibration"]["state"] == "note"


def without_hash(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "weights_sha256": None}))


def test_a_model_whose_logits_are_not_finite(model_folder_of_classifier: Path) -> None:
    folder = model_folder_of_classifier
    weights = load_file(folder / "model.safetensors")
    weights["fc.bias"] = torch.full_like(weights["fc.bias"], torch.nan)
    save_file(weights, folder / "model.safetensors")
    assert (
        "is not the file the card describes" in listed(folder, code=1)["model"]["loading"]["what"]
    )
    without_hash(folder)
    assert "not finite" in listed(folder, code=1)["model"]["decisions"]["what"]


def test_limits_of_other_weights_are_told(model_folder_of_classifier: Path) -> None:
    said = {"model": "x", "parameters_sha256": "0" * 64, "calibrations": []}
    (model_folder_of_classifier / "calibration.json").write_text(json.dumps(said))
    findings = listed(model_folder_of_classifier, code=1)["model"]
    assert "other weights" in findings["files beside it"]["what"]


def test_a_slide(slide: Path) -> None:
    findings = listed(slide, "--sha256", "--thorough")["case.tif"]
    assert {f["state"] for f in findings.values()} == {"ok"}
    assert "all tissue" in findings["reading"]["what"]
    assert "cannot be seen" in findings["reading"]["what"]
    assert len(findings["SHA-256"]["what"]) == 64
    # A hash can be copied from the table, in two lines.
    printed = smoothsal("doctor", slide, "--sha256").stdout
    assert findings["SHA-256"]["what"] in "".join(printed.split())


def test_a_slide_of_which_places_cannot_be_read(slide: Path) -> None:
    with tifffile.TiffFile(slide) as tiff:
        page = tiff.pages[0]
        offset, size = page.dataoffsets[15], page.databytecounts[15]
    content = bytearray(slide.read_bytes())
    content[offset : offset + size] = bytes(size)
    slide.write_bytes(content)
    findings = listed(slide, "--thorough", code=1)["case.tif"]
    assert "on level 0" in findings["reading"]["what"] and "anew" in findings["reading"]["remedy"]
    assert findings["opening"]["state"] == "ok"


def test_a_slide_without_resolution(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.full((600, 600, 3), 200, np.uint8), tile=(64, 64), photometric="rgb")
    assert listed(path, code=1)["plain.tif"]["resolution"]["state"] == "wrong"
    assert listed(path, "--mpp", "0.5")["plain.tif"]["resolution"]["state"] == "ok"
    assert listed(path, "--mpp", "9")["plain.tif"]["resolution"]["state"] == "note"


def test_a_file_that_is_no_slide(tmp_path: Path) -> None:
    (tmp_path / "cut.svs").write_bytes(b"II*\0")
    assert listed(tmp_path / "cut.svs", code=1)["cut.svs"]["opening"]["state"] == "wrong"


@pytest.mark.filterwarnings("ignore:slide 'case'")  # noise has no nuclei
def test_a_folder_of_several_things_and_repair(
    slide: Path, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    store = tmp_path / "case.smoothsal.zarr"
    run = ("run", slide, "--model", model_folder_of_classifier, "--layer", "layer2")
    options = ("--samples", 0, "--device", "cpu", "--out", store)
    assert smoothsal(*run, *options).exit_code == 0
    (tmp_path / ".gone.smoothsal.zarr.draft-1" / "store").mkdir(parents=True)
    found = listed(tmp_path, slide.parent)
    assert set(found) == {"case.smoothsal.zarr", "model", "case.tif", "gone.smoothsal.zarr"}
    chunk = next(
        p for p in (store / "maps").rglob("*") if p.is_file() and p.parent.parent.name == "c"
    )
    before = chunk.read_bytes()
    chunk.write_bytes(before[:100])
    result = smoothsal("doctor", store)
    assert result.exit_code == 1 and "--repair" in result.stdout and "wrong" in result.stdout
    assert chunk.read_bytes() == before[:100]
    result = smoothsal("doctor", tmp_path, "--repair")
    assert result.exit_code == 0 and "repaired" in result.stdout
    assert not list(tmp_path.glob(".gone*"))
    assert smoothsal(*run, *options).exit_code == 0
    assert chunk.read_bytes() == before


@pytest.mark.parametrize("what", ["nothing-there", "."])
def test_what_cannot_be_looked_at(what: str, tmp_path: Path) -> None:
    result = smoothsal("doctor", tmp_path / what, "demo-classifier")
    assert result.exit_code == 2 and "not looked at" in result.stderr
    assert "model demo-classifier" in result.stdout  # the rest is
    assert smoothsal("doctor", "--repair").exit_code == 2


def test_no_path_is_printed(slide: Path) -> None:
    result = smoothsal("doctor", slide)
    assert str(slide.parent) not in result.output and "case.tif" in result.output
