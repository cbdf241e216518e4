"""``smoothsal run`` on several slides: exit codes, what is told, and a plan beforehand."""

import csv
import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command_line import smoothsal

from napari_smoothsal import explain_slide, open_run
from napari_smoothsal.cli.run_plan import PlannedSlide, amount, duration, plan_table
from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.runs.writer_lock import only_writer


@pytest.fixture
def model(model_folder_of_classifier: Path) -> Path:
    return model_folder_of_classifier


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """A folder of two slides of tissue."""
    folder = tmp_path / "slides"
    folder.mkdir()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 2, (32, 32, 1)) * [60, 110, 30] + [140, 60, 160]
    pixels = np.kron(pixels, np.ones((8, 8, 1))).astype(np.uint8)
    with tifffile.TiffWriter(folder / "a.tif") as writer:
        writer.write(
            pixels, tile=(64, 64), photometric="rgb", resolution=(2e4, 2e4),
            resolutionunit="CENTIMETER",
        )  # fmt: skip
    shutil.copy(folder / "a.tif", folder / "b.tif")
    return folder


def states(out: Path) -> dict[str, str]:
    with (out / "summary.csv").open(newline="") as file:
        return {row["slide"]: row["state"] for row in csv.DictReader(file)}


def test_exit_codes_of_a_batch_and_of_the_same_command_again(
    slides: Path, model: Path, tmp_path: Path
) -> None:
    (slides / "c.svs").write_text("not a slide")
    out = tmp_path / "o"
    command = ("run", slides, "--model", model, "--predict-only", "--out", out)
    first = smoothsal(*command)
    assert first.exit_code == 1, first.output
    assert "failed: c: c.svs: not a slide" in first.output
    assert "3 slides: 2 complete, 1 failed" in first.output and "3 of 3: " in first.output
    again = smoothsal(*command)
    assert again.exit_code == 1 and again.output.count("finished before") == 2
    assert "tried before; --retry-failed tries again" in again.output
    shutil.copy(slides / "a.tif", slides / "c.svs")
    mended = smoothsal(*command, "--retry-failed")
    assert mended.exit_code == 0, mended.output
    assert states(out) == {"a": "complete", "b": "complete", "c": "complete"}


def test_a_manifest_on_the_command_line(slides: Path, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text('slide,region,model\nslides/a.tif,"0,0,128,128",\nslides/b.tif,,model\n')
    out = tmp_path / "o"
    command = ("run", file, "--model", model, "--samples", 0, "--out", out)
    result = smoothsal(*command)
    assert result.exit_code == 0, result.output
    # Each model has its own layer where none is named.
    assert result.output.count("layer: layer2, as no --layer was given") == 2
    assert open_run(out / "a.smoothsal.zarr").region == (0, 0, 128, 128)
    assert len(open_run(out / "b.smoothsal.zarr").maps) == 1
    file.write_text("slide,mpp\nslides/a.tif,fine\n")
    result = smoothsal(*command)
    assert result.exit_code == 2 and "list.csv: line 2: mpp = 'fine'" in result.output


def test_shards_and_devices_from_the_command_line(
    slides: Path, model: Path, tmp_path: Path
) -> None:
    command = ("run", slides, "--model", model, "--predict-only", "--out", tmp_path / "o")
    result = smoothsal(*command, "--shard", "2/2")
    assert result.exit_code == 0 and states(tmp_path / "o") == {"a": "waiting", "b": "complete"}
    result = smoothsal(*command, "--shard", "3/3")
    assert result.exit_code == 0 and "no slide of the list is in this shard" in result.output
    for flags, said in (
        (("--shard", "3/2"), "give i/n"),
        (("--device", "cpu,"), "--device cpu,: give a device, or several"),
        (("--device", "cpu,cuda:99"), "this machine has no such device"),
    ):
        result = smoothsal(*command, *flags)
        assert result.exit_code == 2 and said in result.output, result.output
    one = smoothsal(
        "run", slides / "a.tif", *command[2:-1], tmp_path / "a.zarr", "--device", "cpu,cpu"
    )
    assert one.exit_code == 0 and "device: cpu, as there is one slide" in one.output


@pytest.mark.parametrize("several", [False, True])
def test_a_plan_tells_all_and_writes_nothing(
    slides: Path, model: Path, tmp_path: Path, several: bool, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    what = slides if several else slides / "a.tif"
    command = ("run", what, "--model", model, "--samples", 2, "--plan")
    result = smoothsal(*command)
    assert result.exit_code == 0, result.output
    for word in ("tiles", "time", "memory", "disk", "nothing was written"):
        assert word in result.output
    assert ("all" in result.output) == several
    if several:
        (slides / "c.svs").write_text("not a slide")
        before = sorted(tmp_path.rglob("*"))
        result = smoothsal(*command, "--device", "cpu,cpu")
        assert result.exit_code == 1 and "failed: c: c.svs" in result.output
        assert "on 2 devices at once" in result.output
    assert sorted(tmp_path.rglob("*")) == before


def test_the_plan_s_table_sums_and_keeps_prediction_apart() -> None:
    from rich.console import Console

    rows = [PlannedSlide("a", 100, 20, 30.0, 200.0, 10**9, 3 * 10**6)] * 2
    for width in (38, 80):
        console = Console(width=width)
        with console.capture() as shown:
            console.print(plan_table(rows, True, width))
        text = shown.get()
        assert max(map(len, text.splitlines())) <= width and "\u2026" not in text
        words = text.split()
        for word in ("200", "40", "prediction", "6.0", "1.0", "GB", "7"):
            assert word in words, (word, text)
    assert (duration(4.04), duration(89), duration(600), duration(9000)) == (
        "4 s", "89 s", "10 min", "2.5 h",
    )  # fmt: skip
    assert (amount(999), amount(1500), amount(25 * 10**6)) == ("999 B", "1.5 kB", "25 MB")


def test_what_chooses_tiles_reaches_the_run(
    slides: Path, model: Path, tmp_path: Path, monkeypatch
) -> None:
    given: list[dict] = []

    def explain(slide, model, specs, out, **settings):
        given.append(settings)
        names = ("where", "top", "retry_failed", "checksum")
        kept = {name: value for name, value in settings.items() if name not in names}
        return explain_slide(slide, model, [], out, **kept)

    monkeypatch.setattr("napari_smoothsal.runs.explain_slide", explain)
    monkeypatch.setattr("napari_smoothsal.runs.slide_work.explain_slide", explain)
    flags = ("--where", "p(tumour) > 0.5", "--top", 3, "--retry-failed", "--checksum")
    for what in (slides / "a.tif", slides):
        result = smoothsal(
            "run", what, "--model", model, "--samples", 0, *flags, "--out", tmp_path / what.name
        )
        assert result.exit_code == 0, result.output
    assert len(given) == 3
    wanted = {"where": "p(tumour) > 0.5", "top": 3, "retry_failed": True, "checksum": True}
    assert all(wanted.items() <= settings.items() for settings in given)
    result = smoothsal("run", slides, "--model", model, "--predict-only", "--where", "p(a) > 1")
    assert result.exit_code == 2 and "--where has no use beside it" in result.output


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), SlideError("the slide has vanished")],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_run_that_is_stopped_midway_says_how_far_it_is(
    slides: Path, model: Path, tmp_path: Path, monkeypatch, error: Exception
) -> None:
    """Exit 1, as something is there; 2 where nothing is."""
    from napari_smoothsal.attribution import Explainer

    out = tmp_path / "a.zarr"
    command = ("run", slides / "a.tif", "--model", model, "--predict-only", "--batch-size", 2)
    finish, calls = Explainer.finish, []

    def failing(self, *args):
        calls.append(1)
        if len(calls) == 3:
            raise error
        return finish(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Explainer, "finish", failing)
        result = smoothsal(*command, "--out", out)
    assert result.exit_code == 1, result.output
    assert "stopped: " in result.output and str(error.args[-1]) in result.output
    assert "of 16 tiles are done" in result.output and "run the same command again" in result.output
    assert smoothsal(*command, "--out", out).exit_code == 0
    assert open_run(out).status == "complete"
    (tmp_path / "file").write_text("")
    nothing = smoothsal(*command, "--out", tmp_path / "file" / "a.zarr")
    assert nothing.exit_code == 2, nothing.output


