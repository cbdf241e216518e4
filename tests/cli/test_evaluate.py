"""``smoothsal evaluate``: what it writes, and what bad input gets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
import tifffile
from command_line import refused, smoothsal
from PIL import Image

from napari_smoothsal import SaliencySpec, Tiling, explain_slide, open_run, open_slide
from napari_smoothsal.models import Model
from napari_smoothsal.sample_data.segmentation_tiles import render_masked_tile


def geojson(path: Path, *named: tuple[str, shapely.Polygon]) -> Path:
    features = [
        {
            "type": "Feature",
            "geometry": json.loads(shapely.to_geojson(shape)),
            "properties": {"classification": {"name": name}},
        }
        for name, shape in named
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def squares(step: int, side: int, end: int) -> list[shapely.Polygon]:
    corners = range(8, end - side, step)
    return [shapely.box(x, y, x + side, y + side) for y in corners for x in corners]


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(90, 220, (256, 256, 3), np.uint8)
    path = tmp_path / "patient-17.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            pixels, tile=(64, 64), photometric="rgb", resolution=(2e4, 2e4),
            resolutionunit="CENTIMETER",
        )  # fmt: skip
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    boxes = squares(24, 14, 256)
    named = [("tumour nucleus" if i % 3 else "normal nucleus", b) for i, b in enumerate(boxes)]
    return geojson(tmp_path / "patient-17.geojson", *named)


@pytest.fixture
def store(slide: Path, classifier: Model, tmp_path: Path) -> Path:
    specs = [SaliencySpec(layer=layer, samples=0) for layer in ("layer1", "layer2")]
    with open_slide(slide) as opened:
        out = tmp_path / "s.zarr"
        explain_slide(opened, classifier, specs, out, tiling=Tiling(tissue="all"), progress=False)
    return out


def test_a_store_gets_table_and_picture(store: Path, truth: Path, tmp_path: Path) -> None:
    out = tmp_path / "evaluated"
    result = smoothsal("evaluate", "--localisation", store, "--nuclei", truth, "--out", out)
    assert result.exit_code == 0, result.output
    assert "on the right nuclei?" in result.output and "outlined or filled?" in result.output
    frame = pd.read_csv(out / "localisation.csv")
    assert list(frame["key"]) == list(open_run(store).maps)
    assert (frame["class"] == "tumour nucleus").all() and (
        frame["others"] == "normal nucleus"
    ).all()
    assert list(frame["rim_resolved"]) == [True, False]
    assert frame["pixel_auroc"].between(0, 1).all() and frame["pixel_auroc_low"].isna().all()
    assert frame["nuclei_of_class"][0] + frame["nuclei_other"][0] == 100
    assert (out / "localisation.png").stat().st_size > 10_000
    for file in out.iterdir():
        content = file.read_bytes()
        for secret in (str(tmp_path), "patient-17", "s.zarr"):
            assert secret.encode() not in content, (file.name, secret)


def test_a_slide_is_explained_first_and_not_again(
    slide: Path, truth: Path, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    arguments = ["evaluate", "--localisation", "--slide", slide, "--nuclei", truth, "--out", out]
    arguments += ["--model", model_folder_of_classifier, "--layer", "layer1", "--layer", "layer2"]
    arguments += ["--method", "gradient", "--method", "activation_x_gradient", "--samples", 0]
    arguments += ["--tissue", "all", "--rim-um", 1.5]
    result = smoothsal(*arguments)
    assert result.exit_code == 0, result.output
    frame = pd.read_csv(out / "localisation.csv")
    assert len(frame) == 4 and (frame["rim_um"] == 1.5).all()
    assert (out / "patient-17.smoothsal.zarr").is_dir()
    again = smoothsal(*arguments)
    assert again.exit_code == 0 and "already finished" in again.output
    assert frame.equals(pd.read_csv(out / "localisation.csv"))


def test_each_denoising_is_compared_with_the_blur_as_smooth(
    slide: Path, truth: Path, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    arguments = ["evaluate", "--localisation", "--slide", slide, "--nuclei", truth]
    arguments += ["--model", model_folder_of_classifier, "--layer", "layer1", "--samples", 0]
    arguments += ["--tissue", "all", "--denoising", "original", "--denoising", "backward_hook"]
    arguments += ["--denoising", "centred_hook", "--blur-control", "--out", tmp_path]
    result = smoothsal(*arguments)
    assert result.exit_code == 0, result.output
    frame = pd.read_csv(tmp_path / "localisation.csv")
    blurs = [f"gaussian_blur match={name}" for name in ("backward_hook", "centred_hook")]
    assert list(frame["denoising"]) == ["original", "backward_hook", "centred_hook", *blurs]
    pairs = pd.read_csv(tmp_path / "localisation_compared.csv")
    pixels = pairs[pairs["figure"] == "pixel_auroc"].set_index(["denoising", "against"])
    assert set(pixels.index) == {
        ("backward_hook", "original"),
        ("backward_hook", "blur as smooth as backward_hook"),
        ("centred_hook", "original"),
        ("centred_hook", "backward_hook"),
        ("centred_hook", "blur as smooth as centred_hook"),
    }
    single = frame.set_index("denoising")["pixel_auroc"]
    difference = single["centred_hook"] - single["gaussian_blur match=centred_hook"]
    found = pixels.loc[("centred_hook", "blur as smooth as centred_hook"), "difference"]
    assert found == pytest.approx(difference, abs=1e-5)
    with_options = smoothsal(*arguments, "--denoising-option", "strength=0.5")
    assert with_options.exit_code == 2 and "leave --denoising-option away" in with_options.output


def test_another_class_by_flag(store: Path, truth: Path, tmp_path: Path) -> None:
    result = smoothsal(
        "evaluate", "--localisation", store, "--nuclei", truth, "--nuclei-class", "normal nucleus",
        "--other-class", "tumour nucleus", "--out", tmp_path / "o",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert set(pd.read_csv(tmp_path / "o" / "localisation.csv")["class"]) == {"normal nucleus"}


def test_an_unfinished_store_is_measured_with_a_word(
    store: Path, truth: Path, tmp_path: Path
) -> None:
    metadata = store / "zarr.json"
    text = metadata.read_text()
    assert '"complete"' in text
    metadata.write_text(text.replace('"complete"', '"running"'))
    result = smoothsal(
        "evaluate", "--localisation", store, "--nuclei", truth, "--out", tmp_path / "o"
    )
    assert result.exit_code == 0 and "'running'; what is there is measured" in result.output


def test_nothing_chosen_says_what_there_is(store: Path, tmp_path: Path) -> None:
    assert "--localisation" in refused(tmp_path, store)


def test_bad_input_is_named_before_anything_is_computed(
    store: Path, slide: Path, truth: Path, tmp_path: Path
) -> None:
    local = ("--localisation", "--nuclei", truth)
    assert "--layer has no use beside" in refused(tmp_path, *local, store, "--layer", "layer1")
    assert "--slide has no use beside" in refused(tmp_path, *local, store, "--slide", slide)
    assert "at least one --layer" in refused(tmp_path, *local, "--slide", slide)
    assert "'normal nucleus'" in refused(
        tmp_path, *local, store, "--nuclei-class", "normal nucleos"
    )
    assert "rim_um = 0" in refused(tmp_path, *local, store, "--rim-um", 0)
    assert "is no saliency store" in refused(tmp_path, *local, tmp_path)
    for known in ([store], ["--slide", slide, "--layer", "layer1"]):
        assert "--nuclei TRUTH.geojson" in refused(tmp_path, "--localisation", *known)
    assert "not GeoJSON" in refused(tmp_path, "--localisation", store, "--nuclei", slide)
    far = geojson(tmp_path / "far.geojson", ("tumour nucleus", shapely.box(900, 0, 920, 20)))
    for known in ([store], ["--slide", slide, "--layer", "layer1"]):
        said = refused(tmp_path, "--localisation", *known, "--nuclei", far)
        assert "x 900 to 920" in said and "x 0 to 256" in said
    other = geojson(tmp_path / "other.geojson", ("stroma", shapely.box(0, 0, 20, 20)))
    said = refused(tmp_path, "--localisation", store, "--nuclei", other)
    assert "--nuclei-class" in said and "'stroma' (1)" in said and "'tumour'" in said


def test_stores_with_nothing_to_measure(
    slide: Path, truth: Path, classifier: Model, tmp_path: Path
) -> None:
    settings = {"tiling": Tiling(tissue="all"), "progress": False}
    spec = SaliencySpec(layer="layer1", samples=0)
    with open_slide(slide) as opened:
        explain_slide(opened, classifier, [], tmp_path / "p.zarr", **settings)
        explain_slide(
            opened, classifier, [spec], tmp_path / "r.zarr", region=(0, 0, 64, 64), **settings
        )
    local = ("--localisation", "--nuclei", truth)
    assert "holds no maps" in refused(tmp_path, *local, tmp_path / "p.zarr")
    far = geojson(tmp_path / "far.geojson", ("tumour nucleus", shapely.box(200, 200, 220, 220)))
    said = refused(tmp_path, "--localisation", "--nuclei", far, tmp_path / "r.zarr")
    assert "covers none of the 1 outlines of class 'tumour nucleus'" in said


def test_dice_of_a_models_classes_with_masks(tmp_path: Path, segmenter_folder: Path) -> None:
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir(), masks.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(
            images / f"{name}.png"
        )
        Image.fromarray(np.full((70, 90), 1, np.uint8)).save(masks / f"{name}.png")
    arguments = ["--model", segmenter_folder, "--data", images, "--masks", masks]
    out = tmp_path / "out"
    result = smoothsal("evaluate", "--dice", *arguments, "--out", out)
    assert result.exit_code == 0, result.output
    frame = pd.read_csv(out / "dice.csv")
    assert list(frame["class"]) == ["background", "normal", "tumour"]
    assert frame["true_px"].tolist() == [0, 2 * 70 * 90, 0]
    assert "Dice against 2 masks" in result.output
    assert "taken to be at the model's 0.5 um per pixel; bring images and masks" in result.output
    Image.fromarray(np.full((70, 90), 9, np.uint8)).save(masks / "b.png")
    result = smoothsal("evaluate", "--dice", *arguments, "--out", out)
    assert result.exit_code == 2 and "no class of the model: 9" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "choose what to evaluate"),
        (["--dice", "--localisation"], "choose one evaluation"),
        (["--dice", "--model", "demo-classifier"], "--dice needs"),
    ],
)
def test_dice_needs_what_it_compares(arguments, said) -> None:
    result = smoothsal("evaluate", *arguments)
    assert result.exit_code == 2 and said in result.output


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> tuple[str | Path, ...]:
    """Two synthetic tiles with their masks, one wider; a third whose mask shows nothing."""
    folder = tmp_path_factory.mktemp("masked")
    images, masks = folder / "images", folder / "masks"
    images.mkdir(), masks.mkdir()
    for number, width in enumerate((64, 130, 64)):
        image, mask = render_masked_tile(3_000_000 + number, 130)
        Image.fromarray(image[:64, :width]).save(images / f"{number}.png")
        mask[:10] = 255
        Image.fromarray(mask[:64, :width] if number < 2 else 0 * mask[:64, :64]).save(
            masks / f"{number}.png"
        )
    return "--data", images, "--masks", masks


def test_the_papers_tables_of_a_segmentation_model(masked, tmp_path: Path) -> None:
    result = smoothsal(
        *("evaluate", "--model", "demo-segmenter", *masked, "--samples", 0, "--no-blocks"),
        *("--layer", "encoder.layer3", "--method", "gradient", "--denoising", "backward_hook"),
        *("--out", tmp_path),
    )
    assert result.exit_code == 0, result.output
    accuracy = pd.read_csv(tmp_path / "table2_accuracy.csv")
    assert accuracy["denoising"].tolist() == ["original", "bilinear_surrogate", "forward_hook"]
    assert (accuracy["tiles"] == 4).all() and accuracy["pooled_pct"][0] > 80
    difference = pd.read_csv(tmp_path / "table3_prediction_difference.csv")
    assert difference["tiles"].tolist() == [3, 3] and difference["target_class_x100_mean"][0] > 0
    rough = pd.read_csv(tmp_path / "total_variation_by_tile.csv")
    assert set(rough["tile"]) <= {"0", "1 x1 y0", "1 x65 y0"} and len(rough) > 2
    text = (tmp_path / "report.md").read_text()
    for words in (
        "4 tiles of 64 px (the model's own tiles have 1536 px) with masks",
        "Tiles without such a class: 1;",
        "Table 2 is of pixels",
        "more than 0.1 (section 3.2",
    ):
        assert words in text
    for secret in (str(tmp_path), str(masked[1])):
        assert secret not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--labels", "l.csv"), "--labels has no use beside --masks"),
        (("--rename", "a=b"), "--rename has no use beside --masks"),
        (("--mpp", 0.25), "--mpp has no use beside --masks"),
        (("--resize", 256), "--resize has no use beside --masks"),
        (("--faithfulness-tiles", 2), "insertion and deletion follow one decision per tile"),
        (("--tile-px", 128), "smaller than a tile of 128 px"),
    ],
)
def test_what_has_no_use_beside_masks(
    masked, segmenter_folder: Path, tmp_path: Path, arguments, words: str
) -> None:
    said = refused(tmp_path, "--model", segmenter_folder, *masked, *arguments)
    assert words in " ".join(said.split())


def test_masks_are_for_models_that_decide_per_pixel_and_they_need_them(
    masked, segmenter_folder: Path, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    said = refused(tmp_path, "--model", model_folder_of_classifier, *masked)
    assert "decides once per tile, and --masks are for models that decide per pixel" in said
    said = refused(tmp_path, "--model", segmenter_folder, *masked[:2])
    assert "decides per pixel; give --masks FOLDER" in said


def test_images_without_a_resolution_are_resized(
    model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    for name, size in {"a": (30, 400), "b": (150, 90)}.items():
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(data / f"{name}.png")
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\na.png,0\nb.png,1\n", encoding="utf-8")
    given = ("--model", model_folder_of_classifier, "--data", data, "--labels", labels)
    result = smoothsal(
        *("evaluate", *given, "--resize", 72, "--samples", 0, "--no-blocks", "--layer", "layer2"),
        *("--method", "gradient", "--denoising", "backward_hook", "--out", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.output
    frame = pd.read_csv(tmp_path / "out" / "predictions_by_tile.csv")
    assert frame["label"].tolist()[:2] == [0, 1]
    text = (tmp_path / "out" / "report.md").read_text()
    assert "resized to 72 px at their shorter side" in text and "1 normal, 1 tumour" in text
    assert "resize = 63" in refused(tmp_path, *given, "--resize", 63)
    assert "--resize 72 and --mpp 0.5" in refused(tmp_path, *given, "--resize", 72, "--mpp", 0.5)
    assert "--resize has no use beside --dice" in refused(
        tmp_path, "--dice", *given[:4], "--masks", data, "--resize", 72
    )
    assert "no use beside --localisation" in refused(tmp_path, "--localisation", "--resize", 72)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--localisation", "--labels", "l.csv"), "--labels has no use beside --localisation"),
        (("--localisation", "--no-blocks"), "--blocks has no use beside --localisation"),
        (("--localisation", "--cells", 7), "--cells has no use beside --localisation"),
        (("--dice", "--rim-um", 2), "--rim-um has no use beside --dice"),
        (("--dice", "somewhere.zarr"), "STORE has no use beside --dice"),
        (("--dice", "--layer", "layer1"), "--layer has no use beside --dice"),
        (
            ("--model", "m", "--data", "d", "--target", 1),
            "--target has no use in the evaluation of labelled images",
        ),
        (("--dice", "--data", "d"), "--dice needs --model, --data and --masks"),
        (("--data", "d"), "or give --model and --data for the tables of Smooth Deep Saliency"),
    ],
)
def test_what_an_evaluation_does_not_use_is_refused(tmp_path: Path, arguments, said: str) -> None:
    assert said in " ".join(refused(tmp_path, *arguments).split())
