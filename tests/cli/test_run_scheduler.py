"""``--scheduler``: workers of a Dask cluster do the work of the command."""

from pathlib import Path

import pytest
from batch_slides import tissue_tiffs
from command_line import smoothsal
from small_runs import arrays

from napari_smoothsal import open_run


@pytest.mark.parametrize("several", [False, True])
def test_workers_make_what_one_process_makes(model: Path, tmp_path: Path, several: bool) -> None:
    slides = tissue_tiffs(tmp_path / "s", 2, 192)
    what = tmp_path / "s" if several else slides[0]
    asked = ("--model", model, "--layer", "layer2", "--samples", "2", "--tissue", "all")
    command = ("run", what, *asked, "--precision", "fp32", "--batch-size", "2")
    for place, flags in (("one", ()), ("two", ("--scheduler", "local:2"))):
        result = smoothsal(*command, "--out", tmp_path / place, *flags)
        assert result.exit_code == 0, result.output
    stores = [f"{one.stem}.smoothsal.zarr" for one in slides] if several else ["."]
    for store in stores:
        a, b = (arrays(open_run(tmp_path / place / store)) for place in ("one", "two"))
        assert a.keys() == b.keys()
        for path, values in a.items():
            assert values.tobytes() == b[path].tobytes(), path


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
    model: Path, tmp_path: Path, monkeypatch, flags: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr("napari_smoothsal.runs.local_cluster._CONNECT_S", 1)
    (slide,) = tissue_tiffs(tmp_path / "s", 1, 128)
    out = tmp_path / "o.zarr"
    result = smoothsal("run", slide, "--model", model, "--predict-only", "--out", out, *flags)
    assert result.exit_code == 2 and said in result.output, result.output
    assert not out.exists()