def test_a_choice_of_no_tile_says_so_and_offers_no_maps(
    slides: Path, model: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "p.png"
    result = smoothsal(
        "run", slides / "a.tif", "--model", model, "--samples", 0, "--where", "p(tumour) > 1",
        "--out", tmp_path / "a.zarr", "--picture", picture,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "no tile is explained, as none is what was asked for (where p(tumour) > 1)" in (
        result.output
    )
    assert "another --out" in result.output and "no map to draw" in result.output
    for words in ("total variation", "drop the store", "calibrat", "of them", "picture: "):
        assert words not in result.output.partition("tiles; predicted")[2], words
    assert not picture.exists()


@pytest.mark.parametrize("several", [False, True])
def test_a_disk_that_refuses_the_store_is_named_with_exit_2(
    slides: Path, model: Path, tmp_path: Path, monkeypatch, several: bool
) -> None:
    refused = OSError(errno.EROFS, "Read-only file system", str(tmp_path / "o" / ".x.lock"))

    def only_writer(_path: Path, _command: str = "") -> None:
        raise refused

    monkeypatch.setattr("napari_smoothsal.runs.explain.only_writer", only_writer)
    monkeypatch.setattr("napari_smoothsal.runs.slide_claim.only_writer", only_writer)
    what, out = (slides, "o") if several else (slides / "a.tif", "o/a.smoothsal.zarr")
    result = smoothsal("run", what, "--model", model, "--predict-only", "--out", tmp_path / out)
    assert result.exit_code == 2, result.output
    said = "'a.smoothsal.zarr' cannot be written into the folder 'o'; choose a folder by --out"
    assert said in result.output and ".lock" not in result.output


def test_that_a_run_goes_on_is_said_only_where_it_does(
    slides: Path, model: Path, tmp_path: Path, monkeypatch
) -> None:
    from napari_smoothsal.attribution import Explainer

    out = tmp_path / "a.zarr"
    command = ("run", slides / "a.tif", "--model", model, "--predict-only", "--out", out)

    def interrupted(*_given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Explainer, "finish", interrupted)
        assert smoothsal(*command).exit_code == 130
    other = smoothsal(*command, "--min-tissue", "0.3")
    assert other.exit_code == 2 and "unfinished" not in other.output, other.output
    with only_writer(out):
        held = smoothsal(*command)
    assert held.exit_code == 2 and "is writing into" in held.output
    assert "unfinished" not in held.output
    same = smoothsal(*command)
    assert same.exit_code == 0, same.output
    assert same.output.count("a.zarr is unfinished: going on where it stopped") == 1


def test_each_slide_s_tissue_is_told_with_its_name(
    slides: Path, model: Path, tmp_path: Path
) -> None:
    result = smoothsal("run", slides, "--model", model, "--predict-only", "--out", tmp_path / "o")
    for name in "ab":
        assert f"\n{name}: tissue on " in f"\n{result.output}", result.output
