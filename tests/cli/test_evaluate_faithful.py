"""``smoothsal evaluate --faithfulness`` and ``--sanity``: what they write, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import refused, smoothsal
from PIL import Image


@pytest.fixture(scope="module")
def two_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_faithfulness_of_a_folders_tiles(
    two_images: Path, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    result = smoothsal(
        *("evaluate", "--faithfulness", "--model", model_folder_of_classifier, "--data"),
        *(two_images, "--layer", "layer2", "--method", "gradient", "--method", "activation"),
        *("--cells", 7, "--steps", 7, "--out", tmp_path),
    )
    assert result.exit_code == 0, result.output
    frame = pd.read_csv(tmp_path / "faithfulness.csv", keep_default_na=False)
    assert frame["method"].tolist()[0] == "random order"
    maps = list(zip(frame["layer"][1:], frame["method"][1:], frame["denoising"][1:], strict=True))
    # What uses no gradients has nothing to denoise, and is measured once.
    assert sorted(maps) == [
        ("layer2", "activation", "original"),
        ("layer2", "gradient", "centred_hook"),
        ("layer2", "gradient", "original"),
    ]
    by_tile = pd.read_csv(tmp_path / "faithfulness_by_tile.csv")
    assert set(by_tile["tile"]) == {"a.png", "b.png"}
    text = (tmp_path / "faithfulness.md").read_text()
    assert "2 of 2 images" in text and "centred hook" in text and str(tmp_path) not in text
    assert (tmp_path / "faithfulness.png").stat().st_size > 10_000


def test_sanity_block_by_block(
    two_images: Path, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    result = smoothsal(
        *("evaluate", "--sanity", "--model", model_folder_of_classifier, "--data", two_images),
        *("--layer", "layer3", "--denoising", "original", "--copies", 2, "--out", tmp_path),
    )
    assert result.exit_code == 0, result.output
    curves = pd.read_csv(tmp_path / "sanity_curves.csv")
    assert set(curves["order"]) == {"cascading", "independent"} and (curves["depth"] > 0).all()
    assert set(curves["layer"]) == {"layer3"}
    assert set(curves["method"]) == {"activation_x_gradient"}
    verdicts = pd.read_csv(tmp_path / "sanity.csv")
    assert (verdicts["copies"] == 2).all() and len(verdicts) == 4
    inside = verdicts.dropna(subset=["similarity"])
    assert (inside["copies_low"] <= inside["similarity"] + 1e-6).all()
    assert (inside["similarity"] <= inside["copies_high"] + 1e-6).all()
    assert (tmp_path / "sanity.png").stat().st_size > 10_000


def test_sanity_of_a_model_that_decides_per_pixel(
    two_images: Path, segmenter_folder: Path, tmp_path: Path
) -> None:
    result = smoothsal(
        *("evaluate", "--sanity", "--model", segmenter_folder, "--data", two_images, "--tiles", 1),
        *("--layer", "decoder.blocks.4", "--denoising", "original", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.output
    curves = pd.read_csv(tmp_path / "sanity_curves.csv")
    assert set(curves["layer"]) == {"decoder.blocks.4"} and curves["spearman"].notna().all()
    assert len(pd.read_csv(tmp_path / "sanity.csv")) and (tmp_path / "sanity.png").exists()


def test_what_cannot_be_checked_is_named(
    two_images: Path, model_folder_of_classifier: Path, segmenter_folder: Path, tmp_path: Path
) -> None:
    def said(*arguments: object) -> str:
        return " ".join(refused(tmp_path, *arguments).split())

    model = ("--model", model_folder_of_classifier, "--data", two_images)
    assert "--faithfulness needs --model" in said("--faithfulness")
    assert "--target has no use beside --faithfulness" in said(
        "--faithfulness", *model, "--target", 1
    )
    assert "--cells has no use beside --sanity" in said("--sanity", *model, "--cells", 7)
    assert "--mpp 0.5 is of the images in --data" in said("--sanity", *model[:2], "--mpp", 0.5)
    assert "choose one evaluation: --faithfulness or --sanity" in said("--sanity", "--faithfulness")
    assert "nowhere" in said("--sanity", *model, "--layer", "nowhere")
    assert "guesswork" in said("--faithfulness", *model, "--method", "guesswork")
    assert "decides per pixel" in said(
        *("--faithfulness", "--model", segmenter_folder, "--layer", "encoder.layer1"),
        *("--data", two_images, "--method", "gradient"),
    )
