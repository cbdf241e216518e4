"""``smoothsal evaluate --table``: what it writes, and what bad input gets."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from napari_smoothsal.cli import registered

BRIEF = (
    *("--method-option", "iterations=1", "--method-option", "igos_plus_plus.steps=1"),
    *("--precision", "fp32", "--device", "cpu"),
)


def smoothsal(*arguments: object) -> Result:
    return CliRunner().invoke(registered(), ["evaluate", *(str(a) for a in arguments)])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Noise, of two classes in sub-folders."""
    generator = np.random.default_rng(0)
    for name in ("normal/case-9", "tumour/b", "tumour/c"):
        path = tmp_path / "patient-17" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    return tmp_path / "patient-17"


@pytest.mark.parametrize("table", ["igos6", "igos4", "igos7", "igos12"])
@pytest.mark.filterwarnings("ignore:masks of some tiles hide nearly all")
def test_a_table_is_written_and_printed(
    table: str, images: Path, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    rise = ("--method-option", "rise.masks=4") if table == "igos7" else ()
    given = ("--table", table, "--model", model_folder_of_classifier, "--data", images / "tumour")
    result = smoothsal(*given, *BRIEF, *rise, "--tiles", 1, "--out", out)
    assert result.exit_code == 0, result.output
    text = (out / f"{table}.md").read_text()
    assert "Tiles: 1 of 64 px, without labels" in text and "research use only" in text
    assert "They are: b.png." in text or "They are: c.png." in text
    caption = "1 of 2 tiles of 64 px; 1 iteration"
    assert caption in text and caption in result.output
    assert "taken to be at the model's 0.5 um per pixel; give --mpp" in result.output
    assert (out / f"{table}.png").stat().st_size > 5_000
    assert len(pd.read_csv(out / f"{table}.csv")) >= 6
    assert pd.read_csv(out / f"{table}_by_tile.csv")["tile"].nunique() == 1
    if table == "igos6":
        assert (
            "iGOS++ less each other" in text and len(pd.read_csv(out / "igos6_compared.csv")) == 12
        )
        courses = pd.read_csv(out / "igos6_curves.csv")
        assert courses.groupby(["method", "mask_px"])["share"].max().eq(1).all()
    if table == "igos12":
        assert (out / "igos12_masks.png").stat().st_size > 20_000
    for file in out.iterdir():
        for secret in (str(tmp_path), "patient-17"):
            assert secret.encode() not in file.read_bytes(), (file.name, secret)
    again = smoothsal(*given, *BRIEF, *rise, "--out", out)
    assert again.exit_code == 2 and "holds this table" in again.output


def test_sub_folders_are_labels_and_wrong_predictions_are_told(
    images: Path, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    result = smoothsal(
        *("--table", "igos6", "--model", model_folder_of_classifier, "--data", images),
        *(*BRIEF, "--out", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.output
    rows = pd.read_csv(tmp_path / "out" / "igos6_by_tile.csv", keep_default_na=False)
    tiles = rows.drop_duplicates("tile").set_index("tile")
    assert list(tiles["label"]) == ["normal", "tumour", "tumour"]
    wrong = tiles["label"] != tiles["explained"]
    assert wrong.any()
    assert (tiles["mark"].str.contains("predicted wrongly") == wrong).all()
    text = (tmp_path / "out" / "igos6.md").read_text()
    assert f"{wrong.sum()} of 3 tiles: *predicted wrongly* by the label" in text


def test_which_tiles_are_drawn_is_by_the_seed(
    images: Path, model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    result = smoothsal(
        *("--table", "igos4", "--model", model_folder_of_classifier, "--data", images),
        *(*BRIEF, "--tiles", 1, "--seed", 1, "--out", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.output
    (tile,) = set(pd.read_csv(tmp_path / "out" / "igos4_by_tile.csv")["tile"])
    assert tile.startswith("normal/")  # by the usual seed it is one of tumour


def refused(*arguments: object) -> str:
    result = smoothsal(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def test_bad_input_is_told_before_anything_is_computed(
    images: Path, model_folder_of_classifier: Path, segmenter_folder: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "nothing")
    model = ("--model", model_folder_of_classifier)
    given = ("--table", "igos1", *model, "--data", images, *out)
    assert "'igos5'" in refused("--table", "igos5", *model, "--data", images, *out)
    assert "--table needs --model and --data" in refused("--table", "igos1", *model, *out)
    assert "is within --data" in refused(*given[:-2], "--out", images / "tables")
    assert not (images / "tables").exists()
    assert "choose one evaluation: --dice or --table" in refused(*given, "--dice")
    assert "--samples has no use beside" in refused(*given, "--samples", 3)
    assert "the table has its own sizes" in refused(*given, "--method-option", "igos.mask_px=500")
    assert "no such option" in refused(*given, "--method-option", "igos.masks=5")
    assert "iterations" in refused(*given, "--method-option", "igos.iterations=0")
    for table in ("igos1", "igos4"):  # of which the second looks at no layer
        assert "'layer9'" in refused("--table", table, *given[2:], "--layer", "layer9")
    two = ("--layer", "layer3", "--layer", "layer4")
    assert "--layer layer4: a table has one, of Grad-CAM" in refused(*given, *two)
    assert "decides per pixel" in refused(
        *("--table", "igos1", "--model", segmenter_folder, "--data", images / "tumour", *out)
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "folder 'empty' has no images" in refused(
        "--table", "igos1", *model, "--data", empty, *out
    )
    assert not (tmp_path / "nothing").exists()
