"""``smoothsal calibrate``: from a folder of normal tissue to a run that is blank below."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import smoothsal
from PIL import Image

from napari_smoothsal import load_model, open_run
from napari_smoothsal.models.calibration_file import CALIBRATION
from napari_smoothsal.sample_data.tiles import render_tile
from napari_smoothsal.slides.sample import sample_slide_path

SPEC = ("--layer", "layer1", "--samples", 1)
QUICK = ("--error-rate", 0.5, "--copies", 1, "--copy-tiles", 1, "--stain", 0)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated")
    (folder / "tumour").mkdir()
    Image.fromarray(render_tile(1, 0.5, tumour=True)).save(folder / "tumour" / "1.png")
    done = smoothsal(
        *("calibrate", "--model", "demo-classifier", *SPEC, *QUICK, "--layer", "layer2"),
        *("--target-data", folder / "tumour", "--out", folder / "out"),
    )
    assert done.exit_code == 0, done.output
    assert "8 tiles of normal tissue, 1 randomised copies" in done.output
    assert (
        "layer1 | centred_hook | activation_x_gradient: calibrated: shown only above the strongest"
        in done.output
    )
    assert "of tiles of tumour, " in done.output
    return folder / "out" / CALIBRATION


def test_a_run_takes_it(calibrated: Path, tmp_path: Path) -> None:
    with sample_slide_path() as slide:
        done = smoothsal(
            *("run", slide, *SPEC, "--region", "1000,1200,300,300", "--out", tmp_path / "a.zarr"),
            *("--calibration", calibrated),
        )
    assert done.exit_code == 0, done.output
    assert "calibrated" in done.output
    (run_map,) = open_run(tmp_path / "a.zarr").maps.values()
    known = load_model("demo-classifier", calibration=calibrated).calibrations
    assert run_map.calibration == known[0]


def test_a_run_says_why_a_file_has_no_limits_of_its_maps(calibrated: Path, tmp_path: Path) -> None:
    settings = ("--layer", "layer1", "--layer", "layer2", "--samples", 0, "--method", "deeplift")
    done = smoothsal(
        *("run", tmp_path / "none.tif", *settings, "--calibration", calibrated),
    )
    for layer in ("layer1", "layer2"):
        assert (
            f"no limits of {layer} | centred_hook | deeplift, which is shown without any; it has "
            "method = 'deeplift' (measured: 'activation_x_gradient'), samples = 0 "
            "(measured: 'some')"
        ) in done.output
    done = smoothsal("run", tmp_path / "none.tif", "--layer", "layer1", "--samples", 0)
    told = "calibration: no limits of layer1 | centred_hook | activation_x_gradient, which is shown"
    assert told in done.output and "warning" not in done.output


def test_what_does_not_go_is_told(tmp_path: Path, calibrated: Path) -> None:
    for arguments, said in (
        ((), "--out: model 'demo-classifier' is no folder that could be written to"),
        (("--out", tmp_path), "8 normal tile(s) no limit follows that at most 0.05 of others"),
        (("--out", tmp_path, "--error-rate", 2), "--error-rate 2"),
        (("--out", tmp_path, "--data", tmp_path / "none"), "there is no folder 'none'"),
    ):
        done = smoothsal("calibrate", "--model", "demo-classifier", *SPEC, *arguments)
        assert done.exit_code == 2 and said in done.output, done.output
    other = shutil.copy(calibrated, tmp_path / "other.json")
    Path(other).write_text(calibrated.read_text().replace('_sha256": "', '_sha256": "0'))
    done = smoothsal("calibrate", "--model", "demo-classifier", *SPEC, *QUICK, "--out", other)
    assert done.exit_code == 2 and "'other.json' was measured on other weights" in done.output
    assert "randomised copies" not in done.output  # before anything is measured
    done = smoothsal("run", "x.svs", *SPEC, "--calibration", tmp_path)
    assert done.exit_code == 2 and "there is no 'calibration.json'" in done.output


def test_beside_the_model_a_file_of_other_weights_is_replaced(
    calibrated: Path, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    beside = Path(shutil.copy(calibrated, model_folder_of_classifier / CALIBRATION))
    (tmp_path / "normal").mkdir()
    for number in range(2):
        picture = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / "normal" / f"{number}.png")
    with pytest.warns(UserWarning, match="measured on other weights"):
        done = smoothsal(
            *("calibrate", "--model", model_folder_of_classifier, *SPEC, *QUICK),
            *("--data", tmp_path / "normal", "--target", "tumour"),
        )
    assert done.exit_code == 0, done.output
    (one,) = load_model(model_folder_of_classifier).calibrations
    assert one.tiles == 2 and one.target == "tumour"
    assert beside.read_text() != calibrated.read_text()


def test_tissue_that_is_not_normal_is_refused(tmp_path: Path) -> None:
    for number in range(2):
        picture = render_tile(number, 0.5, tumour=True)
        Image.fromarray(np.asarray(picture)).save(tmp_path / f"{number}.png")
    done = smoothsal(
        *("calibrate", "--model", "demo-classifier", *SPEC, *QUICK),
        *("--data", tmp_path, "--out", tmp_path / "out"),
    )
    assert done.exit_code == 2 and "predicts 'tumour' of 100 % of the 2 tiles" in done.output
    assert not (tmp_path / "out").exists()


def test_the_outcome_comes_first_and_is_the_exit_code(tmp_path: Path) -> None:
    """Of a tile that is tumour by half the model is less sure than a random copy may be."""
    tile, tumour = render_tile(1, 0.5, tumour=False), render_tile(1, 0.5, tumour=True)
    tile[:, :106] = tumour[:, :106]
    Image.fromarray(tile).save(tmp_path / "1.png")
    given = ("calibrate", "--model", "demo-classifier", *SPEC, "--error-rate", 0.12, "--stain", 0)
    given = (*given, "--copies", 20, "--copy-tiles", 1)
    target = ("--target-data", tmp_path, "--mpp", 0.5)
    bad = smoothsal(*given, *target, "--out", tmp_path / "bad")
    said = bad.output.splitlines()
    outcome = said.index("not calibrated: limits of 1 of 1 map are not used by runs")
    assert bad.exit_code == 1 and "calibrated" not in "".join(said[:outcome])
    assert said[outcome + 1].startswith(
        "layer1 | centred_hook | activation_x_gradient: not used: above its "
    )
    assert "shown only" not in bad.output and "warning" not in bad.output
    short = ("calibrate", "--model", "demo-classifier", *SPEC, *QUICK)
    good = smoothsal(*short, "--out", tmp_path / "good", "--layer", "layer2")
    said = good.output.splitlines()
    assert good.exit_code == 0 and (
        "calibrated: `run --calibration` with the file uses the limits of 2 maps" in said
    )
    assert "warning" not in good.output


def test_images_of_which_nobody_said_the_resolution_are_told(tmp_path: Path) -> None:
    Image.fromarray(render_tile(0, 0.5, tumour=False)).save(tmp_path / "0.png")
    given = ("calibrate", "--model", "demo-classifier", *SPEC, *QUICK, "--data", tmp_path)
    done = smoothsal(*given, "--target-data", tmp_path, "--out", tmp_path / "out")
    told = "they are taken to be at the model's 0.5 um per pixel; give --mpp"
    assert done.output.count(told) == 1
    assert "none of the images with the target is predicted as 'tumour'" in done.output
    without = smoothsal("calibrate", "--model", "demo-classifier", *SPEC, *QUICK, "--mpp", 0.5)
    assert without.exit_code == 2
