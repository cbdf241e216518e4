"""``--scheduler``: workers of a Dask cluster do the work of the command."""

import shutil
from pathlib import Path

import pytest
from command_line import smoothsal


def maps_of(store: Path) -> dict[str, bytes]:
    """Every chunk of a store's maps, as it lies on the disk."""
    maps = store / "maps"
    return {
        str(file.relative_to(maps)): file.read_bytes()
        for file in maps.rglob("*")
        if file.is_file() and file.name != "zarr.json"
    }


@pytest.mark.parametrize("several", [False, True])
def test_workers_make_what_one_process_makes(
    slide: Path, model: Path, tmp_path: Path, several: bool
) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    slides = [folder / "a.tif", folder / "b.tif"]
    for one in slides:
        shutil.copy(slide, one)
    what = folder if several else slides[0]
    asked = ("--model", model, "--layer", "layer2", "--samples", "2", "--tissue", "all")
    command = ("run", what, *asked, "--precision", "fp32", "--batch-size", "2")
    for place, flags in (("one", ()), ("two", ("--scheduler", "local:2"))):
        result = smoothsal(*command, "--out", tmp_path / place, *flags)
        assert result.exit_code == 0, result.output
    stores = [f"{one.stem}.smoothsal.zarr" for one in slides] if several else ["."]
    for store in stores:
        one, two = (maps_of(tmp_path / place / store) for place in ("one", "two"))
        assert one and one == two


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--scheduler", "local:0"), "give 1 worker or more"),
        (("--scheduler", "cluster"), "give its address, e.g. tcp://"),
        (("--scheduler", "tcp://127.0.0.1:9"), "nothing answers there"),
        (("--scheduler", "local:2", "--device", "cpu,cpu"), "leave --device cpu,cpu away"),
    ],
)
def test_what_cannot_be_reached_is_told_before_anything_is_written(
    slide: Path, model: Path, tmp_path: Path, monkeypatch, flags: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr("napari_smoothsal.runs.local_cluster._CONNECT_S", 1)
    out = tmp_path / "o.zarr"
    result = smoothsal("run", slide, "--model", model, "--predict-only", "--out", out, *flags)
    assert result.exit_code == 2 and said in result.output, result.output
    assert not out.exists()
