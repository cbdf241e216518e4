"""The command line: what it prints, its exit codes, and what bad input gets."""

import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import smoothsal, tiff
from PIL import Image

from napari_smoothsal import SaliencySpec, open_run
from napari_smoothsal.core.specs import Compute, Tiling
from napari_smoothsal.render.words import map_title


def test_run_prints_store_and_table_and_goes_on_or_says_it_is_finished(
    slide: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "case.smoothsal.zarr"
    arguments = ["run", slide, "--model", model, "--out", out, "--samples", 2]
    arguments += ["--layer", "layer1", "--layer", "layer2"]
    arguments += ["--denoising", "original", "--denoising", "backward_hook"]
    result = smoothsal(*arguments)
    assert result.exit_code == 0, result.output
    assert "total variation" in result.output and "case.smoothsal.zarr" in result.output
    run = open_run(out)
    assert run.status == "complete" and len(run.maps) == 4
    again = smoothsal(*arguments)
    assert again.exit_code == 0 and "already finished" in again.output


def test_every_field_of_the_settings_is_a_flag() -> None:
    text = smoothsal("run", "--help").output
    names = {**SaliencySpec.model_fields, **Tiling.model_fields, **Compute.model_fields}
    hidden = {"schema_version", "jitter", "aggregate", "noise_at"}
    for name in names.keys() - hidden:
        flag = name.removesuffix("s") if name.endswith("_options") else name
        assert f"--{flag.replace('_', '-')}" in text, name
    for flag in ("--model", "--mpp", "--region", "--predict-only", "--out"):
        assert flag in text


def test_flags_reach_the_run(slide: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.zarr"
    result = smoothsal(
        "run", slide, "--model", model, "--layer", "layer2", "--out", out, "--target", "normal",
        "--sigma", "0.1", "--samples", "3", "--seed", "7", "--reduction", "absolute",
        "--method", "activation_x_gradient", "--overlap", "0", "--halo", "8", "--batch-size", "5",
        "--precision", "fp64", "--device", "cpu", "--region", "64,64,128,128", "--readers", "1",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    run = open_run(out)
    (run_map,) = run.maps.values()
    assert run_map.target == "normal"
    spec = run_map.spec
    assert (spec.sigma, spec.samples, spec.seed, spec.reduction) == (0.1, 3, 7, "absolute")
    record = run.provenance
    assert record["region"] == [64, 64, 128, 128] and record["batch_size"] == 5
    assert record["compute"] == {"device": "cpu", "precision": "fp64"}
    assert record["grid"]["halo"] == 8 and record["grid"]["step"] == 48


def test_one_channel_is_named_by_its_map_and_read_back(
    slide: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.zarr"
    place = ("--out", out, "--samples", 0, "--region", "64,64,64,64", "--overlap", 0)
    chosen = ("--layer", "layer2", "--reduction", "channel")
    result = smoothsal("run", slide, "--model", model, *chosen, "--channel", 5, *place)
    assert result.exit_code == 0, result.output
    ((key, run_map),) = open_run(out).maps.items()
    assert key == "layer2+channel5.centred_hook.activation_x_gradient.tumour"
    assert (run_map.spec.reduction, run_map.spec.channel) == ("channel", 5)
    assert map_title(run_map).startswith("layer2 channel 5 | centred hook | ")
    assert "layer2 channel 5" in result.output
    refused = smoothsal("run", slide, "--model", model, *chosen, "--channel", 900, *place)
    assert refused.exit_code == 2 and "channels, 0 to" in refused.output


def test_without_a_layer_one_is_chosen_and_told(slide: Path, model: Path, tmp_path: Path) -> None:
    given = ("run", slide, "--model", model, "--samples", 0, "--region", "64,64,64,64")
    result = smoothsal(*given, "--out", tmp_path / "a")
    assert result.exit_code == 0 and "layer: layer2, as no --layer was given" in result.output
    assert [m.spec.layer for m in open_run(tmp_path / "a").maps.values()] == ["layer2"]
    quick = ("--method", "occlusion", "--method-option", "size_px=64")
    result = smoothsal(*given, *quick, "--out", tmp_path / "b")
    assert result.exit_code == 0 and "layer: input, as no --layer was given" in result.output
    both = smoothsal(*given, *quick, "--method", "gradient", "--out", tmp_path / "c")
    assert both.exit_code == 0 and "layer: input and layer2, as no" in both.output, both.output
    assert [m.spec.layer for m in open_run(tmp_path / "c").maps.values()] == ["input", "layer2"]


@pytest.mark.filterwarnings("ignore:.*makes the same map with denoising")
def test_a_run_draws_a_picture_of_its_maps(slide: Path, model: Path, tmp_path: Path) -> None:
    picture = tmp_path / "deep" / "maps.png"
    given = ("--model", model, "--layer", "layer1", "--samples", 0, "--picture", picture)
    both = ("--denoising", "original", "--denoising", "centred_hook", "--method", "activation")
    result = smoothsal("run", slide, *given, *both, "--method", "gradient", "--out", tmp_path / "a")
    assert result.exit_code == 0, result.output
    assert f"picture: {picture}" in result.output
    with Image.open(picture) as drawn:
        pixels = np.asarray(drawn.convert("RGB")).astype(int)
    assert pixels.shape[0] > 1000  # a row for each denoising
    # Maps are orange and teal: colours that neither tissue nor words have.
    assert ((pixels[..., 0] - pixels[..., 2]) > 80).mean() > 0.01
    result = smoothsal("run", slide, slide, *given, "--out", tmp_path / "b")
    assert result.exit_code == 2 and "--picture maps.png is of one slide" in result.output
    assert not (tmp_path / "b").exists()


def test_a_run_whose_words_nobody_reads_has_its_picture(
    slide: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``smoothsal run ... | head -1`` does it: no error, nothing is lost."""
    picture = tmp_path / "maps.png"
    given = ("--layer", "layer1", "--samples", 0, "--picture", picture, "--out", tmp_path / "a")

    def closed(*_said: object, err: bool = False) -> None:
        if not err:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("napari_smoothsal.cli.run.typer.echo", closed)
    result = smoothsal("run", slide, "--model", model, *given)
    assert result.exit_code == 1 and "error" not in result.output, result.output
    assert picture.is_file() and open_run(tmp_path / "a").status == "complete"


def test_weak_predictions_and_those_of_another_class_are_counted(
    slide: Path, model: Path, tmp_path: Path
) -> None:
    given = ("run", slide, "--model", model, "--samples", 0, "--layer", "layer4")
    result = smoothsal(*given, "--out", tmp_path / "a")
    tiles = open_run(tmp_path / "a").tiles
    weak = (tiles[["p_normal", "p_tumour"]].max(axis=1) < 0.8).sum()
    other = (tiles.predicted != "tumour").sum()
    assert weak or other  # of random weights
    for count, words in (
        (weak, "weakly predicted, with a probability below 0.8"),
        (other, "predicted as another class than 'tumour'"),
    ):
        assert (f"{count} of them are {words}" in result.output) == bool(count)
    assert (
        "layer4.centred_hook.activation_x_gradient.tumour: equal to the original's" in result.output
    )
    shutil.copy(slide, tmp_path / "other.tif")
    several = smoothsal(*given[:2], tmp_path / "other.tif", *given[2:], "--out", tmp_path / "b")
    assert several.output.count(f"{weak} weakly predicted") == (2 if weak else 0)


def test_a_warning_is_said_once(slide: Path, model: Path, tmp_path: Path) -> None:
    """Of the command as a user starts it; the masks of each batch miss their area."""
    command = [
        sys.executable, "-c", "from napari_smoothsal.cli import main; main()",
        "run", slide, "--model", model, "--out", tmp_path / "a", "--batch-size", 2,
        "--method", "extremal_perturbation", "--method-option", "iterations=2",
        "--method-option", "mask_px=8",
    ]  # fmt: skip
    done = subprocess.run([str(a) for a in command], capture_output=True, text=True, check=True)
    assert done.stderr.count("not all regions have the area asked for") == 1
    assert "layer: input" in done.stderr


def test_predictions_only(slide: Path, model: Path, tmp_path: Path) -> None:
    result = smoothsal("run", slide, "--model", model, "--predict-only", "--out", tmp_path / "p")
    assert result.exit_code == 0 and "predicted" in result.output
    assert not open_run(tmp_path / "p").maps


def test_several_slides_go_into_a_folder_and_one_bad_one_does_not_stop_them(
    slide: Path, model: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "notes.svs"
    bad.write_text("not a slide")
    result = smoothsal(
        "run", bad, slide, "--model", model, "--layer", "layer1", "--out", tmp_path / "o",
        "--samples", 0, "--region", "64,64,64,64",
    )  # fmt: skip
    assert result.exit_code == 1, result.output
    assert open_run(tmp_path / "o" / "case.smoothsal.zarr").status == "complete"
    nothing = smoothsal(
        "run", bad, bad, "--model", model, "--layer", "layer1", "--out", tmp_path / "n"
    )
    assert nothing.exit_code == 2


def test_a_folder_of_slides(slide: Path, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    for name in ("a.tif", "b.tif"):
        shutil.copy(slide, folder / name)
    (folder / "readme.txt").write_text("about these slides")
    result = smoothsal(
        "run", folder, "--model", model, "--layer", "layer2", "--out", tmp_path / "o",
        "--samples", 0,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    names = sorted(p.name for p in (tmp_path / "o").glob("*.zarr"))
    assert names == ["a.smoothsal.zarr", "b.smoothsal.zarr"]


def test_glass_only_says_so(model: Path, tmp_path: Path) -> None:
    glass = tiff(tmp_path / "glass.tif", np.full((300, 300, 3), 243, np.uint8))
    out = tmp_path / "g.zarr"
    result = smoothsal("run", glass, "--model", model, "--layer", "layer1", "--out", out)
    assert result.exit_code == 0 and "no tissue" in result.output
    assert open_run(out).status == "complete"


BAD = [
    (["--layer", "layr1"], "layer1"),
    (["--layer", "layer1", "--sigma", "-1"], "error: --sigma -1.0: give 0 or more\n"),
    (["--layer", "layer1", "--samples", "-3"], "error: --samples -3: give a whole number from 0"),
    (["--layer", "layer1", "--samples", "many"], "error: --samples many: give a whole number"),
    (["--layer", "layer1", "--precision", "fp8"], "error: --precision fp8: give 'auto'"),
    (["--layer", "layer1", "--tile-px", "4"], "error: --tile-px 4: give 8 or more\n"),
    (["--layer", "layer1", "--batch-size", "x"], "error: --batch-size x: give a whole number, or"),
    (["--layer", "layer4", "--denoising", "original", "--tile-px", "16"], "tile"),
    (["--layer", "layer1", "--target", "tumor"], "tumour"),
    (["--layer", "layer1", "--denoising", "hook"], "backward_hook"),
    (["--layer", "layer1", "--method", "grad"], "gradient"),
    (["--layer", "layer1", "--region", "1,2,3"], "X,Y,W,H"),
    (["--layer", "layer1", "--region", "9000,0,10,10"], "region"),
    (["--layer", "layer1", "--mpp", "-1"], "mpp"),
    (["--layer", "layer1", "--mpp", "5"], "--upsample"),
    (["--layer", "layer1", "--tissue", "nowhere.geojson"], "nowhere"),
    (["--layer", "layer1", "--device", "cuda:99"], "device"),
    (["--layer", "layer1", "--method-option", "relu"], "name=value"),
    (["--layer", "layer1", "--model", "demo-clasifier"], "demo-classifier"),
    (["--layer", "layer1", "--predict-only"], "--predict-only"),
    (["--predict-only", "--picture", "p.png"], "none for --picture"),
    (["--layer", "layer1", "--picture", "p.txt"], "pictures are .png, .pdf, .svg"),
    (["--layer", "layer1", "--picture", "p"], "pictures are .png, .pdf, .svg"),
    (["--predict-only", "--layer", "layer1"], "--predict-only"),
]


@pytest.mark.parametrize(("flags", "named"), BAD)
def test_bad_settings_exit_2_and_leave_nothing(
    slide: Path, model: Path, tmp_path: Path, flags: list[str], named: str
) -> None:
    before = {p.name for p in tmp_path.iterdir()}
    arguments = ["run", slide, "--out", tmp_path / "s.zarr", *flags]
    if "--model" not in flags:
        arguments += ["--model", model]
    result = smoothsal(*arguments)
    assert result.exit_code == 2, result.output
    assert named in result.output
    assert "Traceback" not in result.output
    for settings in ("SaliencySpec", "Tiling", "Compute", "Options"):
        assert settings not in result.output
    assert {p.name for p in tmp_path.iterdir()} == before


def test_a_slide_without_resolution_names_the_option(model: Path, tmp_path: Path) -> None:
    slide = tiff(tmp_path / "bare.tif", np.zeros((128, 128, 3), np.uint8), mpp=None)
    arguments = ["run", slide, "--model", model, "--layer", "layer1", "--out", tmp_path / "s.zarr"]
    result = smoothsal(*arguments)
    assert result.exit_code == 2 and "bare" in result.output and "--mpp" in result.output
    assert smoothsal(*arguments, "--mpp", "0.5", "--tissue", "all", "--samples", 0).exit_code == 0


def test_a_file_that_is_no_slide_and_a_model_that_is_a_pickle(
    slide: Path, model: Path, tmp_path: Path
) -> None:
    result = smoothsal("run", model / "card.json", "--model", model, "--layer", "layer1")
    assert result.exit_code == 2 and "card.json" in result.output
    (tmp_path / "model.pt").write_bytes(b"\x80\x02.")
    result = smoothsal("run", slide, "--model", tmp_path / "model.pt", "--layer", "layer1")
    assert result.exit_code == 2 and "smoothsal card new" in result.output


def test_a_cut_slide_never_looks_complete(real_slides: Path, model: Path, tmp_path: Path) -> None:
    whole = (real_slides / "CMU-1-Small-Region.svs").read_bytes()
    cut = tmp_path / "cut.svs"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    out = tmp_path / "s.zarr"
    result = smoothsal("run", cut, "--model", model, "--layer", "layer1", "--out", out)
    assert result.exit_code in (1, 2), result.output
    assert result.exit_code == 2 or open_run(out).status == "complete_with_errors"
    assert result.exit_code == 1 or not out.exists()


def test_an_output_folder_that_is_not_ours(slide: Path, model: Path, tmp_path: Path) -> None:
    result = smoothsal("run", slide, "--model", model, "--layer", "layer1", "--out", tmp_path)
    assert result.exit_code == 2 and "nothing was written" in result.output


def test_info(slide: Path, tmp_path: Path) -> None:
    result = smoothsal("info", slide, "--picture", tmp_path / "tissue.png")
    assert result.exit_code == 0 and "330 x 300 px" in result.output
    assert (tmp_path / "tissue.png").stat().st_size > 1000
    facts = json.loads(smoothsal("info", slide, "--json").output)
    assert facts["width"] == 330 and facts["mpp"] == pytest.approx([0.5, 0.5], rel=1e-3)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a child process on Windows")
def test_ctrl_c_exits_130_and_the_same_command_goes_on(
    slide: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.zarr"
    arguments = ["run", slide, "--model", model, "--layer", "layer1", "--out", out]
    arguments += ["--batch-size", 1, "--overlap", 0.5, "--samples", 4, "--tissue", "all"]
    # A process that is started in the background is born with SIGINT ignored.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{code}; from napari_smoothsal.cli import main; main()"]
    running = subprocess.Popen([*command, *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    try:
        while not out.exists() or not (open_run(out).tiles.status == "done").any():
            assert running.poll() is None
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130 and "interrupted" in errors
    assert open_run(out).status == "running"
    assert smoothsal(*arguments).exit_code == 0
    assert open_run(out).status == "complete"
