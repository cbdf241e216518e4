"""``smoothsal train-surrogate`` and what its surrogate is for, from images to tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from command_line import smoothsal
from PIL import Image
from safetensors.torch import load_file

from napari_smoothsal import open_run
from napari_smoothsal.slides.sample import sample_slide_path

QUICK = ("--steps", 4, "--batch-tiles", 2, "--validate-every", 2, "--start-rounds", 1)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    with sample_slide_path() as path:
        picture = np.asarray(Image.open(path).convert("RGB"))
    for i in range(6):
        place = folder / ("tumour" if i % 2 else "normal") / f"{i}.png"
        place.parent.mkdir(exist_ok=True)
        # Along a row that leads into the tumour: both classes are predicted.
        top, left = 1120, 300 + 200 * i
        Image.fromarray(picture[top : top + 224, left : left + 224]).save(place)
    return folder


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("surrogate")
    done = smoothsal(
        "train-surrogate", "--model", "demo-classifier", "--data", images, "--out", out, *QUICK
    )
    assert done.exit_code == 0, done.output
    assert "predicted:" in done.output and "best: step" in done.output
    return out


def test_it_tells_what_the_surrogate_does_to_maps_and_predictions(trained: Path) -> None:
    effect = pd.read_csv(trained / "effect.csv").set_index("network")
    assert list(effect.index) == ["original", "surrogate, first weights", "surrogate, trained"]
    assert {"tv_layer1", "tv_layer2", "tv_layer3"} <= set(effect.columns)
    tv = effect[["tv_layer1", "tv_layer2", "tv_layer3"]]
    assert (tv.loc["surrogate, trained"] < tv.loc["original"]).all()
    differences = effect[["difference_all_x100", "difference_target_x100"]]
    assert differences.loc["original"].isna().all()
    assert ((differences.iloc[1:] > 0) & (differences.iloc[1:] < 100)).all(axis=None)


def test_it_writes_a_surrogate_its_curves_and_a_picture(trained: Path) -> None:
    curves = pd.read_csv(trained / "training.csv")
    held_out = curves[curves["curve"] == "held out, least squares start"]
    assert held_out["step"].tolist() == [0, 2, 4]
    assert (curves["curve"] == "held out, random start").sum() == 3
    with Image.open(trained / "training.png") as picture:
        assert picture.width > 800
    assert {"surrogate.safetensors", "surrogate.json"} <= {f.name for f in trained.iterdir()}


@pytest.mark.slow
def test_the_same_command_again_changes_nothing(trained: Path, images: Path) -> None:
    before = load_file(trained / "surrogate.safetensors")
    again = smoothsal(
        "train-surrogate", "--model", "demo-classifier", "--data", images, "--out", trained, *QUICK
    )
    assert again.exit_code == 0, again.output
    after = load_file(trained / "surrogate.safetensors")
    assert all((after[name] == value).all() for name, value in before.items())


@pytest.mark.slow
def test_tiles_of_a_slide(tmp_path: Path) -> None:
    with sample_slide_path() as path:
        corner = Image.open(path).convert("RGB").crop((600, 900, 1500, 1500))
    slide = tmp_path / "slide.tif"
    resolution = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}  # 0.5 um per px
    tifffile.imwrite(slide, np.asarray(corner), tile=(256, 256), photometric="rgb", **resolution)
    done = smoothsal(
        *("train-surrogate", "--model", "demo-classifier", "--slide", slide),
        *("--out", tmp_path / "out", "--steps", 1, "--batch-tiles", 2, "--start", "random"),
        *("--compare-steps", 0),
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "surrogate.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give tiles: either --data FOLDER or --slide SLIDE"),
        (("--data", "nowhere"), "no folder 'nowhere'"),
        (("--data", ".", "--steps", 0), "--steps 0: give 1 or more"),
        (("--data", ".", "--start", "warm"), "--start warm: give 'least_squares' or 'random'"),
    ],
)
def test_bad_input(arguments, words: str) -> None:
    refused = smoothsal("train-surrogate", "--model", "demo-classifier", *arguments)
    assert refused.exit_code == 2 and words in refused.output.replace("\n", " ")


def test_an_unreadable_image_is_named_before_anything_is_trained(
    images: Path, tmp_path: Path
) -> None:
    for file in images.rglob("*.png"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "broken.png").write_bytes(b"not an image")
    refused = smoothsal(
        *("train-surrogate", "--model", "demo-classifier"),
        *("--data", tmp_path, "--out", tmp_path / "out"),
    )
    assert refused.exit_code == 2 and "broken.png" in refused.output
    assert not (tmp_path / "out").exists()


def test_a_run_with_it_says_whose_weights_it_used(trained: Path, tmp_path: Path) -> None:
    with sample_slide_path() as slide:
        done = smoothsal(
            *("run", slide, "--layer", "layer2", "--denoising", "bilinear_surrogate"),
            *("--surrogate", trained, "--samples", 1, "--region", "800,800,448,448"),
            *("--out", tmp_path / "s.zarr"),
        )
    assert done.exit_code == 0, done.output
    run = open_run(tmp_path / "s.zarr")
    assert len(run.provenance["surrogate"]) == 64
    assert "layer2.bilinear_surrogate.activation_x_gradient.tumour" in run.maps


@pytest.mark.slow
def test_the_tables_of_the_paper(trained: Path, images: Path, tmp_path: Path) -> None:
    done = smoothsal(
        *("evaluate", "--model", "demo-classifier", "--surrogate", trained, "--data", images),
        *("--out", tmp_path, "--samples", 1, "--map-tiles", 2, "--layer", "layer2"),
        *("--method", "gradient", "--figures", 2),
    )
    assert done.exit_code == 0, done.output
    accuracy = pd.read_csv(tmp_path / "table2_accuracy.csv")
    assert accuracy["denoising"].tolist() == ["original", "bilinear_surrogate", "forward_hook"]
    assert accuracy["tiles"].tolist() == [6] * 3
    rough = pd.read_csv(tmp_path / "table4_total_variation.csv")
    assert set(rough["denoising"]) == {
        "original",
        "bilinear_surrogate",
        "backward_hook",
        "forward_hook",
        "centred_hook",
    }
    assert (rough["tiles"] == 2).all()
    text = (tmp_path / "report.md").read_text()
    assert "ResNet18 Camelyon16" in text and "figure4.png" in text
    with Image.open(tmp_path / "figure4.png") as picture:
        assert picture.width > 500
    assert "Figures 5 to 8" in text and str(images) not in text
    drawn = sorted(file.name for file in (tmp_path / "panels").iterdir())
    assert drawn == [
        f"{tile}_gradient{ending}.png"
        for tile in ("1_normal", "2_tumour")
        for ending in ("", "_over_tile")
    ]
    assert all(f"](panels/{name})" in text for name in drawn)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "demo-classifier"), "give --model and --data"),
        (("--model", "demo-vgg", "--data", "."), "no layer below a strided convolution"),
        (("--model", "demo-classifier", "--data", ".", "--rename", "x"), "label=class"),
        (("--model", "demo-classifier", "--data", ".", "--samples", "auto"), "as many samples"),
        (
            ("--model", "demo-classifier", "--data", ".", "--target", "normal"),
            "--target has no use",
        ),
        (("--model", "demo-classifier", "--data", ".", "--slide", "a.svs"), "--slide has no use"),
        (("--model", "demo-classifier", "--data", ".", "--deletion", "blck"), "'blck'"),
        (
            ("--model", "demo-classifier", "--data", ".", "--denoising-option", "strngth=0"),
            "centred_hook has it; there are: compensate, scope, strength",
        ),
        (("--model", "demo-classifier", "--data", ".", "--denoising", "foo"), "'foo'"),
        (("--model", "demo-classifier", "--data", ".", "--method", "foo"), "'foo'"),
        (("--model", "demo-classifier", "--data", ".", "--layer", "layerX"), "'layerX'"),
        (
            ("--model", "demo-classifier", "--data", ".", "--surrogate", "nowhere"),
            "there is no 'nowhere' in",
        ),
    ],
)
def test_what_cannot_be_evaluated(arguments, words: str, tmp_path: Path) -> None:
    refused = smoothsal("evaluate", *arguments, "--out", tmp_path)
    assert refused.exit_code == 2 and words in refused.output.replace("\n", " ")
