"""``smoothsal trust``: one tile of a slide, or an image, gets its card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from napari_smoothsal.cli import registered

QUICK = ("--samples", 0, "--cells", 7, "--steps", 7, "--random-orders", 3, "--copies", 1)


AT = ("--at", "100,100")


def trusted(*arguments: object) -> Result:
    return CliRunner().invoke(registered(), ["trust", *(str(a) for a in arguments)])


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """Tissue to the left, glass to the right."""
    pixels = np.full((256, 512, 3), 245, np.uint8)
    noise = np.random.default_rng(0).integers(0, 60, (256, 256, 1), np.uint8)
    pixels[:, :256] = np.array([200, 110, 170], np.uint8) - noise
    path = tmp_path / "patient-17.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            pixels, tile=(64, 64), photometric="rgb", resolution=(2e4, 2e4),
            resolutionunit="CENTIMETER",
        )  # fmt: skip
    return path


def test_a_tile_of_a_slide(slide: Path, model_folder_of_classifier: Path, tmp_path: Path) -> None:
    out = tmp_path / "card"
    result = trusted(
        *(slide, "--at", "100,120", "--model", model_folder_of_classifier, "--layer", "layer2"),
        *(*QUICK, "--label", "normal", "--out", out),
    )
    assert result.exit_code == 0, result.output
    card = json.loads((out / "trust.json").read_text())
    assert card["tile"] == "tile from x 68, y 88 (its upper left corner, level-0 px)"
    assert card["label"] == "normal"
    assert card["spec"]["layer"] == "layer2" and card["thresholds"]["random_orders"] == 3
    assert card["verdict"] in " ".join(result.output.split())
    assert card["verdict"] in (out / "trust.md").read_text()
    assert (out / "trust.png").stat().st_size > 20_000
    for file in out.iterdir():
        assert b"patient-17" not in file.read_bytes()


def test_resolution_is_as_runs_have_it(
    slide: Path, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    """A slide within 1 % of the model's resolution is read as it is, a coarse one if asked to."""
    model = ("--model", model_folder_of_classifier, "--layer", "layer2", *QUICK)
    for number, (given, tile) in enumerate(
        {("--mpp", 0.4955): "x 69, y 88", ("--mpp", 0.8, "--upsample"): "x 81, y 100"}.items()
    ):
        out = tmp_path / str(number)
        result = trusted(slide, "--at", "100.6,120", *given, *model, "--out", out)
        assert result.exit_code == 0, result.output
        assert json.loads((out / "trust.json").read_text())["tile"].startswith(f"tile from {tile} ")


def test_an_image_of_a_tile(model_folder_of_classifier: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "tile.png")
    result = trusted(
        *(tmp_path / "tile.png", "--model", model_folder_of_classifier),
        *(*QUICK, "--out", tmp_path / "card"),
    )
    assert result.exit_code == 0, result.output
    assert "layer: layer2, as no --layer was given" in result.output
    assert "taken to be at the model's 0.5 um per pixel; give --mpp" in result.output
    assert json.loads((tmp_path / "card" / "trust.json").read_text())["label"] is None


@pytest.mark.parametrize(
    ("given", "seen"), [(("--mpp", 0.25), "40 x 40 of 64 x 64 px"), (("--resize", 64), None)]
)
def test_a_patch_of_another_size(
    given: tuple[object, ...], seen: str | None, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    """At its resolution, and completed by mirror images, which the card says; or resized."""
    pixels = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "patch.png")
    result = trusted(
        *(tmp_path / "patch.png", *given, "--model", model_folder_of_classifier),
        *("--layer", "layer3", *QUICK, "--out", tmp_path / "card"),
    )
    assert result.exit_code == 0, result.output
    card = json.loads((tmp_path / "card" / "trust.json").read_text())
    assert card["tile"] == (f"image ({seen}, the rest mirrored)" if seen else "image")
    told = "mirror images complete it: the model sees what is not there"
    assert any(told in flag for flag in card["flags"]) == bool(seen) == (told in result.output)


def test_bad_input_is_named_and_nothing_written(
    slide: Path, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (70, 64)).save(tmp_path / "wide.png")
    out = tmp_path / "nothing"
    model = ("--model", model_folder_of_classifier, "--out", out)

    def said(*arguments: object) -> str:
        result = trusted(*arguments, *model)
        assert result.exit_code == 2 and not out.exists(), result.output
        assert "Traceback" not in result.output
        return " ".join(result.output.split())

    layer = ("--layer", "layer2")
    assert "reaches beyond the slide, x 0 to 512 and y 0 to 256" in said(
        slide, "--at", "500,100", *layer
    )
    assert "0 % of the tile is tissue" in said(slide, "--at", "400,100", *layer)
    assert "is not X,Y" in said(slide, "--at", "here", *layer)
    assert "by --at or by --region" in said(slide, "--at", "1,1", "--region", "0,0,64,64", *layer)
    assert "has 512 x 256 px" in said(slide, *layer)
    assert "has 70 x 64 px" in said(tmp_path / "wide.png", *layer)
    assert "is no image of one tile" in said(tmp_path / "slide.svs", *layer)
    assert "as --mpp, --resize 64 where it has none" in said(tmp_path / "wide.png", *layer)
    assert "leave one of the two away" in said(
        tmp_path / "wide.png", "--mpp", 0.5, "--resize", 64, *layer
    )
    assert "--resize 64 is of an image" in said(slide, *AT, "--resize", 64, *layer)
    assert "--upsample is of a known resolution" in said(
        tmp_path / "wide.png", "--upsample", *layer
    )
    assert "wide.png is 3 times coarser than the 0.5 um per pixel" in said(
        tmp_path / "wide.png", "--mpp", 1.5, *layer
    )
    assert "coarser than the 0.5 that the model wants" in said(slide, *AT, "--mpp", 0.8, *layer)
    assert "tumor" in said(slide, *AT, *layer, "--target", "tumor")
    assert "label = 'stroma' is no class" in said(slide, *AT, *layer, "--label", "stroma")
    assert "makes no feature map" in said(slide, *AT, "--layer", "fc")
    assert "layer9" in said(slide, *AT, "--layer", "layer9")


def test_a_model_that_decides_per_pixel_is_refused_and_nothing_written(
    segmenter_folder: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (128, 128), (200, 110, 170)).save(tmp_path / "tile.png")
    result = trusted(
        *(tmp_path / "tile.png", "--layer", "input", "--model", segmenter_folder),
        *("--out", tmp_path / "nothing"),
    )
    said = " ".join(result.output.split())
    assert result.exit_code == 2 and "model 'tiny-unet' decides per pixel" in said, said
    assert "`smoothsal evaluate --sanity`, which takes both" in said
    assert not (tmp_path / "nothing").exists()
