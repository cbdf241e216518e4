"""``smoothsal run --out`` and other commands with URLs."""

import numpy as np
import pytest
from command_line import smoothsal
from s3_servers import BUCKET, keys, s3_server
from tiff_slides import written

from napari_smoothsal import open_run


@pytest.fixture(scope="module")
def server():
    with s3_server() as address:
        yield address


@pytest.fixture
def slide(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    return written(tmp_path / "case.tif", pixels)


QUICK = ("--tissue", "all", "--layer", "layer2", "--samples", 0, "--mpp", 0.5)


def test_one_slide_and_several_go_to_a_url(server, slide, tmp_path) -> None:
    store = f"s3://{BUCKET}/one/case.zarr"
    result = smoothsal("run", slide, *QUICK, "--out", store)
    assert result.exit_code == 0, result.output
    assert f"store: {store}" in result.output
    again = smoothsal("run", slide, *QUICK, "--out", store)
    assert again.exit_code == 0 and "already finished" in again.output
    folder = f"s3://{BUCKET}/several"
    result = smoothsal("run", tmp_path, *QUICK, "--out", folder)
    assert result.exit_code == 0, result.output
    assert open_run(f"{folder}/case.smoothsal.zarr").status == "complete"
    assert {"several/summary.csv", "several/summary.json"} <= set(keys("several"))


@pytest.mark.parametrize(
    ("out", "more", "said"),
    [
        ("s3://nowhere/case.zarr", (), "s3://nowhere is not there"),
        (f"s3://{BUCKET}/packed.zarr", ("--pack",), "pack needs a folder of this machine"),
        ("gopher://there/case.zarr", (), "nothing that is installed knows gopher://"),
    ],
)
def test_a_url_that_cannot_be_written_is_told_and_nothing_starts(
    out, more, said, server, slide, tmp_path
) -> None:
    for slides in (slide, tmp_path):
        before = keys()
        result = smoothsal("run", slides, *QUICK, "--out", out, *more)
        assert result.exit_code == 2 and said in result.output, result.output
        assert "Traceback" not in result.output and keys() == before


def test_a_plan_writes_nothing_there(server, slide) -> None:
    before = keys()
    result = smoothsal("run", slide, *QUICK, "--out", f"s3://{BUCKET}/planned.zarr", "--plan")
    assert result.exit_code == 0 and "nothing was written" in result.output
    assert keys() == before


def test_the_doctor_looks_at_this_machine_only() -> None:
    result = smoothsal("doctor", "--repair", f"s3://{BUCKET}/one/case.zarr")
    assert result.exit_code == 2
    assert "'case.zarr' is behind a URL" in result.output and BUCKET not in result.output
