"""--model, --factory and --card: whose code runs, and what goes before what."""

import json
import sys
from pathlib import Path

import pytest
import timm
import torch
from command_line import smoothsal

MODULE = """
import torch
import napari_smoothsal as ss

CARD = {"kind": "classification", "class_names": ["a", "b"], "input_size": 64,
        "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "input_mpp": 1.0}

def network():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3, 2), torch.nn.AdaptiveAvgPool2d(1),
                               torch.nn.Flatten())

def model():
    return ss.Model(network(), ss.ModelCard(name="mine", **CARD))

def with_card():
    return network(), CARD

def broken():
    raise RuntimeError("no such data")

number = 3
def a_number():
    return number
"""


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_networks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_networks", raising=False)
    return "my_networks"


@pytest.mark.parametrize("function", ["model", "with_card"])
def test_a_factory_makes_the_model_and_it_is_said_that_its_code_runs(
    networks: str, function: str
) -> None:
    result = smoothsal("layers", "--factory", f"{networks}:{function}")
    assert result.exit_code == 0, result.output
    assert f"runs the code of {networks}" in result.stderr
    assert "classes a, b" in result.stdout and " 2 " in result.stdout
    changed = smoothsal(
        "layers", "--factory", f"{networks}:{function}", "--card", 'class_names=["x", "y"]'
    )
    assert "classes x, y" in changed.stdout


def test_a_module_alone_needs_a_card(networks: str) -> None:
    alone = smoothsal("layers", "--factory", f"{networks}:network")
    assert alone.exit_code == 2 and "class_names has to be given" in alone.output
    assert "made a module whose card" in alone.output and "ss.Model(module" in alone.output
    fields = ["kind=classification", 'class_names=["a", "b"]', "input_size=64"]
    fields += ["mean=[0, 0, 0]", "std=[1, 1, 1]"]
    given = [word for one in fields for word in ("--card", one)]
    result = smoothsal("layers", "--factory", f"{networks}:network", *given)
    assert result.exit_code == 0 and result.stdout.startswith("network: classification")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--factory", "{m}:broken"], "no such data"),
        (["--factory", "{m}:a_number"], "returned int"),
        (["--factory", "{m}:nothing"], "nothing"),
        (["--factory", "not_there:f"], "not_there"),
        (["--factory", "{m}"], "PACKAGE.MODULE:FUNCTION"),
        (["demo-classifier", "--factory", "{m}:model"], "no use"),
        ([], "--factory"),
        (["demo-classifier", "--card", "input_mpp"], "FIELD=VALUE"),
        (["demo-classifier", "--card", "input_mpp=-1"], "input_mpp"),
        (["demo-classifier", "--card", "input_mpp=20"], "magnification"),
        (["demo-classifier", "--card", "input_mpp=0.01"], "magnification"),
        (["demo-classifier", "--card", "std=58,57,57"], "divide it by 255"),
        (["demo-classifier", "--card", "mean=-120,-110,-100"], "divide it by 255"),
        (["demo-classifier", "--card", "input_mp=1"], "did you mean input_mpp"),
        (
            [
                "demo-classifier",
                "--card",
                "class_names=a,b,c",
                "--card",
                "default_target=a",
                "--card",
                "background=b",
            ],
            "3 classes",
        ),
        (["demo-classifier", "--card", "mean=123.7,116.3,103.5"], "divide it by 255"),
        (["demo-classifier", "--card", "magnification=20"], "magnification"),
    ],
)
def test_what_cannot_be_chosen(networks: str, arguments: list[str], says: str) -> None:
    result = smoothsal("layers", *(a.format(m=networks) for a in arguments))
    assert result.exit_code == 2 and says in result.output
    assert "Traceback" not in result.output


def test_a_file_of_fields_is_taken_in_its_turn(tmp_path: Path) -> None:
    file = tmp_path / "fields.json"
    file.write_text('{"$schema": "card.schema.json", "licence": "filed", "name": "filed"}')
    fields = ["--card", "licence=typed", "--card", file, "--card", "name=typed"]
    shown = json.loads(smoothsal("card", "show", "demo-classifier", *fields).stdout)
    assert (shown["licence"], shown["name"]) == ("filed", "typed")
    (tmp_path / "lr=0.1").mkdir()
    other = (tmp_path / "lr=0.1" / "fields.json").absolute()
    other.write_text('{"licence": "other"}')
    shown = smoothsal("card", "show", "demo-classifier", "--card", other)
    assert json.loads(shown.stdout)["licence"] == "other"
    missing = smoothsal("card", "show", "demo-classifier", "--card", "nowhere.json")
    assert missing.exit_code == 2 and "nowhere.json cannot be read" in missing.output
    file.write_text("[1]")
    broken = smoothsal("card", "show", "demo-classifier", "--card", file)
    assert broken.exit_code == 2 and "fields.json must be a JSON object" in broken.output


def test_a_slide_is_run_by_a_model_of_ones_own(networks: str, tmp_path: Path) -> None:
    from napari_smoothsal.slides.sample import sample_slide_path

    out = tmp_path / "case.smoothsal.zarr"
    with sample_slide_path() as slide:
        arguments = ["run", slide, "--factory", f"{networks}:model", "--layer", "0", "--out", out]
        result = smoothsal(*arguments, "--samples", 0, "--region", "1000,1200,400,400")
    assert result.exit_code == 0, result.output
    assert out.is_dir()


def test_a_resolution_that_files_do_not_say_is_given(tmp_path: Path) -> None:
    from napari_smoothsal.slides.sample import sample_slide_path

    torch.save(timm.create_model("resnet18", num_classes=2).state_dict(), tmp_path / "w.pt")
    with sample_slide_path() as slide:
        run = ["run", slide, "--model", f"timm:resnet18:{tmp_path / 'w.pt'}", "--predict-only"]
        run += ["--region", "1000,1200,300,300", "--out", tmp_path / "a.smoothsal.zarr"]
        without = smoothsal(*run)
        assert without.exit_code == 2 and "--card input_mpp=" in without.output
        result = smoothsal(*run, "--card", "input_mpp=0.5")
    assert result.exit_code == 0, result.output
